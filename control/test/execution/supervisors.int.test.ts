import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import test from 'node:test';
import { sql } from '@airlock/store';
import { waitFor } from '../../../tests/kit/wait.ts';
import { admitTicket } from '../../src/executors/join-ticket.ts';
import { newKey, type Server, startExecutionApi } from './kit.ts';

const INVALID = [403, { detail: 'Invalid auth token' }];
const ticketOf = () => randomBytes(32).toString('base64url');
const joinBody = (ticket: string, key: ReturnType<typeof newKey>, over: object = {}) => ({
  ticket,
  public_jwk: key.jwk,
  hostname: 'h',
  unixname: 'u',
  pid: 1,
  roles: ['worker'],
  sandbox_tier: 'landlock',
  version: '0',
  ...over,
});
const join = async (server: Server, ticket: string, key = newKey(), over: object = {}) => {
  const answer = await server.call('POST', '/supervisors', { key, json: joinBody(ticket, key, over) });
  return { answer, seen: [answer.status, answer.status === 201 ? null : answer.json()] };
};

/** Of a file that could not be imported. */
const reportOf = (relative_fileloc: string) => ({
  relative_fileloc,
  inputs_digest: 'd',
  dags: [],
  module: null,
  source: 'x',
  import_error: 'SyntaxError',
  warnings: [],
  parse_seconds: 0.1,
});

test('a ticket admits one key once; the same key may repeat it for a minute and gets the same id', async () => {
  await using server = await startExecutionApi();
  const [ticket, key] = [ticketOf(), newKey()];
  await admitTicket(server.db, { ticket, roles: ['worker', 'parse'] }, server.nowMs());
  const first = await join(server, ticket, key, { roles: ['worker', 'parse'] });
  const { supervisor_id: id, tokens } = first.answer.json<{ supervisor_id: string; tokens: Record<string, string> }>();
  assert.deepEqual(Object.keys(tokens), ['worker', 'parse']);
  assert.deepEqual((await join(server, ticket)).seen, INVALID, 'another key');
  const again = await join(server, ticket, key);
  assert.equal(again.answer.json<{ supervisor_id: string }>().supervisor_id, id);
  server.advance(61);
  assert.deepEqual((await join(server, ticket, key)).seen, INVALID);
});

for (const [name, make] of Object.entries<(server: Server) => Promise<unknown[]>>({
  'an unknown ticket': async (server) => (await join(server, ticketOf())).seen,
  'an expired ticket': async (server) => {
    const ticket = ticketOf();
    await admitTicket(server.db, { ticket, roles: ['worker'] }, server.nowMs() - 600_000);
    return (await join(server, ticket)).seen;
  },
  'roles that the ticket does not allow': async (server) => {
    const ticket = ticketOf();
    await admitTicket(server.db, { ticket, roles: ['parse'] }, server.nowMs());
    return (await join(server, ticket)).seen;
  },
  'a proof by another key than the one in the body': async (server) => {
    const ticket = ticketOf();
    await admitTicket(server.db, { ticket, roles: ['worker'] }, server.nowMs());
    const answer = await server.call('POST', '/supervisors', { key: newKey(), json: joinBody(ticket, newKey()) });
    return [answer.status, answer.json()];
  },
  'no proof': async (server) => {
    const ticket = ticketOf();
    await admitTicket(server.db, { ticket, roles: ['worker'] }, server.nowMs());
    const answer = await server.call('POST', '/supervisors', { json: joinBody(ticket, newKey()) });
    return [answer.status, answer.json()];
  },
})) {
  test(`joining with ${name} is refused`, async () => {
    await using server = await startExecutionApi();
    assert.deepEqual(await make(server), INVALID);
    assert.equal((await server.one<{ n: number }>(sql`SELECT count(*)::integer AS n FROM supervisor`)).n, 0);
  });
}

test('the ticket itself is not in the database', async () => {
  await using server = await startExecutionApi();
  const ticket = ticketOf();
  await admitTicket(server.db, { ticket, roles: ['worker'] }, server.nowMs());
  const row = await server.one(sql`SELECT * FROM join_ticket`);
  assert.ok(!JSON.stringify(row).includes(ticket));
});

test('a supervisor that has ended is refused with its unexpired token', async () => {
  await using server = await startExecutionApi();
  const worker = await server.joinWorker();
  const send = () =>
    server.call('PUT', `/supervisors/${worker.id}/heartbeat`, {
      key: worker.key,
      token: worker.tokens.worker!,
      json: { role: 'worker' },
    });
  assert.equal((await send()).status, 204);
  await server.db.query(sql`UPDATE supervisor SET ended_at = '2026-01-01T00:00:00Z'`);
  assert.equal((await send()).status, 403);
});

test('heartbeats: own id and own role only; tokens are renewed in their last fifth', async () => {
  await using server = await startExecutionApi();
  const worker = await server.joinWorker(['worker', 'parse']);
  const send = (id: string, role: string, token = worker.tokens.worker!) =>
    server.call('PUT', `/supervisors/${id}/heartbeat`, { key: worker.key, token, json: { role, holds: [] } });
  assert.equal((await send(worker.id, 'worker')).status, 204);
  assert.equal((await send(worker.id, 'parse', worker.tokens.parse)).status, 204);
  assert.equal((await send(worker.id, 'parse')).status, 403);
  assert.equal((await send(randomUUID(), 'worker')).status, 403);
  server.advance(240);
  const renewed = await send(worker.id, 'worker');
  const token = renewed.headers.get('refreshed-api-token')!;
  server.advance(100);
  assert.equal((await send(worker.id, 'worker', token)).status, 204);
  assert.equal((await send(worker.id, 'worker')).status, 403);
});

test('one heartbeat speaks for all roles of its supervisor, and for no other; only the worker says what is held', async () => {
  await using server = await startExecutionApi();
  const all = await server.joinWorker(['worker', 'parse', 'trigger']);
  const only = await server.joinWorker(['worker', 'parse']);
  const send = (who: typeof all, role: 'worker' | 'parse', also: unknown) =>
    server.call('PUT', `/supervisors/${who.id}/heartbeat`, {
      key: who.key,
      token: who.tokens[role]!,
      json: { role, also, holds: [] },
    });
  const jobs = async (id: string) =>
    (
      await server.db.query<{ job_type: string }>(
        sql`SELECT job_type FROM job WHERE instance_id = ${id} AND latest_heartbeat = ${new Date(server.nowMs()).toISOString()}::timestamptz ORDER BY 1`,
      )
    ).map((row) => row.job_type);
  server.advance(5);
  assert.equal((await send(only, 'worker', ['trigger'])).status, 403);
  assert.equal((await send(only, 'parse', ['parse', 'trigger'])).status, 403);
  assert.equal((await send(only, 'worker', ['scheduler'])).status, 422);
  assert.equal((await send(only, 'worker', 'parse')).status, 422);
  assert.deepEqual([await jobs(only.id), await jobs(all.id)], [[], []]);
  assert.equal((await send(all, 'worker', ['parse', 'trigger'])).status, 204);
  assert.deepEqual(await jobs(all.id), ['DagProcessorJob', 'TriggererJob']);
  assert.deepEqual(await jobs(only.id), []);

  const ti = await server.startTry();
  await server.db.query(sql`UPDATE task_instance SET supervisor_id = ${only.id}::uuid WHERE id = ${ti.id}`);
  const state = async () =>
    (await server.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${ti.id}`)).state;
  server.advance(60);
  assert.equal((await send(only, 'parse', ['worker'])).status, 204);
  assert.equal(await state(), 'running');
  assert.equal((await send(only, 'worker', [])).status, 204);
  assert.equal(await state(), 'failed');
});

test('a try that its worker no longer names is ended, one just handed out is not', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const send = (holds: string[]) =>
    server.call('PUT', `/supervisors/${ti.worker.id}/heartbeat`, {
      key: ti.key,
      token: ti.worker.tokens.worker!,
      json: { role: 'worker', holds },
    });
  const state = async () =>
    (await server.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${ti.id}`)).state;
  assert.equal((await send([])).status, 204);
  assert.equal(await state(), 'running');
  server.advance(60);
  assert.equal((await send([ti.id])).status, 204);
  assert.equal(await state(), 'running');
  assert.equal((await send([])).status, 204);
  assert.equal(await state(), 'failed');
});

test('a claim takes the heaviest first, no more than its slots, and none twice', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  const ids = [];
  for (let weight = 1; weight <= 6; weight++) {
    const ti = await server.seedTask(run, { mapIndex: weight });
    await server.db.query(sql`UPDATE task_instance SET priority_weight = ${weight} WHERE id = ${ti.id}`);
    ids.unshift(ti.id);
  }
  const [a, b] = [await server.joinWorker(), await server.joinWorker()];
  const first = (await server.claim(a, 2)).map((each) => each.ti.id).sort();
  assert.deepEqual(first, ids.slice(0, 2).sort());
  const rest = await Promise.all([server.claim(a, 4), server.claim(b, 4)]);
  assert.deepEqual(
    rest
      .flat()
      .map((each) => each.ti.id)
      .sort(),
    ids.slice(2).sort(),
  );
  assert.deepEqual(await server.claim(b, 4), []);
});

test('a claim serves its queues only', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  await server.seedTask(run, { queue: 'gpu' });
  const worker = await server.joinWorker();
  assert.deepEqual(await server.claim(worker, 4, { queues: ['default'] }), []);
  assert.equal((await server.claim(worker, 4, { queues: ['default', 'gpu'] })).length, 1);
});

test('a workload is what the Task SDK reads, with one block of ours, and its token names try and scope', async () => {
  await using server = await startExecutionApi();
  const ti = await server.seedTask(await server.seedRun(), {
    mapIndex: 2,
    needs: { variables: ['v'] },
    executionTimeoutSeconds: 60,
  });
  const worker = await server.joinWorker();
  const [workload] = (await server.claim(worker)) as unknown as Array<Record<string, unknown> & { token: string }>;
  const { token, ...rest } = workload!;
  const claims = JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
  assert.deepEqual(
    [claims.sub, claims.scope, claims.exp - claims.iat, claims.cnf.jkt],
    [ti.id, 'workload', 600, worker.key.jkt],
  );
  assert.deepEqual(rest, {
    type: 'ExecuteTask',
    ti: {
      id: ti.id,
      task_id: 'extract',
      dag_id: ti.run.dagId,
      run_id: ti.run.runId,
      try_number: 1,
      dag_version_id: ti.run.versionId,
      map_index: 2,
      hostname: null,
      context_carrier: null,
      queue: 'typescript',
      pool_slots: 1,
      priority_weight: 1,
    },
    dag_rel_path: 'a.ts',
    bundle_info: { name: 'dags-folder', version: null },
    log_path: `dag_id=${ti.run.dagId}/run_id=${ti.run.runId}/task_id=extract/map_index=2/attempt=1.log`,
    sentry_integration: '',
    airlock: {
      runtime: 'typescript',
      module_hash: 'ab'.repeat(32),
      execution_timeout: 60,
      needs: { assets: [], connections: [], dags: [], tasks: [], variables: ['v'], xcoms: [] },
      workload_jti: claims.jti,
    },
  });
});

test('an idle claim answers as soon as something is queued', async () => {
  await using server = await startExecutionApi({}, { realTime: true });
  const worker = await server.joinWorker();
  const run = await server.seedRun();
  const waiting = server.claim(worker, 1, { wait_seconds: 20 });
  await waitFor(
    'the poll',
    async () => (await server.one<{ n: number }>(sql`SELECT count(*)::integer AS n FROM supervisor`)).n === 1,
  );
  const ti = await server.seedTask(run);
  const before = performance.now();
  await server.db.query(sql`SELECT pg_notify('airlock', 'queue')`);
  assert.deepEqual(
    (await waiting).map((each) => each.ti.id),
    [ti.id],
  );
  assert.ok(performance.now() - before < 2_000);
});

test('a claim that waits in vain answers with nothing, and closing the server ends it at once', async () => {
  const server = await startExecutionApi({}, { realTime: true });
  const worker = await server.joinWorker();
  assert.deepEqual(await server.claim(worker, 1, { wait_seconds: 1 }), []);
  const waiting = server.claim(worker, 1, { wait_seconds: 30 }).catch(() => []);
  await new Promise((resolve) => setImmediate(resolve));
  const before = performance.now();
  await server.close();
  await waiting;
  assert.ok(performance.now() - before < 5_000);
});

test('when no token can be made the claim is given back, and the worker is told to come again', async () => {
  await using server = await startExecutionApi();
  const ti = await server.seedTask(await server.seedRun());
  const worker = await server.joinWorker();
  server.minter.close();
  const answer = await server.call('POST', '/workloads/claim', {
    key: worker.key,
    token: worker.tokens.worker!,
    json: { slots: 1, queues: ['*'], wait_seconds: 0 },
  });
  assert.deepEqual([answer.status, answer.headers.get('airlock-error')], [503, 'KEY_UNAVAILABLE']);
  const row = await server.one<Record<string, unknown>>(
    sql`SELECT state, supervisor_id, workload_jti FROM task_instance WHERE id = ${ti.id}`,
  );
  assert.deepEqual(row, { state: 'queued', supervisor_id: null, workload_jti: null });
});

test('only the holder may report the end of a process, and only for the stretch that it holds', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const thief = await server.joinWorker();
  const state = async () =>
    (await server.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${ti.id}`)).state;
  const send = (worker: typeof thief, over: object = {}, id: string = ti.id) =>
    server.call('POST', `/workloads/${id}/exit`, {
      key: worker.key,
      token: worker.tokens.worker!,
      json: {
        workload_jti: ti.workload.airlock!.workload_jti,
        outcome: 'died',
        exit_code: 1,
        signal: null,
        message: '',
        ...over,
      },
    });
  assert.equal((await send(thief)).status, 204);
  assert.equal((await send(ti.worker, { workload_jti: 'x' })).status, 204);
  assert.equal((await send(ti.worker, { outcome: 'reported' })).status, 204);
  assert.equal((await send(ti.worker, {}, 'x')).status, 422);
  assert.equal(await state(), 'running');
  assert.equal((await send(ti.worker)).status, 204);
  assert.equal(await state(), 'failed');
  assert.equal((await send(ti.worker)).status, 204);
});

test('the module of a try comes to that try alone, and is named by its hash', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const other = await server.startTry();
  const get = (id: string, headers = {}) =>
    server.call('GET', `/dag-modules/${id}`, { key: ti.key, token: ti.token, headers });
  const answer = await get(ti.id);
  assert.deepEqual(
    [answer.status, answer.headers.get('content-type'), answer.text],
    [200, 'text/javascript', 'export default 1'],
  );
  assert.equal(answer.headers.get('etag'), `"${'ab'.repeat(32)}"`);
  assert.equal((await get(ti.id, { 'if-none-match': `"${'ab'.repeat(32)}"` })).status, 304);
  assert.equal((await get(other.id)).status, 403);
});

test('bundles and their reports are for the parse role', async () => {
  await using server = await startExecutionApi();
  await server.seedRun();
  const parser = await server.joinWorker(['parse']);
  const worker = await server.joinWorker(['worker']);
  const send = { key: parser.key, token: parser.tokens.parse! };
  const list = await server.call('GET', '/bundles', send);
  assert.deepEqual(list.json(), {
    bundles: [{ name: 'dags-folder', kind: 'local', path: '/dags', git: null, files: {} }],
  });
  const report = reportOf('broken.ts');
  const put = (who: typeof worker, role: string, path: string, json: object) =>
    server.call('PUT', path, { key: who.key, token: who.tokens[role]!, json });
  const reported = await put(parser, 'parse', '/bundles/dags-folder/file', report);
  assert.deepEqual([reported.status, reported.json()], [200, { dags: [], import_error: 'SyntaxError' }]);
  assert.equal((await put(parser, 'parse', '/bundles/dags-folder/listing', { files: ['broken.ts'] })).status, 204);
  for (const odd of [
    {},
    { files: [], failure: 'x' },
    { failure: '' },
    { failure: 'x'.repeat(4001) },
    { failure: null },
  ])
    assert.equal((await put(parser, 'parse', '/bundles/dags-folder/listing', odd)).status, 422, JSON.stringify(odd));
  assert.equal((await put(parser, 'parse', '/bundles/nobody/file', report)).status, 403);
  assert.equal((await put(parser, 'parse', '/bundles/dags-folder/file', { ...report, extra: 1 })).status, 422);
  assert.equal((await put(worker, 'worker', '/bundles/dags-folder/file', report)).status, 403);
  assert.deepEqual(
    (await server.call('GET', '/bundles', send)).json<{ bundles: Array<{ files: object }> }>().bundles[0]!.files,
    { 'broken.ts': 'd' },
  );
});

test('a parse reads what the team of its bundle sees, in writing, and nothing where needs must be declared', async () => {
  const NO = 403;
  for (const mode of ['auto', 'strict'] as const) {
    await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: mode });
    await server.seedRun();
    await server.db.query(sql`INSERT INTO team (name) VALUES ('red'), ('blue')`);
    await server.db.query(
      sql`INSERT INTO dag_bundle (name, kind, path, team) VALUES ('reds', 'local', '/reds', 'red')`,
    );
    await server.db.query(
      sql`INSERT INTO dag_bundle (name, kind, path, active) VALUES ('gone', 'local', '/gone', false)`,
    );
    await server.db.query(sql`INSERT INTO variable (team, key, val, is_encrypted)
      VALUES (NULL, 'shared', 's', false), ('red', 'own', 'r', false), ('blue', 'theirs', 'b', false), ('red', 'a/b', 'x', false)`);
    await server.db.query(sql`INSERT INTO connection (team, conn_id, conn_type, host, password, is_encrypted)
      VALUES ('red', 'db', 'http', 'h', 'p', false), ('blue', 'other', 'http', 'h', 'p', false)`);
    const parser = await server.joinWorker(['parse']);
    const worker = await server.joinWorker(['worker']);
    const get = async (path: string, who = parser, role = 'parse') => {
      const answer = await server.call('GET', `/bundles/${path}`, { key: who.key, token: who.tokens[role]! });
      return [answer.status, answer.status === 200 ? answer.json<{ value?: string; password?: string }>() : null];
    };
    const rows = () =>
      server.db.query<{ event: string; extra: string }>(
        sql`SELECT event, extra FROM event_log WHERE event LIKE 'parse_read%' ORDER BY id`,
      );
    const ti = await server.startTry();
    const asTry = await server.call('GET', '/bundles/reds/variables/own', { key: ti.key, token: ti.token });
    assert.equal(asTry.status, NO, 'a try reads by its own rights only');
    assert.equal((await get('reds/variables/own', worker, 'worker'))[0], NO);
    if (mode === 'strict') {
      for (const path of [
        'reds/variables/own',
        'reds/variables/nothing',
        'reds/connections/db',
        'reds/connections/none',
      ])
        assert.deepEqual(await get(path), [NO, null], path);
      assert.deepEqual(await rows(), []);
      continue;
    }
    assert.deepEqual(await get('reds/variables/own'), [200, { key: 'own', value: 'r' }]);
    assert.deepEqual(await get('reds/variables/a/b'), [200, { key: 'a/b', value: 'x' }]);
    assert.deepEqual(await get('reds/variables/shared'), [200, { key: 'shared', value: 's' }]);
    assert.equal((await get('reds/variables/theirs'))[0], 404, 'as one that is not there');
    assert.equal((await get('reds/variables/nothing'))[0], 404);
    const [, connection] = await get('reds/connections/db');
    assert.equal((connection as { password: string }).password, 'p');
    assert.equal((await get('reds/connections/other'))[0], 404);
    assert.equal((await get('dags-folder/variables/own'))[0], 404, 'a bundle without a team');
    assert.equal((await get('gone/variables/shared'))[0], NO);
    assert.equal((await get('nobody/variables/shared'))[0], NO);
    assert.equal((await get(`reds/variables/${'k'.repeat(251)}`))[0], 422);
    assert.deepEqual((await rows())[0], { event: 'parse_read_variable', extra: '{"bundle":"reds","name":"own"}' });
    assert.equal((await rows()).length, 8, 'each read that was let through, found or not');
  }
});

test('a Dag processor that was admitted for some bundles knows no other, and reads by the teams of its own', async (t) => {
  // Whoever takes over the host of one team's Dag processor must learn and change nothing of another team.
  await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'airflow' });
  const { db } = server;
  await db.query(sql`INSERT INTO team (name) VALUES ('red'), ('blue')`);
  for (const [name, team, active] of [
    ['reds', 'red', true],
    ['blues', 'blue', true],
    ['anyones', null, true],
    ['gone', 'red', false],
  ] as const)
    await db.query(sql`INSERT INTO dag_bundle (name, kind, path, team, active)
      VALUES (${name}, 'local', ${`/${name}`}, ${team}, ${active})`);
  await db.query(sql`INSERT INTO variable (team, key, val, is_encrypted)
    VALUES (NULL, 'shared', 's', false), ('red', 'own', 'r', false), ('blue', 'own', 'canary', false)`);
  await db.query(sql`INSERT INTO connection (team, conn_id, conn_type, host, password, is_encrypted)
    VALUES ('red', 'db', 'http', 'h', 'p', false), ('blue', 'db', 'http', 'h', 'canary', false)`);
  const bound = await server.joinWorker(['parse'], { bundles: ['reds', 'gone'] });
  const all = await server.joinWorker(['parse']);
  const send = async (who: typeof bound, method: string, path: string, json?: object) => {
    const answer = await server.call(method, path, { key: who.key, token: who.tokens.parse!, ...(json && { json }) });
    return { status: answer.status, body: answer.status === 204 ? null : answer.json<Record<string, unknown>>() };
  };
  const names = async (who: typeof bound) =>
    ((await send(who, 'GET', '/bundles')).body!.bundles as Array<{ name: string }>).map(({ name }) => name);
  assert.deepEqual(await names(bound), ['reds'], 'neither names nor paths of the others');
  assert.deepEqual(await names(all), ['anyones', 'blues', 'reds']);
  const report = reportOf('a.ts');
  const attempts = (bundle: string) =>
    [
      ['GET', `/bundles/${bundle}/variables/own`],
      ['GET', `/bundles/${bundle}/variables/shared`],
      ['GET', `/bundles/${bundle}/variables/missing`],
      ['GET', `/bundles/${bundle}/connections/db`],
      ['GET', `/bundles/${bundle}/connections/missing`],
      ['PUT', `/bundles/${bundle}/file`, report],
      ['PUT', `/bundles/${bundle}/listing`, { files: ['a.ts'] }],
      ['PUT', `/bundles/${bundle}/listing`, { failure: 'The repository is gone.' }],
    ] as const;
  const kept = async () => [
    await db.query(sql`SELECT count(*) FROM event_log WHERE event LIKE 'parse_read%'`),
    await db.query(sql`SELECT bundle_name, relative_fileloc FROM dag_file`),
    await db.query(sql`SELECT bundle_name, filename FROM import_error`),
  ];
  const before = await kept();
  let refused = 0;
  for (const bundle of ['blues', 'anyones', 'gone', 'no-such']) {
    for (const [method, path, json] of attempts(bundle)) {
      const answer = await send(bound, method, path, json);
      assert.equal(answer.status, 403, path);
      const detail = { reason: 'access_denied', message: `Task does not have access to bundle ${bundle}` };
      assert.deepEqual(answer.body, { detail }, 'the same for what is there and what is not');
      refused++;
    }
  }
  assert.deepEqual(await kept(), before, 'nothing is read, reported or written down as a read');
  // The controls differ in the bundle alone, or in the admission alone.
  const statuses = async (who: typeof bound, bundle: string) => {
    const seen = [];
    for (const [method, path, json] of attempts(bundle)) seen.push((await send(who, method, path, json)).status);
    return seen;
  };
  assert.deepEqual(await statuses(bound, 'reds'), [200, 200, 404, 200, 404, 200, 204, 204]);
  assert.deepEqual(await statuses(all, 'blues'), [200, 200, 404, 200, 404, 200, 204, 204]);
  assert.equal((await send(bound, 'GET', '/bundles/reds/variables/own')).body!.value, 'r');
  assert.equal((await send(all, 'GET', '/bundles/blues/variables/own')).body!.value, 'canary');
  t.diagnostic(`${refused} reads and reports of other bundles: 0 answered`);
});

test('what a Python has is told by a Dag processor of itself, and shown as it was told last', async () => {
  await using server = await startExecutionApi();
  const parser = await server.joinWorker(['parse']);
  const other = await server.joinWorker(['parse']);
  const worker = await server.joinWorker(['worker']);
  const told = {
    providers: [{ package_name: 'p', description: 'A \u0000 b', version: '1.0', documentation_url: null }],
    plugins: [{ name: 'half' }],
    plugin_import_errors: [{ source: 's', error: 'no' }],
  };
  const put = (who: typeof worker, role: string, json: object, id = who.id) =>
    server.call('PUT', `/supervisors/${id}/interpreter`, { key: who.key, token: who.tokens[role]!, json });
  const rows = () => server.db.query(sql`SELECT providers, plugins, plugin_import_errors FROM supervisor_interpreter`);
  assert.equal((await put(worker, 'worker', told)).status, 403);
  assert.equal((await put(other, 'parse', told, parser.id)).status, 403);
  assert.equal((await put(parser, 'parse', { ...told, more: 1 })).status, 422);
  assert.equal((await put(parser, 'parse', { ...told, providers: Array(1001).fill(told.providers[0]) })).status, 422);
  const wordy = { ...told.providers[0], description: 'x'.repeat(2001) };
  assert.equal((await put(parser, 'parse', { ...told, providers: [wordy] })).status, 422);
  assert.deepEqual(await rows(), []);
  assert.equal((await put(parser, 'parse', told)).status, 204);
  // A plugin that Airflow would not show is not kept.
  assert.deepEqual(await rows(), [{ ...told, plugins: [] }]);
  assert.equal((await put(parser, 'parse', { ...told, providers: [] })).status, 204);
  assert.deepEqual(await rows(), [{ ...told, providers: [], plugins: [] }]);
});
