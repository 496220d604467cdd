// What the tokens of a callback open: its own start, its own end, and what its Dag declares; and for how long.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import type { CallbackOrder, ExecuteCallbackWorkload } from '@airlock/contract/callbacks';
import { sql } from '@airlock/store';
import { secretOwner } from '../../src/api/secrets/stored.ts';
import { newKey, type Server, startExecutionApi } from './kit.ts';

const NEEDS = '{"assets":[],"connections":["hook"],"dags":[],"variables":["channel","absent"],"xcoms":[]}';
const REPORT = { state: 'success', message: null, output: 'said\n' };

async function seedCallback(
  server: Server,
  over: { needs?: string | null; team?: string | null; queue?: string } = {},
) {
  const run = await server.seedRun(undefined, over.team ?? null);
  const id: string = randomUUID();
  const nowIso = new Date(server.nowMs()).toISOString();
  await server.db.query(sql`INSERT INTO callback (id, kind, event, team, dag_id, dag_run_id, dag_version_id, queue, needs, reason, state, created_at)
    VALUES (${id}, 'dag', 'failure', ${run.team}, ${run.dagId}, ${run.dagRunId}, ${run.versionId}, ${over.queue ?? 'typescript'},
      ${over.needs === undefined ? NEEDS : over.needs}, 'task_failure', 'pending', ${nowIso})`);
  await server.db.query(sql`SELECT pg_notify('airlock', 'callback')`);
  return { id, run };
}

type Worker = Awaited<ReturnType<Server['joinWorker']>>;

async function claim(server: Server, worker: Worker, over: object = {}): Promise<ExecuteCallbackWorkload[]> {
  return (await server.claim(worker, 10, over)) as unknown as ExecuteCallbackWorkload[];
}

async function started(server: Server, over: Parameters<typeof seedCallback>[1] = {}) {
  const { id, run } = await seedCallback(server, over);
  const worker = await server.joinWorker();
  const workload = (await claim(server, worker)).find((one) => one.callback?.id === id)!;
  const start = await server.call('PATCH', `/callbacks/${id}/run`, { key: worker.key, token: workload.token });
  const token = start.headers.get('refreshed-api-token')!;
  const ask = (method: string, path: string, json?: unknown) =>
    server.call(method, path, { key: worker.key, token, ...(json === undefined ? {} : { json }) });
  return { id, run, worker, workload, start, token, ask };
}

async function sow(server: Server) {
  const { secrets } = server.deps;
  for (const [key, team] of [
    ['channel', null],
    ['secret', null],
    ['channel', 'blue'],
  ] as const) {
    if (team) await server.db.query(sql`INSERT INTO team (name) VALUES (${team}) ON CONFLICT DO NOTHING`);
    await server.db.query(sql`INSERT INTO variable (team, key, val, is_encrypted)
      VALUES (${team}, ${key}, ${secrets.seal(`${key} of ${team}`, secretOwner.variable(key))}, ${secrets.encrypts})`);
  }
  await server.db.query(sql`INSERT INTO connection (conn_id, conn_type, host, password, is_encrypted)
    VALUES ('hook', 'http', 'chat.example', ${secrets.seal('pw', secretOwner.password('hook'))}, ${secrets.encrypts})`);
}

test('a worker that asks is given the callback before any task, and is told at its start what it is about', async () => {
  await using server = await startExecutionApi();
  const { id, run } = await seedCallback(server);
  await server.seedTask(run);
  const worker = await server.joinWorker();
  const given = await server.claim(worker, 10);
  assert.deepEqual(
    given.map((one) => (one as unknown as { type: string }).type),
    ['ExecuteCallback', 'ExecuteTask'],
  );
  assert.deepEqual(await server.claim(worker, 10), [], 'each is given out once');
  const workload = given[0] as unknown as ExecuteCallbackWorkload;
  assert.equal(workload.airlock.runtime, 'typescript');
  const start = await server.call('PATCH', `/callbacks/${id}/run`, { key: worker.key, token: workload.token });
  assert.equal(start.status, 200, start.text);
  const order = start.json<CallbackOrder>();
  assert.deepEqual(
    [order.kind, order.event, order.reason, order.dag_run.run_id, order.timeout_seconds, order.module?.code],
    ['dag', 'failure', 'task_failure', run.runId, 290, 'export default 1'],
  );
});

test('callbacks of other queues stay for their workers; those of a command’s queue go to any', async () => {
  await using server = await startExecutionApi({ AIRLOCK__WORKERS__COMMAND_QUEUES: 'legacy' });
  const gpu = await seedCallback(server, { queue: 'gpu' });
  const legacy = await seedCallback(server, { queue: 'legacy' });
  const cpu = await server.joinWorker();
  const ids = async (worker: Worker, queue: string) =>
    (await claim(server, worker, { queues: [queue] })).map((one) => one.callback.id);
  assert.deepEqual(await ids(cpu, 'cpu'), [legacy.id]);
  assert.deepEqual(await ids(await server.joinWorker(), 'gpu'), [gpu.id], 'the control');
});

test('it reads what is declared; everything else gets one answer, whether or not it exists', async () => {
  await using server = await startExecutionApi();
  await sow(server);
  const { id, ask } = await started(server);
  const variable = await ask('GET', `/callbacks/${id}/variables/channel`);
  assert.deepEqual([variable.status, variable.json()], [200, { key: 'channel', value: 'channel of null' }]);
  const connection = await ask('GET', `/callbacks/${id}/connections/hook`);
  assert.equal(connection.json<{ password: string }>().password, 'pw');
  assert.equal((await ask('GET', `/callbacks/${id}/variables/absent`)).status, 404, 'declared, but not there');
  for (const path of ['variables/secret', 'variables/nothing', 'connections/other']) {
    const answer = await ask('GET', `/callbacks/${id}/${path}`);
    assert.equal(answer.status, 403, path);
    assert.match(answer.text, /access_denied/, path);
  }
  const denied = (path: string) =>
    ask('GET', `/callbacks/${id}/${path}`).then((answer) => answer.text.replaceAll(/secret|nothing/g, 'x'));
  assert.equal(await denied('variables/secret'), await denied('variables/nothing'));
});

test('without declared needs it reads what its team sees, and under strict rights nothing', async () => {
  await using server = await startExecutionApi();
  await sow(server);
  const blue = await started(server, { needs: null, team: 'blue' });
  const own = await blue.ask('GET', `/callbacks/${blue.id}/variables/channel`);
  assert.deepEqual(own.json(), { key: 'channel', value: 'channel of blue' });
  await using strict = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'strict' });
  await sow(strict);
  const held = await started(strict, { needs: null });
  assert.equal((await held.ask('GET', `/callbacks/${held.id}/variables/channel`)).status, 403);
});

test('its tokens open nothing of tasks, nothing of another callback, and the token of a try opens no callback', async () => {
  await using server = await startExecutionApi();
  await sow(server);
  const { id, ask, worker, workload } = await started(server);
  const other = await started(server);
  const ti = await server.startTry({ needs: { variables: ['channel'] } });
  const run = `/xcoms/${ti.run.dagId}/${ti.run.runId}/extract/return_value`;
  for (const [method, path, json] of [
    ['GET', '/variables/channel'],
    ['GET', '/connections/hook'],
    ['GET', '/variables/keys'],
    ['PUT', '/variables/channel', { val: 'x' }],
    ['GET', run],
    ['POST', run, 1],
    ['PATCH', `/task-instances/${ti.id}/state`, { state: 'failed', end_date: '2026-01-01T00:00:00Z' }],
    ['PUT', `/task-instances/${ti.id}/heartbeat`, { hostname: 'h', pid: 1 }],
    ['POST', `/dag-runs/${ti.run.dagId}/again`, {}],
    ['GET', `/callbacks/${other.id}/variables/channel`],
    ['PATCH', `/callbacks/${other.id}/state`, REPORT],
    ['PATCH', `/callbacks/${id}/run`],
  ] as const) {
    const answer = await ask(method, path, json);
    assert.equal(answer.status, 403, `${method} ${path}: ${answer.text}`);
    assert.equal(answer.headers.get('refreshed-api-token'), null);
  }
  const asTry = await server.call('GET', `/callbacks/${id}/variables/channel`, { key: ti.key, token: ti.token });
  assert.equal(asTry.status, 403);
  const byWorkload = { key: worker.key, token: workload.token };
  assert.equal((await server.call('GET', `/callbacks/${id}/variables/channel`, byWorkload)).status, 403);
  assert.equal((await server.call('PATCH', `/callbacks/${id}/state`, { ...byWorkload, json: REPORT })).status, 403);
  const otherKey = { key: newKey(), token: other.token };
  assert.equal((await server.call('GET', `/callbacks/${other.id}/variables/channel`, otherKey)).status, 403);
  assert.equal((await ask('GET', `/callbacks/${id}/variables/channel`)).status, 200, 'the control');
});

test('one start: the same worker may repeat it for a minute and gets the same token; nobody else, and no later one', async () => {
  await using server = await startExecutionApi();
  const { id, worker, workload, token } = await started(server);
  const again = () => server.call('PATCH', `/callbacks/${id}/run`, { key: worker.key, token: workload.token });
  const repeat = await again();
  assert.equal(repeat.status, 200);
  assert.equal(repeat.headers.get('refreshed-api-token'), token);
  // The server's own record of another process: a plain bearer can't be told from a thief.
  await server.db.query(sql`UPDATE callback SET exchange_key = 'another' WHERE id = ${id}`);
  const refused = await again();
  assert.deepEqual([refused.status, refused.headers.get('refreshed-api-token')], [409, null]);
  const events = await server.db.query(
    sql`SELECT 1 FROM event_log WHERE event = 'run_refused' AND extra LIKE ${`%${id}%`}`,
  );
  assert.equal(events.length, 1, 'a refused start is written down');
});

test('its end is taken once, a repeat changes nothing, and from then on its token is dead', async () => {
  await using server = await startExecutionApi();
  await sow(server);
  const { id, ask } = await started(server);
  assert.equal((await ask('PATCH', `/callbacks/${id}/state`, { ...REPORT, state: 'running' })).status, 422);
  assert.equal((await ask('PATCH', `/callbacks/${id}/state`, REPORT)).status, 204);
  assert.equal((await ask('PATCH', `/callbacks/${id}/state`, REPORT)).status, 200);
  assert.equal((await ask('PATCH', `/callbacks/${id}/state`, { ...REPORT, state: 'failed' })).status, 409);
  assert.equal((await ask('GET', `/callbacks/${id}/variables/channel`)).status, 403);
  const row = await server.one<{ state: string; output: string }>(
    sql`SELECT state, output FROM callback WHERE id = ${id}`,
  );
  assert.deepEqual(row, { state: 'success', output: 'said\n' });
  const audit = await server.db.query(sql`SELECT 1 FROM event_log WHERE event = 'callback success'`);
  assert.equal(audit.length, 1);
});

test('past its limit a callback reads nothing and reports nothing', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CALLBACKS__CALLBACK_EXECUTION_TIMEOUT: '60' });
  await sow(server);
  const { id, ask, start } = await started(server);
  assert.equal(start.json<CallbackOrder>().timeout_seconds, 60);
  server.advance(65);
  assert.equal((await ask('GET', `/callbacks/${id}/variables/channel`)).status, 200, 'what is left for the report');
  server.advance(6);
  assert.equal((await ask('GET', `/callbacks/${id}/variables/channel`)).status, 403);
  assert.equal((await ask('PATCH', `/callbacks/${id}/state`, REPORT)).status, 403);
});
