/**
 * The audit log of the Execution API: each refusal of a token that is right has one row before its answer, and each change
 * has one. A tenth of the requests, whole with `npm run soak`. @see promise L33
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { scaled, seededRandom } from '../../../tests/kit/seed.ts';
import { EXECUTION_POLICY, SELF_PARAMETERS } from '../../src/api/execution/policy.ts';
import { type Witness, watchAudit } from '../kit/witness.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

let server: Server;
let witness: Witness;
before(async () => {
  server = await startExecutionApi();
  witness = await watchAudit(server.database);
});
after(async () => {
  await witness.close();
  await server.close();
});

type Row = { event: string; owner: string; dag_id: string | null; task_id: string | null; extra: string };
const newRows = async (after: number): Promise<Array<Row & { id: number }>> =>
  server.db.query(sql`SELECT id, event, owner, dag_id, task_id, extra FROM event_log WHERE id > ${after} ORDER BY id`);
const last = async () =>
  (await server.db.query<{ id: number }>(sql`SELECT COALESCE(max(id), 0)::bigint AS id FROM event_log`))[0]!.id;
/** The rows that `ask` has left. */
async function rowsOf(ask: () => Promise<unknown>): Promise<Row[]> {
  const before = await last();
  await ask();
  return await newRows(before);
}

const hasBody = (method: string) => ['POST', 'PUT', 'PATCH'].includes(method);
/** A route with this subject and things that are there. */
function pathOf(route: string, subject: string): string {
  return route
    .slice(route.indexOf(' ') + 1)
    .replace('/*', '/secret')
    .replace(/:(\w+)/g, (_, name: string) =>
      (SELF_PARAMETERS as readonly string[]).includes(name)
        ? subject
        : ({ dag_id: 'other_dag', run_id: 'r' }[name] ?? 'x'),
    );
}

test('every route leaves one row for each refusal: of another kind of token, of another subject, of an ended try', async (t) => {
  const needs = { needs: { variables: ['v'] } };
  const [self, other, ended] = [
    await server.startTry(needs),
    await server.startTry(needs),
    await server.startTry(needs),
  ];
  await server.call('PATCH', `/task-instances/${ended.id}/state`, {
    token: ended.token,
    key: ended.key,
    json: { state: 'success', end_date: '2026-07-01T00:00:00Z', task_outlets: [], outlet_events: [] },
  });
  const worker = { id: self.worker.id, token: self.worker.tokens.worker!, key: self.worker.key };
  let [refusals, answered] = [0, 0];
  for (const [route, row] of Object.entries(EXECUTION_POLICY)) {
    if (!Array.isArray(row.tokens)) continue;
    const method = route.split(' ')[0]!;
    const version = row.servedIn?.until ?? row.servedIn?.since;
    const ask = (caller: { token: string; key: Try['key'] }, subject: string) => {
      return server.call(method, pathOf(route, subject), {
        token: caller.token,
        key: caller.key,
        ...(hasBody(method) ? { json: {} } : {}),
        ...(version === undefined ? {} : { headers: { 'airflow-api-version': version } }),
      });
    };
    for (const [caller, subject, sub] of [
      [worker, worker.id, worker.id],
      [self, other.id, self.id],
      [ended, ended.id, ended.id],
    ] as const) {
      let status = 0;
      let code: string | null = null;
      const rows = await rowsOf(async () => {
        const answer = await ask(caller, subject);
        status = answer.status;
        code = answer.headers.get('airlock-error');
      });
      if (status !== 403) {
        answered++;
        continue;
      }
      refusals++;
      assert.equal(rows.length, 1, `${route} by ${sub}: ${code}`);
      const extra = JSON.parse(rows[0]!.extra);
      assert.deepEqual(
        [rows[0]!.event, extra.refused, extra.code, extra.method, extra.sub],
        ['access_refused', true, code, method, sub],
      );
      if ('run' in caller) assert.equal(rows[0]!.dag_id, caller.run.dagId);
    }
  }
  t.diagnostic(`${refusals} refusals, a row each; ${answered} other answers`);
  assert.ok(refusals > 100);
});

test('what a token may not do is named by the row, and a garbled or missing token leaves none', async () => {
  const ti = await server.startTry({ needs: { variables: ['v'] } });
  const as = { token: ti.token, key: ti.key };
  const [row] = await rowsOf(() => server.call('GET', '/variables/another', as));
  const extra = JSON.parse(row!.extra);
  assert.deepEqual(
    [row!.event, row!.owner, row!.dag_id, row!.task_id],
    ['access_refused', 'execution', ti.run.dagId, ti.taskId],
  );
  assert.deepEqual([extra.code, extra.path], ['NOT_ENTITLED', '/execution/variables/another']);
  // The controls: one that is declared, one that is nobody's, and a request that is merely wrong.
  assert.deepEqual(await rowsOf(() => server.call('GET', '/variables/v', as)), []);
  assert.deepEqual(await rowsOf(() => server.call('GET', '/variables/another', { token: 'a.b.c' })), []);
  assert.deepEqual(await rowsOf(() => server.call('GET', '/variables/another', {})), []);
  assert.deepEqual(await rowsOf(() => server.call('PUT', '/variables/v', { ...as, json: { val: [] } })), []);
});

test('a refusal that can not be written down is not answered as one', async () => {
  const ti = await server.startTry({ needs: { variables: ['v'] } });
  const ask = () => server.call('GET', '/variables/another', { token: ti.token, key: ti.key });
  assert.equal((await witness.whileBlocked(ask)).status, 500);
  assert.equal((await ask()).status, 403);
});

test('what supervisors change has its row too: joining, taking work, the end of a process, a Dag file', async () => {
  const run = await server.seedRun();
  const ti = await server.seedTask(run, { maxTries: 0 });
  await witness.clear();
  const worker = await server.joinWorker(['worker', 'parse']);
  await server.call('PUT', `/supervisors/${worker.id}/heartbeat`, {
    token: worker.tokens.worker!,
    key: worker.key,
    json: { role: 'worker', holds: [] },
  });
  const workload = (await server.claim(worker, 1000)).find((each) => each.ti.id === ti.id)!;
  await server.call('POST', `/workloads/${ti.id}/exit`, {
    token: worker.tokens.worker!,
    key: worker.key,
    json: { workload_jti: workload.airlock!.workload_jti, outcome: 'died', exit_code: 1, signal: null, message: '' },
  });
  const { changes, missing } = await witness.look();
  assert.ok(changes.length >= 3, changes.join());
  // The ticket is the kit's own.
  assert.deepEqual(
    missing.filter((what) => what !== 'join_ticket'),
    [],
  );
});

test('rows are as many as requests that changed something or were refused, over random ones', async (t) => {
  const count = scaled(10_000);
  const random = seededRandom('audit');
  const tries = [
    await server.startTry({ needs: { variables: ['v'], variableWrites: ['written'] } as never }),
    await server.startTry({ needs: null }),
  ];
  const before = await last();
  let expected = 0;
  for (let n = 0; n < count; n++) {
    const ti = random.pick(tries);
    const as = { token: ti.token, key: ti.key };
    const at = `/xcoms/${ti.run.dagId}/${ti.run.runId}/${ti.taskId}/k${n % 5}`;
    const asks = [
      () => server.call('POST', at, { ...as, json: n }),
      () => server.call('GET', at, as),
      () => server.call('PUT', `/store/ti/${ti.id}/k${n % 3}`, { ...as, json: { value: n, expires_at: null } }),
      () => server.call('GET', '/variables/unknown', as),
      () => server.call('PUT', '/variables/written', { ...as, json: { val: String(n) } }),
      () => server.call('PATCH', `/task-instances/${randomUUID()}/state`, { ...as, json: {} }),
      () =>
        server.call('PUT', `/task-instances/${ti.id}/heartbeat`, { ...as, json: { hostname: 'worker-1', pid: 4242 } }),
      () => server.call('GET', '/health', as),
    ];
    const which = random.below(asks.length);
    const { status } = await asks[which]!();
    assert.ok(status < 500, String(status));
    const changes = [0, 2, 4].includes(which) && status < 300;
    if (changes || status === 403) expected++;
    if (n % 200 === 199) server.advance(1);
  }
  const rows = (await newRows(before)).length;
  t.diagnostic(`${count} requests: ${expected} rows expected, ${rows} written`);
  assert.equal(rows, expected);
});
