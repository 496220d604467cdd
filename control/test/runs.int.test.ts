import { deepEqual, equal, notEqual, ok, rejects } from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { clearTaskInstances, deleteDagRun, failTry, setDagRunState, setTaskInstanceState } from '../src/runs/index.ts';
import { makeWorld, type World } from './kit/world.ts';

const clear = (world: World, run: { id: number }, over: object = {}) =>
  world.db.transaction((tx) =>
    clearTaskInstances(tx, { dagId: 'a', dagRunIds: [run.id], nowIso: world.clock.iso(), ...over }),
  );
const finished = async (world: World, over: { tasks?: { id: string; after?: string[] }[] } = {}) => {
  await world.dag('a', over.tasks ?? [{ id: 't' }, { id: 'u', after: ['t'] }]);
  const run = await world.trigger('a');
  await world.work();
  return run;
};

test('a run is refused with the reference’s texts: type, name, params, taken name, taken date', async () => {
  await using world = await makeWorld();
  const param = {
    __class: 'airflow.sdk.definitions.param.Param',
    default: 1,
    description: null,
    schema: { __type: 'dict', __var: { type: 'integer' } },
    source: 'dag',
  };
  await world.dag('a', [{ id: 't' }], { params: [['x', param]] });
  await world.dag('backfills', [{ id: 't' }], { allowed_run_types: ['backfill'] });
  await rejects(world.trigger('nope'), { code: 'NOT_FOUND', message: "Dag with dag_id: 'nope' not found" });
  await rejects(world.trigger('backfills'), {
    code: 'BAD_REQUEST',
    message: "Dag with dag_id: 'backfills' does not allow manual runs",
  });
  await rejects(world.trigger('a', { runId: 'a/b' }), { code: 'BAD_REQUEST', message: /does not match regex pattern/ });
  await rejects(world.trigger('a', { partitionKey: 'k' }), {
    code: 'BAD_REQUEST',
    message: "Dag 'a' is not a partitioned Dag and does not accept a partition_key.",
  });
  await rejects(world.trigger('a', { conf: { x: 'str' } }), {
    code: 'BAD_REQUEST',
    message: /^Invalid input for param x: 'str' is not of type 'integer'\n/,
  });
  await world.trigger('a', { runId: 'r1', logicalDate: '2026-06-01T00:00:00Z' });
  await rejects(world.trigger('a', { runId: 'r1' }), { code: 'CONFLICT', internal: { reason: 'already_exists' } });
  await rejects(world.trigger('a', { runId: 'r2', logicalDate: '2026-06-01T00:00:00Z' }), {
    code: 'CONFLICT',
    internal: { reason: 'Unique constraint violation' },
  });
  // The refused ones have left nothing behind.
  equal((await world.db.query(sql`SELECT 1 FROM dag_run`)).length, 1);
  equal((await world.db.query(sql`SELECT 1 FROM task_instance`)).length, 1);
});

test('a run has a task instance per task, with what queue and worker need', async () => {
  await using world = await makeWorld();
  await world.dag('a', [
    { id: 't', retries: 2, pool: 'default_pool', execution_timeout: 9, _task_display_name: 'T' },
    { id: 'u', after: ['t'] },
  ]);
  const run = await world.trigger('a', { logicalDate: '2026-06-01T00:00:00.123456Z', conf: { a: 1 } });
  const rows = (await world.tis(run)) as unknown as Record<string, unknown>[];
  const { max_tries, execution_timeout_seconds, task_display_name, runtime, queue, needs, priority_weight, operator } =
    rows[0]!;
  deepEqual(
    { max_tries, execution_timeout_seconds, task_display_name, runtime, queue, priority_weight, operator },
    {
      max_tries: 2,
      execution_timeout_seconds: 9,
      task_display_name: 'T',
      runtime: 'typescript',
      queue: 'typescript',
      priority_weight: 2,
      operator: 'TypeScriptOperator',
    },
  );
  ok(String(needs).includes('connections'));
  const [row] = await world.db.query<{ at: string; data_interval_start: string }>(
    sql`SELECT logical_date::text AS at, data_interval_start FROM dag_run WHERE id = ${run.id}`,
  );
  ok(row?.at.includes('.123456'));
  ok(row?.data_interval_start.includes('.123456'));
});

test('a literal mapping has its indexes from the start; an empty one is skipped', async () => {
  await using world = await makeWorld();
  const over = (list: unknown[]) => ({
    _is_mapped: true,
    _expand_input_attr: 'expand_input',
    partial_kwargs: {},
    expand_input: { type: 'dict-of-lists', value: { __type: 'dict', __var: { x: list } } },
  });
  await world.dag('a', [
    { id: 'two', ...over([1, 2]) },
    { id: 'none', ...over([]) },
  ]);
  const run = await world.trigger('a');
  deepEqual(await world.states(run), { 'two[0]': null, 'two[1]': null, none: null });
  await world.work();
  deepEqual(await world.states(run), { 'two[0]': 'success', 'two[1]': 'success', none: 'skipped' });
});

test('clearing gives a new id and a full budget, archives the try, and queues the finished run again', async () => {
  await using world = await makeWorld();
  const run = await finished(world);
  const before = await world.tis(run);
  const cleared = await clear(world, run, { tasks: [{ taskId: 't' }] });
  equal(cleared.length, 1);
  const after = await world.tis(run);
  notEqual(after[0]?.id, before[0]?.id);
  deepEqual([after[0]?.state, after[0]?.try_number, after[1]?.state], [null, 1, 'success']);
  const { state, clear_number, start_date } = await world.run(run);
  deepEqual({ state, clear_number, start_date }, { state: 'queued', clear_number: 1, start_date: null });
  const history = await world.db.query<{ id: string; state: string }>(sql`SELECT id, state FROM task_instance_history`);
  deepEqual(history, [{ id: before[0]?.id, state: 'success' }]);
  equal(await world.work(), 1);
  equal((await world.tis(run))[0]?.try_number, 2);
  equal((await world.run(run)).state, 'success');
});

test('clearing what runs makes it restarting, without tokens, until its old process is gone', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t] = await world.take();
  await world.db.query(sql`UPDATE task_instance SET execution_jti = 'x', workload_jti = 'y' WHERE id = ${t!.id}`);
  await rejects(clear(world, run, { preventRunningTask: true }), {
    code: 'CONFLICT',
    message: /^AirflowClearRunningTaskException/,
  });
  await clear(world, run);
  const [row] = (await world.tis(run)) as unknown as {
    state: string;
    execution_jti: string | null;
    workload_jti: string | null;
  }[];
  deepEqual([row?.state, row?.execution_jti, row?.workload_jti], ['restarting', null, null]);
  await world.settle();
  deepEqual(await world.states(run), { t: 'restarting' });
});

test('a dry run, and a clear of failures only, touch nothing else', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'u' }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t, u] = (await world.take()).toSorted((x, y) => x.task_id.localeCompare(y.task_id));
  await world.succeed(t!);
  await world.fail(u!);
  await world.settle();
  const before = await world.tis(run);
  equal((await clear(world, run, { dryRun: true })).length, 2);
  deepEqual(await world.tis(run), before);
  deepEqual(
    (await clear(world, run, { onlyFailed: true })).map((ti) => ti.task_id),
    ['u'],
  );
});

test('setups and teardowns come along when a task in their scope is cleared', async () => {
  await using world = await makeWorld();
  await world.dag('a', [
    { id: 's', is_setup: true },
    { id: 'w', after: ['s'] },
    { id: 't', after: ['s', 'w'], is_teardown: true, trigger_rule: 'all_done_setup_success' },
    { id: 'other' },
  ]);
  const run = await world.trigger('a');
  await world.work();
  const cleared = await clear(world, run, { tasks: [{ taskId: 'w' }] });
  deepEqual(cleared.map((ti) => ti.task_id).toSorted(), ['s', 't', 'w']);
});

test('marking a run ends what runs, skips what has not begun, and takes every token', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t] = await world.take();
  await world.db.query(sql`UPDATE task_instance SET execution_jti = 'x' WHERE id = ${t!.id}`);
  await world.db.transaction((tx) =>
    setDagRunState(tx, { dagId: 'a', runId: run.runId, state: 'success', nowIso: world.clock.iso() }),
  );
  deepEqual(await world.states(run), { t: 'success', u: 'skipped' });
  const { state, end_date } = await world.run(run);
  deepEqual([state, end_date !== null], ['success', true]);
  const left = await world.db.query(sql`SELECT 1 FROM task_instance WHERE execution_jti IS NOT NULL`);
  equal(left.length, 0);
  // What the worker still reports finds no running try.
  equal(
    await world.db.transaction((tx) =>
      failTry(tx, { id: t!.id, reason: 'late', nowIso: world.clock.iso(), from: ['running'] }),
    ),
    null,
  );
});

test('a run that is marked while a teardown is left ends with the teardown', async () => {
  await using world = await makeWorld();
  await world.dag('a', [
    { id: 's', is_setup: true },
    { id: 'w', after: ['s'] },
    { id: 't', after: ['w', 's'], is_teardown: true, trigger_rule: 'all_done' },
  ]);
  const run = await world.trigger('a');
  await world.settle();
  const [s] = await world.take();
  await world.succeed(s!);
  await world.settle();
  await world.db.transaction((tx) =>
    setDagRunState(tx, { dagId: 'a', runId: run.runId, state: 'failed', nowIso: world.clock.iso() }),
  );
  equal((await world.run(run)).state, 'running');
  equal(await world.work(), 1);
  deepEqual(await world.states(run), { s: 'success', t: 'success', w: 'skipped' });
  notEqual((await world.run(run)).state, 'running');
});

test('marking a failed task as success clears the failures after it, and the run goes on', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t] = await world.take();
  await world.fail(t!);
  await world.settle();
  equal((await world.run(run)).state, 'failed');
  const result = await world.db.transaction((tx) =>
    setTaskInstanceState(tx, {
      dagId: 'a',
      runId: run.runId,
      tasks: [{ taskId: 't' }],
      state: 'success',
      nowIso: world.clock.iso(),
    }),
  );
  deepEqual([result.changed.length, result.cleared.map((ti) => ti.task_id)], [1, ['u']]);
  equal(await world.work(), 1);
  equal((await world.run(run)).state, 'success');
});

test('a run is deleted with all that it has, unless it is running', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }]);
  const run = await world.trigger('a');
  await world.settle();
  const remove = () => world.db.transaction((tx) => deleteDagRun(tx, { dagId: 'a', runId: run.runId }));
  await rejects(remove(), { code: 'CONFLICT', message: /cannot be deleted in running state/ });
  await world.work();
  await remove();
  equal((await world.db.query(sql`SELECT 1 FROM task_instance`)).length, 0);
  await rejects(remove(), { code: 'NOT_FOUND' });
});

test('n failed runs in a row pause a Dag that asks for it', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }], { max_consecutive_failed_dag_runs: 2 });
  for (const expected of [false, true]) {
    await world.trigger('a');
    await world.settle();
    for (const ti of await world.take()) await world.fail(ti);
    await world.settle();
    world.clock.advance(1);
    const [dag] = await world.db.query<{ is_paused: boolean }>(sql`SELECT is_paused FROM dag`);
    equal(dag?.is_paused, expected);
  }
});
