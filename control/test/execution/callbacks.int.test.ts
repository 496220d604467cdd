// What the tokens of a callback open: its own start, its own end, what its Dag declares, and what its run has left; and for how long.
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
  over: {
    needs?: string | null;
    team?: string | null;
    queue?: string;
    kind?: 'dag' | 'task';
    run?: Awaited<ReturnType<Server['seedRun']>>;
  } = {},
) {
  const run = over.run ?? (await server.seedRun(undefined, over.team ?? null));
  const ti = over.kind === 'task' ? JSON.stringify({ task_id: 'extract', start_date: null, end_date: null }) : null;
  const id: string = randomUUID();
  const nowIso = new Date(server.nowMs()).toISOString();
  await server.db.query(sql`INSERT INTO callback (id, kind, event, team, dag_id, dag_run_id, dag_version_id, queue, needs, ti, reason, state, created_at)
    VALUES (${id}, ${over.kind ?? 'dag'}, 'failure', ${run.team}, ${run.dagId}, ${run.dagRunId}, ${run.versionId}, ${over.queue ?? 'typescript'},
      ${over.needs === undefined ? NEEDS : over.needs}, ${ti}::json, 'task_failure', 'pending', ${nowIso})`);
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

/** Leaves `value` as the result of `task`, map index by map index where it is a list of several. */
async function leave(
  server: Server,
  run: Awaited<ReturnType<Server['seedRun']>>,
  taskId: string,
  values: readonly unknown[],
) {
  for (const [i, value] of values.entries())
    await server.db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      VALUES (${run.dagRunId}, ${taskId}, ${values.length > 1 ? i : -1}, 'return_value', ${run.dagId}, ${run.runId}, ${JSON.stringify(value)},
        ${new Date(server.nowMs()).toISOString()})`);
}
const xcomsOf = (id: string, run: { dagId: string; runId: string }, rest: string) =>
  `/callbacks/${id}/xcoms/${run.dagId}/${run.runId}/${rest}`;

test('without declared needs it reads what any task of its own run has left, in each way that a task reads it', async () => {
  await using server = await startExecutionApi();
  const { id, run, ask } = await started(server, { needs: null });
  await leave(server, run, 'extract', [{ rows: 3 }]);
  await leave(server, run, 'numbers', [10, 20, 30]);
  const got = async (rest: string) => {
    const { status, text } = await ask('GET', xcomsOf(id, run, rest));
    return [status, text];
  };
  assert.deepEqual(await got('extract/return_value'), [200, '{"key":"return_value","value":{"rows":3}}']);
  assert.deepEqual(await got('numbers/return_value?map_index=1'), [200, '{"key":"return_value","value":20}']);
  assert.deepEqual(await got('numbers/return_value/slice'), [200, '[10,20,30]']);
  assert.deepEqual(await got('numbers/return_value/item/-1'), [200, '30']);
  const head = await ask('HEAD', xcomsOf(id, run, 'numbers/return_value'));
  assert.deepEqual([head.status, head.headers.get('content-range')], [200, 'map_indexes 3']);
  assert.equal((await ask('GET', xcomsOf(id, run, 'extract/absent'))).status, 404);
  assert.equal((await ask('GET', xcomsOf(id, run, 'extract/return_value?map_index=x'))).status, 422);
});

test('nothing beyond its run is read, whatever the rights of its team, and nothing is written', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const { id, run, ask } = await started(server, { needs: null, team: 'blue' });
  const same = await server.seedRun(undefined, 'blue');
  const red = await server.seedRun(undefined, 'red');
  const earlier = await server.seedRun(run.dagId, 'blue');
  for (const each of [run, earlier, same, red]) await leave(server, each, 'extract', ['left']);
  const read = async (of: { dagId: string; runId: string }, more = '') => {
    const { status, text } = await ask('GET', xcomsOf(id, of, `extract/return_value${more}`));
    return { status, text };
  };
  const refused = await read(earlier);
  assert.equal(refused.status, 403, refused.text);
  assert.match(refused.text, /access_denied/);
  for (const [what, answer] of [
    ['another Dag of the team', await read(same)],
    ['a Dag of another team', await read(red)],
    ['a run that does not exist', await read({ ...run, runId: 'nothing' })],
    ['values of earlier runs', await read(run, '/slice?include_prior_dates=true')],
    ['a value of an earlier run', await read(run, '?include_prior_dates=true')],
  ] as const)
    assert.deepEqual(answer, refused, what);
  for (const [method, json] of [
    ['POST', 1],
    ['DELETE', undefined],
    ['PUT', 1],
    ['PATCH', 1],
  ] as const) {
    const { status } = await ask(method, xcomsOf(id, run, 'extract/return_value'), json);
    assert.ok([403, 404, 405].includes(status), `${method}: ${status}`);
  }
  assert.deepEqual(await read(run), { status: 200, text: '{"key":"return_value","value":"left"}' }, 'the control');
});

test('with declared needs it reads the results that they name; that of a task also its own task’s', async () => {
  await using server = await startExecutionApi();
  const needs = (xcoms: string) => NEEDS.replace('"xcoms":[]', `"xcoms":[${xcoms}]`);
  const run = await server.seedRun();
  await leave(server, run, 'extract', [1]);
  await leave(server, run, 'other', [2]);
  const statuses = async (over: Parameters<typeof seedCallback>[1]) => {
    const { id, ask } = await started(server, { ...over, run });
    const of = async (task: string) => (await ask('GET', xcomsOf(id, run, `${task}/return_value`))).status;
    return [await of('extract'), await of('other'), await of('nothing')];
  };
  assert.deepEqual(await statuses({ needs: needs('') }), [403, 403, 403]);
  assert.deepEqual(await statuses({ needs: needs('"extract"') }), [200, 403, 403]);
  assert.deepEqual(await statuses({ needs: needs('"nothing"') }), [403, 403, 404], 'declared, but not there');
  assert.deepEqual(await statuses({ needs: needs(''), kind: 'task' }), [200, 403, 403], 'extract is its task');
  assert.deepEqual(await statuses({ needs: needs('"other"'), kind: 'task' }), [200, 200, 403]);
  await using strict = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'strict' });
  const held = await started(strict, { needs: null });
  await leave(strict, held.run, 'extract', [1]);
  assert.equal((await held.ask('GET', xcomsOf(held.id, held.run, 'extract/return_value'))).status, 403);
});

test('what its run has left is nobody else’s by its token: not another callback’s, not a try’s, and not after its end', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CALLBACKS__CALLBACK_EXECUTION_TIMEOUT: '60' });
  const { id, run, ask, worker, workload } = await started(server, { needs: null });
  const ti = await server.startTry({}, run);
  await leave(server, run, 'extract', [1]);
  const other = await started(server, { needs: null, run });
  const path = xcomsOf(id, run, 'extract/return_value');
  // By the same connections to the database, where the two statements must not be taken for one another.
  for (let i = 0; i < 20; i++) {
    const own = `/xcoms/${run.dagId}/${run.runId}/extract/return_value`;
    assert.equal(
      (await server.call('GET', own, { key: ti.key, token: ti.token })).status,
      200,
      'the try by its own route',
    );
    assert.equal((await ask('GET', path)).status, 200);
  }
  const by = async (key: Worker['key'], token: string) => (await server.call('GET', path, { key, token })).status;
  assert.equal(await by(other.worker.key, other.token), 403, 'another callback of the run');
  assert.equal(await by(ti.key, ti.token), 403, 'a try');
  assert.equal(await by(worker.key, workload.token), 403, 'its own workload token');
  assert.equal((await ask('GET', path)).status, 200, 'the control');
  assert.equal((await ask('PATCH', `/callbacks/${id}/state`, REPORT)).status, 204);
  assert.equal((await ask('GET', path)).status, 403, 'after its end');
  const late = xcomsOf(other.id, run, 'extract/return_value');
  assert.equal((await other.ask('GET', late)).status, 200, 'the control');
  server.advance(71);
  assert.equal((await other.ask('GET', late)).status, 403, 'after its limit');
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
