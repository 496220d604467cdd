// What tasks without needs use is written down, by name, so that it can be declared; nothing of those that declare.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { listObservedUses, MAX_NAMES } from '@airlock/store/queries/token/observed';
import { needsOf } from '../../src/domain/observed-needs.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const call = (server: Server, ti: Try, method: string, path: string, json?: unknown) =>
  server.call(method, path, { key: ti.key, token: ti.token, ...(json === undefined ? {} : { json }) });
const uses = async (server: Server, dagId: string) =>
  (await listObservedUses(server.db, dagId)).map((use) => `${use.task_id} ${use.kind} ${use.name}`);
const tagged = (name: string) => ({ __type: 'asset', __var: { name, uri: `s3://${name}`, group: 'asset', extra: {} } });

/** One of every use, allowed to a task without needs. */
async function useAll(server: Server, ti: Try, far: { dagId: string; runId: string }): Promise<void> {
  const { dagId, runId } = ti.run;
  for (const [method, path, json] of [
    ['GET', '/variables/region', undefined],
    ['GET', '/variables/absent', undefined],
    ['PUT', '/variables/mine', { val: 'x' }],
    ['DELETE', '/variables/mine', undefined],
    ['GET', '/connections/warehouse', undefined],
    ['GET', `/xcoms/${dagId}/${runId}/extract/k`, undefined],
    ['GET', `/xcoms/${dagId}/${runId}/load/k`, undefined],
    ['GET', `/xcoms/${dagId}/${runId}/load/k/slice?include_prior_dates=true`, undefined],
    ['GET', `/xcoms/${far.dagId}/${far.runId}/extract/k`, undefined],
    ['POST', `/xcoms/${dagId}/${runId}/extract/k`, 1],
    ['POST', `/xcoms/${far.dagId}/${far.runId}/extract/k`, 1],
    ['GET', `/dag-runs/${dagId}/${runId}/state`, undefined],
    ['GET', `/dag-runs/${far.dagId}/${far.runId}/state`, undefined],
    ['GET', `/task-instances/count?dag_id=${dagId}&run_ids=${runId}`, undefined],
    ['GET', `/task-instances/states?dag_id=${far.dagId}`, undefined],
    ['GET', `/task-instances/states?dag_id=${far.dagId}&task_ids=load&task_ids=extract`, undefined],
    ['GET', `/task-instances/count?dag_id=${far.dagId}&task_ids=no%2Fid`, undefined],
    ['POST', `/dag-runs/${far.dagId}/made`, {}],
    ['GET', '/assets/by-name?name=orders', undefined],
    ['PUT', '/store/asset/by-name/value?name=orders&key=k', { value: 1 }],
    [
      'PATCH',
      `/task-instances/${ti.id}/state`,
      {
        state: 'success',
        end_date: new Date(server.nowMs()).toISOString(),
        task_outlets: [{ type: 'Asset', name: 'orders', uri: 's3://orders' }],
      },
    ],
  ] as const) {
    await call(server, ti, method, path, json);
  }
}

test('each use of a task without needs is written down, and becomes the needs that would allow it', async () => {
  await using server = await startExecutionApi();
  const far = await server.seedRun('dag_far', null, { tasks: { extract: { outlets: [tagged('orders')] } } });
  await server.seedTask(far, { taskId: 'extract', state: 'success' });
  const ti = await server.startTry({ needs: null }, await server.seedRun('dag_own'));
  await useAll(server, ti, far);
  assert.deepEqual(await uses(server, 'dag_own'), [
    'extract asset_reads orders',
    'extract asset_writes orders',
    'extract assets orders',
    'extract connections warehouse',
    'extract dags dag_far',
    'extract run_reads dag_far',
    'extract task_reads dag_far',
    'extract tasks dag_far/extract',
    'extract tasks dag_far/load',
    'extract variable_writes mine',
    'extract variables absent',
    'extract variables region',
    'extract xcom_reads dag_far.extract',
    'extract xcom_reads dag_own.load',
    'extract xcom_writes dag_far.extract',
    'extract xcoms load',
  ]);
  const [task, ...rest] = needsOf(await listObservedUses(server.db, 'dag_own'));
  assert.deepEqual(rest, []);
  assert.deepEqual(task!.needs, {
    assets: ['orders'],
    connections: ['warehouse'],
    dags: ['dag_far'],
    tasks: ['dag_far/extract', 'dag_far/load'],
    variables: ['absent', 'region'],
    xcoms: ['load'],
  });
  assert.equal(task!.beyond.length, 8);
});

test('what was observed, declared, allows the same', async () => {
  await using server = await startExecutionApi();
  const free = await server.startTry({ needs: null }, await server.seedRun('dag_own'));
  for (const path of ['/variables/region', '/connections/warehouse']) await call(server, free, 'GET', path);
  const [observed] = needsOf(await listObservedUses(server.db, 'dag_own'));
  const bound = await server.startTry({ needs: observed!.needs });
  for (const path of ['/variables/region', '/connections/warehouse']) {
    assert.equal((await call(server, bound, 'GET', path)).status, 404, path);
  }
  assert.equal((await call(server, bound, 'GET', '/variables/other')).status, 403);
});

test('nothing is written of a task that declares needs, of one in strict mode, or of what is refused', async () => {
  for (const [env, needs] of [
    [{}, { variables: ['region'], connections: ['warehouse'], dags: ['dag_far'] }],
    [{ AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'strict' }, null],
  ] as const) {
    await using server = await startExecutionApi(env as Record<string, string>);
    const far = await server.seedRun('dag_far');
    const ti = await server.startTry({ needs: needs as never }, await server.seedRun('dag_own'));
    await useAll(server, ti, far);
    assert.deepEqual(await uses(server, 'dag_own'), []);
  }
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const theirs = await server.seedRun('dag_b', 'b');
  const ti = await server.startTry({ needs: null }, await server.seedRun('dag_own', 'a'));
  assert.equal((await call(server, ti, 'POST', `/dag-runs/${theirs.dagId}/r`, {})).status, 403);
  assert.deepEqual(await uses(server, 'dag_own'), []);
  assert.equal((await call(server, ti, 'POST', '/dag-runs/dag_own/r', {})).status, 204);
  assert.deepEqual(await uses(server, 'dag_own'), ['extract dags dag_own']);
});

test('repeated uses are counted, at the latest when the server closes', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry({ needs: null }, await server.seedRun('dag_own'));
  for (let n = 0; n < 10; n++) await call(server, ti, 'GET', '/variables/region');
  const count = async () => (await listObservedUses(server.db, 'dag_own'))[0]!.uses;
  assert.equal(await count(), 1);
  const replica = server.apps[0]!;
  await replica.close();
  assert.equal(await count(), 10);
});

test('beyond a thousand names of one kind the rest is one, and the known ones still count', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry({ needs: null }, await server.seedRun('dag_own'));
  const at = new Date(server.nowMs()).toISOString();
  await server.db.query(sql`INSERT INTO observed_use (dag_id, task_id, kind, name, uses, first_at, last_at)
    SELECT 'dag_own', 'extract', 'variables', 'v' || n, 1, ${at}, ${at} FROM generate_series(1, ${MAX_NAMES}::integer) n`);
  for (const name of ['w1', 'w2', 'v7']) await call(server, ti, 'GET', `/variables/${name}`);
  const rows = await server.db.query<{ name: string; uses: number }>(
    sql`SELECT name, uses FROM observed_use WHERE uses > 1 ORDER BY name`,
  );
  assert.deepEqual(rows, [
    { name: '*', uses: 2 },
    { name: 'v7', uses: 2 },
  ]);
  const [task] = needsOf(await listObservedUses(server.db, 'dag_own'));
  assert.deepEqual(
    [task!.needs.variables.length, task!.beyond],
    [MAX_NAMES, [{ kind: 'variables', name: '*', uses: 2 }]],
  );
});
