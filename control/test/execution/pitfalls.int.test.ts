/**
 * What an independent server of this wire is most likely to get wrong, one test for each item of the list in the wire's
 * reference (execution API, section 10), under its number. Items 6, 7 and 8 are as promises L2, L3 and L5 change them.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { thumbprint } from '@airlock/token-verify';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const END = '2026-07-01T00:01:10Z';
let server: Server;
before(async () => {
  server = await startExecutionApi();
});
after(() => server.close());

type With = { readonly json?: unknown; readonly headers?: Record<string, string> };
const call = (ti: Try, method: string, path: string, { json, headers = {} }: With = {}) =>
  server.call(method, path, { key: ti.key, token: ti.token, headers, ...(json === undefined ? {} : { json }) });
const own = (ti: Try, method: string, rest: string, json?: unknown) =>
  call(ti, method, `/task-instances/${ti.id}/${rest}`, { json });
const beat = (ti: Try, over: object = {}) => own(ti, 'PUT', 'heartbeat', { hostname: 'worker-1', pid: 4242, ...over });
const reasonOf = (answer: { status: number; json: () => unknown }) => [
  answer.status,
  (answer.json() as { detail: { reason: string } }).detail.reason,
];
const at = (ti: Try, key = 'k') => `/xcoms/${ti.run.dagId}/${encodeURI(ti.run.runId)}/extract/${key}`;

test('1. every answer with a body is application/json and nothing more, whatever its status', async () => {
  const ti = await server.startTry({ needs: { variables: ['absent'] }, maxTries: 1 });
  const ended = await server.startTry();
  await own(ended, 'PATCH', 'state', { state: 'success', end_date: END });
  const archived = await server.startTry({ maxTries: 1 });
  await own(archived, 'PATCH', 'state', { state: 'up_for_retry', end_date: END });
  const seen = new Set<number>();
  for (const answer of [
    await server.call('GET', '/health'),
    await server.call('GET', '/variables/x'),
    await call(ti, 'GET', '/variables/absent'),
    await call(ti, 'GET', '/variables/undeclared'),
    await call(ti, 'GET', at(ti, 'absent')),
    await call(ti, 'GET', '/no-such-thing'),
    await call(ti, 'POST', '/health'),
    await call(ti, 'HEAD', `${at(ti)}?map_index=1`),
    await call(ti, 'POST', `${at(ti)}?mapped_length=9999`, { json: 1 }),
    await own(ti, 'PATCH', 'run', {}),
    await beat(ended),
    await beat(archived),
    await call(ti, 'POST', at(ti), { json: 1 }),
    await call(ti, 'GET', '/variables/x', { headers: { 'airflow-api-version': 'abc' } }),
  ]) {
    assert.equal(answer.headers.get('content-type'), 'application/json', String(answer.status));
    seen.add(answer.status);
  }
  assert.deepEqual([...seen].sort(), [200, 201, 400, 401, 403, 404, 405, 409, 410, 422]);
});

test('2. the run of a context has the keys that a client of Task SDK 1.3 knows, the partition key among them, and no other', async () => {
  const { dag_run: run } = (await server.startTry()).context.json<{ dag_run: Record<string, unknown> }>();
  assert.deepEqual(Object.keys(run).sort(), [
    'clear_number',
    'conf',
    'consumed_asset_events',
    'dag_id',
    'data_interval_end',
    'data_interval_start',
    'end_date',
    'logical_date',
    'note',
    'partition_date',
    'partition_key',
    'run_after',
    'run_id',
    'run_type',
    'start_date',
    'state',
    'team_name',
    'triggering_user_name',
  ]);
});

test('3. the id of a try goes with its retry, its reschedule records too; the old one is 410 or 404', async () => {
  const ti = await server.startTry({ maxTries: 1 });
  await server.db.query(sql`INSERT INTO task_reschedule (ti_id, start_date, end_date, reschedule_at)
    VALUES (${ti.id}, ${END}, ${END}, ${END})`);
  assert.equal((await own(ti, 'PATCH', 'state', { state: 'up_for_retry', end_date: END })).status, 204);
  const row = await server.one<{
    id: string;
    n: number;
  }>(sql`SELECT t.id, (SELECT count(*)::integer FROM task_reschedule s
    WHERE s.ti_id IN (t.id, ${ti.id})) AS n FROM task_instance t WHERE t.dag_run_id = ${ti.run.dagRunId}`);
  assert.notEqual(row.id, ti.id);
  assert.equal(row.n, 0);
  const statuses = [await beat(ti), await own(ti, 'PUT', 'rtif', {}), await own(ti, 'PATCH', 'run', server.runBody())];
  assert.deepEqual(
    statuses.map((answer) => answer.status),
    [410, 410, 404],
  );
});

test('4. a crash that nobody reports is known by the exit of its process: a retry while there is one, then a failure', async () => {
  for (const [maxTries, state] of [
    [1, 'up_for_retry'],
    [0, 'failed'],
  ] as const) {
    const ti = await server.startTry({ maxTries });
    const { workload_jti } = ti.workload.airlock!;
    const json = { workload_jti, outcome: 'died', exit_code: 1, signal: null, message: 'It crashed.' };
    await server.call('POST', `/workloads/${ti.id}/exit`, { key: ti.key, token: ti.worker.tokens.worker!, json });
    const row = await server.one<{ state: string }>(
      sql`SELECT state FROM task_instance WHERE dag_run_id = ${ti.run.dagRunId}`,
    );
    assert.equal(row.state, state);
  }
});

test('5. a heartbeat looks at host and pid before the state, and 410 is for archived ids only', async () => {
  const ti = await server.startTry();
  assert.deepEqual(reasonOf(await beat(ti, { pid: 1 })), [409, 'running_elsewhere']);
  assert.equal((await beat(ti)).status, 204);
  await own(ti, 'PATCH', 'state', { state: 'skipped', end_date: END });
  assert.deepEqual(reasonOf(await beat(ti, { hostname: 'other' })), [409, 'running_elsewhere']);
  assert.deepEqual(reasonOf(await beat(ti)), [409, 'not_running']);
  const gone = await server.startTry();
  await server.db.query(sql`DELETE FROM task_instance WHERE id = ${gone.id}`);
  assert.deepEqual(reasonOf(await beat(gone)), [404, 'not_found']);
});

test('6. the same process may start again with its execution token; another host, user or pid may not', async () => {
  const ti = await server.startTry();
  const again = await own(ti, 'PATCH', 'run', server.runBody());
  assert.deepEqual([again.status, again.headers.get('refreshed-api-token')], [200, null]);
  for (const over of [{ hostname: 'other' }, { unixname: 'other' }, { pid: 1 }]) {
    const answer = await own(ti, 'PATCH', 'run', server.runBody(over));
    assert.deepEqual(reasonOf(answer), [409, 'invalid_state'], JSON.stringify(over));
    assert.equal(answer.headers.get('refreshed-api-token'), null);
  }
});

test('6b. the first start survives a resume, and only that: when the stored arguments are not empty', async () => {
  for (const [kwargs, kept] of [
    ['{"k":1}', true],
    ['{}', false],
  ] as const) {
    const run = await server.seedRun();
    const ti = await server.seedTask(run);
    await server.db.query(sql`UPDATE task_instance SET next_method = 'resume', next_kwargs = ${kwargs}::json,
      start_date = '2026-06-01T00:00:00Z' WHERE id = ${ti.id}`);
    const worker = await server.joinWorker();
    const workload = (await server.claim(worker, 1000)).find((each) => each.ti.id === ti.id)!;
    const send = { key: worker.key, token: workload.token, json: server.runBody() };
    assert.equal((await server.call('PATCH', `/task-instances/${ti.id}/run`, send)).status, 200);
    const row = await server.one<{ kept: boolean }>(
      sql`SELECT start_date = '2026-06-01T00:00:00Z' AS kept FROM task_instance WHERE id = ${ti.id}`,
    );
    assert.equal(row.kept, kept, kwargs);
  }
});

test('7. the first report is 204, the same again 200 and empty; null for a list or an object is 422 and ends nothing', async () => {
  const ti = await server.startTry();
  const body = { state: 'success', end_date: END };
  for (const over of [{ task_outlets: null }, { outlet_events: null }]) {
    assert.equal((await own(ti, 'PATCH', 'state', { ...body, ...over })).status, 422);
  }
  assert.equal((await beat(ti)).status, 204, 'it runs on');
  assert.equal((await own(ti, 'PATCH', 'state', body)).status, 204);
  const again = await own(ti, 'PATCH', 'state', body);
  assert.deepEqual([again.status, again.text, again.headers.get('content-type')], [200, '', null]);
});

test('8. neither a new token nor a refusal renews, and an expired token is 403', async () => {
  await using other = await startExecutionApi();
  const ti = await other.startTry();
  const send = { key: ti.key, token: ti.token, json: { hostname: 'worker-1', pid: 4242 } };
  const put = () => other.call('PUT', `/task-instances/${ti.id}/heartbeat`, send);
  assert.equal((await put()).headers.get('refreshed-api-token'), null);
  other.advance(270);
  const refused = await other.call('GET', '/variables/undeclared', { key: ti.key, token: ti.token });
  assert.deepEqual([refused.status, refused.headers.get('refreshed-api-token')], [403, null]);
  assert.ok((await put()).headers.get('refreshed-api-token'), 'an authorised success renews');
  other.advance(60);
  const late = await put();
  assert.deepEqual([late.status, late.headers.get('refreshed-api-token')], [403, null]);
});

test('9. paths: a raw plus and colon stay, %2B is a plus, ids are compared as they are written, nothing redirects', async () => {
  const run = await server.seedRun();
  const runId = 'manual__2025-06-01T00:00:00+00:00';
  await server.db.query(sql`UPDATE dag_run SET run_id = ${runId} WHERE id = ${run.dagRunId}`);
  const ti = await server.startTry({}, { ...run, runId });
  const path = (name: string, key: string) => `/xcoms/${run.dagId}/${name}/extract/${key}`;
  assert.equal((await call(ti, 'POST', path(runId, 'a/b+c'), { json: 1 })).status, 201);
  for (const name of [runId, runId.replace('+', '%2B'), encodeURIComponent(runId)]) {
    for (const key of ['a/b+c', 'a%2Fb%2Bc', 'a/b%2Bc']) {
      assert.equal((await call(ti, 'GET', path(name, key))).status, 200, `${name} ${key}`);
    }
  }
  assert.equal((await call(ti, 'GET', path(runId, 'a/b%20c'))).status, 404);
  const upper = ti.id.toUpperCase();
  assert.equal((await call(ti, 'GET', `/task-reschedules/${upper}/start_date`)).status, upper === ti.id ? 200 : 403);
  for (const slashed of ['/health/', `/task-instances/${ti.id}/run/`, '/dag-runs/count/', '//health']) {
    const answer = await call(ti, 'GET', slashed);
    assert.ok(answer.status >= 400 && answer.status < 500, `${slashed} ${answer.status}`);
  }
});

test('10. whether a try may be repeated is told at its start: by its budget and number, and always while it restarts', async () => {
  for (const [maxTries, tryNumber, state, expected] of [
    [0, 1, 'queued', false],
    [1, 1, 'queued', true],
    [1, 2, 'queued', false],
    [2, 2, 'queued', true],
    [0, 1, 'restarting', true],
  ] as const) {
    const run = await server.seedRun();
    const ti = await server.seedTask(run, { maxTries });
    await server.db.query(sql`UPDATE task_instance SET try_number = ${tryNumber} WHERE id = ${ti.id}`);
    const worker = await server.joinWorker();
    const workload = (await server.claim(worker, 1000)).find((each) => each.ti.id === ti.id)!;
    await server.db.query(sql`UPDATE task_instance SET state = ${state} WHERE id = ${ti.id}`);
    const send = { key: worker.key, token: workload.token, json: server.runBody() };
    const answer = await server.call('PATCH', `/task-instances/${ti.id}/run`, send);
    const { should_retry } = answer.json<{ should_retry: boolean }>();
    assert.equal(should_retry, expected, JSON.stringify([maxTries, tryNumber, state]));
  }
});

test('11. whole bodies that are a number, a text, a list or null', async () => {
  const ti = await server.startTry({ needs: null });
  const { dagId } = ti.run;
  await call(ti, 'POST', at(ti), { json: 'v' });
  for (const [path, expected] of [
    [`/task-instances/count?dag_id=${dagId}`, 1],
    [`/dag-runs/count?dag_id=${dagId}`, 1],
    [`/task-reschedules/${ti.id}/start_date`, null],
    [`${at(ti)}/slice`, ['v']],
    [`${at(ti)}/item/0`, 'v'],
    [`/dag-runs/previous?dag_id=${dagId}&logical_date=${END}`, null],
    [`/task-instances/previous/${dagId}/extract`, null],
  ] as const) {
    const answer = await call(ti, 'GET', path);
    assert.deepEqual([answer.status, answer.json()], [200, expected], path);
  }
  assert.equal((await own(ti, 'PATCH', 'rendered-map-index', 'label')).status, 204);
});

test('12. what may arrive twice is done once: a trigger, a clear, a request, a retry', async () => {
  const far = await server.seedRun();
  const ti = await server.startTry({ needs: { dags: [far.dagId] }, maxTries: 1 });
  const twice = async (send: () => Promise<{ status: number }>) => [(await send()).status, (await send()).status];
  const runs = `/dag-runs/${far.dagId}`;
  assert.deepEqual(await twice(() => call(ti, 'POST', `${runs}/made`, { json: {} })), [204, 204]);
  assert.deepEqual(await twice(() => call(ti, 'POST', `${runs}/made/clear`)), [204, 204]);
  const request = { ti_id: randomUUID(), options: ['A'], subject: 's' };
  assert.deepEqual(await twice(() => call(ti, 'POST', `/hitlDetails/${ti.id}`, { json: request })), [201, 201]);
  assert.deepEqual(await twice(() => own(ti, 'PATCH', 'state', { state: 'up_for_retry', end_date: END })), [204, 200]);
  const { n } = await server.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM dag_run WHERE dag_id = ${far.dagId} AND run_id = 'made'`,
  );
  assert.equal(n, 1);
});

test('13. the kid of a token is the thumbprint of RFC 7638', async () => {
  const ti = await server.startTry();
  const { kid } = JSON.parse(Buffer.from(ti.token.split('.')[0]!, 'base64url').toString());
  const { jwks } = await server.minter.keys();
  assert.ok(jwks.keys.length > 0);
  assert.ok(jwks.keys.map((key) => thumbprint(key as Parameters<typeof thumbprint>[0])).includes(kid));
});

test('14. requests, defaults and clears of one try at once: each is answered, and none waits for another in a circle', async () => {
  const ti = await server.startTry({ needs: { dags: ['dag_circle'] } }, await server.seedRun('dag_circle'));
  const request = { ti_id: ti.id, options: ['A'], subject: 's', defaults: ['A'] };
  await call(ti, 'POST', `/hitlDetails/${ti.id}`, { json: request });
  await server.db.query(sql`UPDATE task_instance SET trigger_timeout = ${END} WHERE id = ${ti.id}`);
  server.advance(0);
  const answers = await Promise.all(
    Array.from({ length: 12 }, (_, n) => {
      if (n % 3 === 0) return call(ti, 'POST', `/hitlDetails/${ti.id}`, { json: request });
      if (n % 3 === 1) return call(ti, 'PATCH', `/hitlDetails/${ti.id}`, { json: { chosen_options: ['A'] } });
      return call(ti, 'POST', `/dag-runs/dag_circle/${ti.run.runId}/clear`);
    }),
  );
  const odd = answers.map((answer) => answer.status).filter((status) => ![200, 201, 204, 403].includes(status));
  assert.deepEqual(odd, []);
});
