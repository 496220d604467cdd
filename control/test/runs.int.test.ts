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

test('clearing again what is restarting still waits for its process; what is queued gets a new try at once', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'u' }]);
  const run = await world.trigger('a');
  await world.settle();
  await world.take(1);
  await clear(world, run);
  await clear(world, run, { preventRunningTask: true });
  const states = Object.values(await world.states(run));
  deepEqual(states.toSorted(), [null, 'restarting']);
  const history = await world.db.query<{ try_number: number }>(sql`SELECT try_number FROM task_instance_history`);
  deepEqual(
    history.map((row) => row.try_number),
    [1, 1],
    'each try is recorded once, however often its row is cleared',
  );
});

test('a cleared try that ran keeps its budget; others get all their retries anew', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't', retries: 2 }]);
  const run = await world.trigger('a');
  await world.settle();
  await world.take();
  await clear(world, run);
  deepEqual(
    (await world.tis(run)).map((ti) => [ti.state, ti.try_number, ti.max_tries]),
    [['restarting', 1, 2]],
  );
  await world.db.query(sql`UPDATE task_instance SET state = 'failed'`);
  await clear(world, run);
  deepEqual(
    (await world.tis(run)).map((ti) => [ti.state, ti.try_number, ti.max_tries]),
    [[null, 1, 3]],
  );
});

test('what waits for a retry, a poke or a trigger is cleared with all that it waited for', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't', retries: 1 }]);
  const run = await world.trigger('a');
  await world.settle();
  const [t] = await world.take();
  await world.fail(t!);
  deepEqual(await world.states(run), { t: 'up_for_retry' });
  for (const state of ['up_for_retry', 'up_for_reschedule', 'deferred']) {
    const at = world.clock.iso();
    await world.db.query(
      sql`UPDATE task_instance SET state = ${state}, retry_at = ${at}::timestamptz, reschedule_at = ${at}::timestamptz,
        trigger_id = 7, trigger_timeout = ${at}::timestamptz, next_method = 'resume', note = 'kept'`,
    );
    await clear(world, run);
    const [row] = await world.db.query<Record<string, unknown>>(
      sql`SELECT state, retry_at, reschedule_at, trigger_id, trigger_timeout, next_method, note FROM task_instance`,
    );
    deepEqual(
      { ...row },
      {
        state: null,
        retry_at: null,
        reschedule_at: null,
        trigger_id: null,
        trigger_timeout: null,
        next_method: null,
        note: 'kept',
      },
    );
  }
});

test('a cleared run gets the tasks of a newer version and loses those that are gone, on request if it is pinned', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'gone' }]);
  const runs = [await world.trigger('a'), await world.trigger('a'), await world.trigger('a')];
  await world.work();
  const [free, moved, pinned] = [runs[0]!, runs[1]!, runs[2]!];
  await world.db.query(
    sql`UPDATE dag_run SET created_version_id = (SELECT current_version_id FROM dag), bundle_version = 'one'
      WHERE id = ANY(${[moved.id, pinned.id]}::bigint[])`,
  );
  await world.dag('a', [{ id: 't' }, { id: 'new', after: ['t'] }]);
  for (const run of runs) await clear(world, run, { runOnLatestVersion: run.id === moved.id });
  await world.work();
  const newest = { gone: 'removed', new: 'success', t: 'success' };
  deepEqual(await world.states(free), newest);
  deepEqual(await world.states(moved), newest);
  deepEqual(await world.states(pinned), { gone: 'success', t: 'success' });
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

test('what has just been marked as failed stays so; a failure that was there before is cleared', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }, { id: 'u', after: ['t'] }, { id: 'v', after: ['u'], is_teardown: true }]);
  const run = await world.trigger('a');
  await world.work();
  await world.db.query(sql`UPDATE task_instance SET state = 'failed' WHERE task_id = 'v'`);
  const mark = (over: object) =>
    world.db.transaction((tx) =>
      setTaskInstanceState(tx, {
        dagId: 'a',
        runId: run.runId,
        tasks: [{ taskId: 't' }],
        state: 'failed',
        nowIso: world.clock.iso(),
        ...over,
      }),
    );
  await mark({ includeDownstream: true });
  // The teardown does not go with its upstream, and may run again.
  deepEqual(await world.states(run), { t: 'failed', u: 'failed', v: null });
  await mark({ state: 'success' });
  deepEqual(await world.states(run), { t: 'success', u: null, v: null });
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
