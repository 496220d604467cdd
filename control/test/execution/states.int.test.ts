// Decision 25: needs open the states of the tasks that they name, of no other task, and nothing else of their Dag.
import assert from 'node:assert/strict';
import test from 'node:test';
import { TRIGGER_TRY_HEADER } from '@airlock/contract/supervisor-api';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';
import { as, joinTriggerer, sync, type Triggerer } from './triggerers.ts';

const SECTION = {
  _group_id: null,
  children: {
    section: [
      'taskgroup',
      { _group_id: 'section', children: { load: ['operator', 'load'], side: ['operator', 'side'] } },
    ],
  },
};
const DENIED = '{"detail":{"reason":"access_denied","message":"Task does not have access to these task instances"}}';

/** Runs of a Dag that others wait for, with all tasks of it done. */
async function far(server: Server, dagId = 'dag_far', team: string | null = null) {
  const run = await server.seedRun(dagId, team, { taskGroup: SECTION });
  for (const taskId of ['extract', 'load', 'report', 'side']) await server.seedTask(run, { taskId, state: 'success' });
  return run;
}
type Run = Awaited<ReturnType<typeof far>>;
const get = (server: Server, ti: Try, path: string) => server.call('GET', path, { key: ti.key, token: ti.token });
const looks = (query: string) => [`/task-instances/count?${query}`, `/task-instances/states?${query}`];
const of = (run: Pick<Run, 'dagId' | 'runId'>, more = '') => `dag_id=${run.dagId}&run_ids=${run.runId}${more}`;

test('the states of declared tasks and groups are shown in whichever run; each undeclared one among them refuses the look', async () => {
  await using server = await startExecutionApi();
  const [run, before] = [await far(server), await far(server)];
  const needs = { tasks: ['dag_far/load', 'dag_far/section', 'dag_far/absent', 'dag_gone/load'] };
  const ti = await server.startTry({ needs }, await server.seedRun('dag_own'));
  for (const [query, shown] of [
    [of(run, '&task_ids=load'), { load: 'success' }],
    [of(before, '&task_ids=load'), { load: 'success' }],
    [of(run, '&task_group_id=section'), { load: 'success', side: 'success' }],
    [of(run, '&task_ids=load&task_group_id=section'), { load: 'success', side: 'success' }],
    [of(run, '&task_ids=absent'), undefined],
    [of({ dagId: 'dag_gone', runId: 'r' }, '&task_ids=load'), undefined],
    ['dag_id=dag_far&logical_dates=2026-01-01T00:00:00Z&task_ids=load', undefined],
  ] as const) {
    const [count, states] = looks(query);
    const answer = (await get(server, ti, states!)).json<{ task_states: Record<string, object> }>();
    assert.deepEqual(Object.values(answer.task_states)[0], shown, query);
    assert.equal((await get(server, ti, count!)).text, String(Object.keys(shown ?? {}).length), query);
  }
  for (const query of [
    of(run, '&task_ids=side'),
    of(run, '&task_ids=load&task_ids=side'),
    of(run, '&task_ids=load&task_group_id=other'),
    of(run, '&task_ids=nobody'),
    of(run, '&task_group_id=load_'),
    of(run, '&task_ids=Load'),
    of(run, '&task_ids=lo%25'),
    of(run, '&task_ids=section%2Fload'),
    of(run),
    'dag_id=dag_far',
    of({ dagId: 'dag_own', runId: run.runId }, '&task_ids=load'),
    of({ dagId: 'absent', runId: 'r' }, '&task_ids=load'),
    of({ dagId: 'absent', runId: 'r' }, '&task_group_id=section'),
  ])
    for (const path of looks(query)) {
      const answer = await get(server, ti, path);
      assert.deepEqual([answer.status, answer.text], [403, DENIED], path);
    }
});

test('it opens states alone: no run, Dag, XCom, breadcrumb or time of that Dag, and no start or clear of it', async () => {
  await using server = await startExecutionApi();
  const run = await far(server);
  await server.db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
    VALUES (${run.dagRunId}, 'load', -1, 'k', 'dag_far', ${run.runId}, '1', '2026-01-01T00:00:00Z')`);
  const needs = { tasks: ['dag_far/load'], xcoms: ['load'] };
  const ti = await server.startTry({ needs }, await server.seedRun('dag_own'));
  const free = await server.startTry({ needs: null }, await server.seedRun('dag_own'));
  const send = (who: Try) => ({ key: who.key, token: who.token });
  for (const [method, path, json] of [
    ['GET', `/dag-runs/dag_far/${run.runId}`],
    ['GET', `/dag-runs/dag_far/${run.runId}/state`],
    ['GET', `/dag-runs/count?${of(run)}`],
    ['GET', `/dags/dag_far`],
    ['GET', `/xcoms/dag_far/${run.runId}/load/k`],
    ['GET', `/task-instances/breadcrumbs?dag_id=dag_far&run_id=${run.runId}`],
    ['GET', `/task-instances/previous/dag_far/load`],
    ['POST', `/dag-runs/dag_far/${run.runId}/clear`],
    ['POST', `/dag-runs/dag_far/made`, {}],
  ] as const) {
    assert.equal((await server.call(method, path, { ...send(ti), json })).status, 403, path);
    const control = await server.call(method, path, { ...send(free), json });
    assert.ok(control.status === 200 || control.status === 204, `the control: ${path} ${control.status}`);
  }
  assert.equal((await get(server, ti, looks(of(run, '&task_ids=load'))[1]!)).status, 200, 'what it opens');
});

test('no needs open a Dag of another team: not its states, its runs, what is known of it, nor a run of it', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const runs = {
    a: await far(server, 'dag_a', 'a'),
    b: await far(server, 'dag_b', 'b'),
    none: await far(server, 'dag_n'),
  };
  const dags = ['dag_a', 'dag_b', 'dag_n', 'dag_x'];
  const needs = { dags, tasks: dags.map((dagId) => `${dagId}/load`) };
  const ti = await server.startTry({ needs }, await server.seedRun('dag_own', 'a'));
  const absent = { dagId: 'dag_x', runId: runs.b.runId };
  const paths = (run: Pick<Run, 'dagId' | 'runId'>) => [
    ...looks(of(run, '&task_ids=load')),
    `/dag-runs/${run.dagId}/${run.runId}`,
    `/dag-runs/${run.dagId}/${run.runId}/state`,
    `/dag-runs/count?${of(run)}`,
    `/dags/${run.dagId}`,
  ];
  for (const [at, path] of paths(runs.b).entries()) {
    const answer = await get(server, ti, path);
    assert.equal(answer.status, 403, path);
    const other = await get(server, ti, paths(absent)[at]!);
    assert.equal(other.text.replaceAll('dag_x', 'dag_b'), answer.text, 'as if it were not there');
    for (const run of [runs.a, runs.none]) assert.equal((await get(server, ti, paths(run)[at]!)).status, 200, path);
  }
  const made = async (run: Pick<Run, 'dagId' | 'runId'>) => [
    (await server.call('POST', `/dag-runs/${run.dagId}/made`, { key: ti.key, token: ti.token, json: {} })).status,
    (await server.call('POST', `/dag-runs/${run.dagId}/${run.runId}/clear`, { key: ti.key, token: ti.token })).status,
  ];
  for (const run of [runs.b, runs.none, absent]) assert.deepEqual(await made(run), [403, 403], run.dagId);
  assert.deepEqual(await made(runs.a), [204, 204], 'the control');
});

test('a triggerer sees the states that the waiting task declared, for that task alone, and only while it waits', async () => {
  await using server = await startExecutionApi();
  const run = await far(server);
  const waits = async (tasks: string[]) => {
    const ti = await server.startTry({ needs: { tasks } });
    const json = {
      state: 'deferred',
      classpath: 'airlock.tasks',
      trigger_kwargs: {},
      next_method: 'r',
      next_kwargs: {},
    };
    const answer = await server.call('PATCH', `/task-instances/${ti.id}/state`, { key: ti.key, token: ti.token, json });
    assert.equal(answer.status, 204, answer.text);
    return ti;
  };
  const ti = await waits(['dag_far/load']);
  const triggerer = await joinTriggerer(server);
  const other = await waits(['dag_far/side']);
  const { run: given } = await sync(server, triggerer);
  const workload = given.find((each) => each.ti?.id === ti.id)!;
  assert.ok(given.some((each) => each.ti?.id === other.id));
  const [, path] = looks(of(run, '&task_ids=load'));
  const status = async (who: Triggerer, id: string) =>
    (await server.call('GET', path!, { ...as(who), headers: { [TRIGGER_TRY_HEADER]: id } })).status;
  assert.equal(await status(triggerer, other.id), 403, 'a trigger of another task, on the same triggerer');
  assert.equal(await status(await joinTriggerer(server), ti.id), 403, 'another triggerer');
  assert.equal((await get(server, ti, path!)).status, 403, 'the task itself, whose tokens went when it began to wait');
  assert.equal(await status(triggerer, ti.id), 200, 'the control');
  const end = await server.call('POST', `/triggers/${workload.id}/outcome`, {
    ...as(triggerer),
    json: { kind: 'event', payload: '1' },
  });
  assert.equal(end.json<{ accepted: boolean }>().accepted, true);
  assert.equal(await status(triggerer, ti.id), 403, 'it waits no more');
});

test('a try that has ended reads no states, though it declared them', async () => {
  await using server = await startExecutionApi();
  const run = await far(server);
  const ti = await server.startTry({ needs: { tasks: ['dag_far/load'] } });
  const paths = looks(of(run, '&task_ids=load'));
  for (const path of paths) assert.equal((await get(server, ti, path)).status, 200, 'the control');
  await server.db.query(sql`UPDATE task_instance SET state = 'success' WHERE id = ${ti.id}`);
  for (const path of paths) assert.equal((await get(server, ti, path)).status, 403);
});
