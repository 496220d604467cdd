import { deepEqual, equal, notEqual, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { mappedOver } from './kit/dags.ts';
import { makeWorld } from './kit/world.ts';

test('a run goes from queued to success, task after task', async () => {
  await using world = await makeWorld();
  await world.dag('chain', [{ id: 'a' }, { id: 'b', after: ['a'] }]);
  const run = await world.trigger('chain');
  equal((await world.run(run)).state, 'queued');
  await world.settle();
  deepEqual(await world.states(run), { a: 'queued', b: null });
  equal((await world.run(run)).state, 'running');
  const [a] = await world.take();
  equal(a?.try_number, 1);
  await world.succeed(a!);
  await world.settle();
  deepEqual(await world.states(run), { a: 'success', b: 'queued' });
  await world.work();
  equal((await world.run(run)).state, 'success');
});

test('a failed try is archived under its id and runs again after its delay, until its budget is used up', async () => {
  await using world = await makeWorld();
  await world.dag('retry', [
    { id: 'a', retries: 1, retry_delay: 60 },
    { id: 'b', after: ['a'] },
  ]);
  const run = await world.trigger('retry');
  await world.settle();
  const [first] = await world.take();
  await world.fail(first!);
  await world.settle();
  const [waiting] = await world.tis(run);
  equal(waiting?.state, 'up_for_retry');
  notEqual(waiting?.id, first?.id);
  const history = await world.db.query<{ id: string; state: string; try_number: number }>(
    sql`SELECT * FROM task_instance_history`,
  );
  deepEqual(
    history.map((h) => [h.id, h.state, h.try_number]),
    [[first?.id, 'failed', 1]],
  );
  world.clock.advance(59);
  await world.settle();
  equal((await world.tis(run))[0]?.state, 'up_for_retry');
  world.clock.advance(2);
  await world.settle();
  const [second] = await world.take();
  equal(second?.try_number, 2);
  await world.fail(second!);
  await world.settle();
  deepEqual(await world.states(run), { a: 'failed', b: 'upstream_failed' });
  equal((await world.run(run)).state, 'failed');
});

test('a mapped task gets one instance per element, and the reducer waits for all of them', async () => {
  await using world = await makeWorld();
  await world.dag('map', [
    { id: 'list' },
    { id: 'each', after: ['list'], ...mappedOver('list') },
    { id: 'sum', after: ['each'] },
  ]);
  const run = await world.trigger('map');
  await world.settle();
  const [list] = await world.take();
  await world.succeed(list!, 3);
  await world.settle();
  deepEqual(await world.states(run), {
    'each[0]': 'queued',
    'each[1]': 'queued',
    'each[2]': 'queued',
    list: 'success',
    sum: null,
  });
  await world.work();
  equal((await world.run(run)).state, 'success');
});

test('a mapping over nothing is skipped, and so is what follows', async () => {
  await using world = await makeWorld();
  await world.dag('map', [
    { id: 'list' },
    { id: 'each', after: ['list'], ...mappedOver('list') },
    { id: 'sum', after: ['each'] },
  ]);
  const run = await world.trigger('map');
  await world.settle();
  const [list] = await world.take();
  await world.succeed(list!, 0);
  await world.settle();
  deepEqual(await world.states(run), { each: 'skipped', list: 'success', sum: 'skipped' });
  equal((await world.run(run)).state, 'success');
});

test('more elements than the author allows fail the mapped task', async () => {
  await using world = await makeWorld();
  await world.dag('map', [
    { id: 'list' },
    { id: 'each', after: ['list'], ...mappedOver('list'), __airlock_map_limit: 2 },
  ]);
  const run = await world.trigger('map');
  await world.settle();
  const [list] = await world.take();
  await world.succeed(list!, 3);
  await world.settle();
  deepEqual(await world.states(run), { each: 'failed', list: 'success' });
  equal((await world.run(run)).state, 'failed');
});

test('a paused Dag keeps its run queued until it is unpaused', async () => {
  await using world = await makeWorld();
  await world.dag('paused', [{ id: 'a' }], { is_paused_upon_creation: true });
  const run = await world.trigger('paused');
  await world.settle();
  equal((await world.run(run)).state, 'queued');
  await world.db.query(sql`UPDATE dag SET is_paused = false WHERE dag_id = 'paused'`);
  await world.settle();
  equal((await world.run(run)).state, 'running');
});

test('no more runs of a Dag run at once than it allows, oldest first', async () => {
  await using world = await makeWorld();
  await world.dag('limited', [{ id: 'a' }], { max_active_runs: 2 });
  const runs = [await world.trigger('limited'), await world.trigger('limited'), await world.trigger('limited')];
  await world.settle();
  deepEqual(await Promise.all(runs.map(async (run) => (await world.run(run)).state)), ['running', 'running', 'queued']);
  equal(await world.work(), 3);
  deepEqual(await Promise.all(runs.map(async (run) => (await world.run(run)).state)), [
    'success',
    'success',
    'success',
  ]);
});

test('a run whose time has not come waits for it', async () => {
  await using world = await makeWorld();
  await world.dag('later', [{ id: 'a' }]);
  const run = await world.trigger('later', { runAfter: '2026-06-10T10:00:00Z' });
  await world.settle();
  equal((await world.run(run)).state, 'queued');
  equal(world.core.agenda.nextDueMs(), Date.parse('2026-06-10T10:00:00Z'));
  world.clock.advance(1800);
  await world.core.settle();
  equal((await world.run(run)).state, 'running');
});

test('limits hold: pool slots, tasks per run, indexes per run', async () => {
  await using world = await makeWorld();
  await world.db.query(sql`INSERT INTO slot_pool (name, slots) VALUES ('small', 3)`);
  await world.dag('pools', [
    { id: 'big', pool: 'small', pool_slots: 2 },
    { id: 'also', pool: 'small', pool_slots: 2 },
    { id: 'tiny', pool: 'small' },
  ]);
  const run = await world.trigger('pools');
  await world.settle();
  deepEqual(await world.states(run), { also: 'queued', big: 'scheduled', tiny: 'queued' });

  await world.dag(
    'width',
    ['a', 'b', 'c', 'd'].map((id) => ({ id })),
    { max_active_tasks: 2 },
  );
  const wide = await world.trigger('width');
  await world.settle();
  equal(Object.values(await world.states(wide)).filter((state) => state === 'queued').length, 2);

  await world.dag('mapped', [
    { id: 'list' },
    { id: 'each', after: ['list'], ...mappedOver('list'), partial_kwargs: { max_active_tis_per_dagrun: 2 } },
  ]);
  const mapped = await world.trigger('mapped');
  await world.settle();
  const list = (await world.take()).find((ti) => ti.task_id === 'list');
  await world.succeed(list!, 5);
  await world.settle();
  equal(Object.values(await world.states(mapped)).filter((state) => state === 'queued').length, 2);
});

test('a pool that does not exist keeps its tasks scheduled and holds up no other', async () => {
  await using world = await makeWorld();
  await world.dag('nopool', [{ id: 'a', pool: 'missing' }, { id: 'b' }]);
  const run = await world.trigger('nopool');
  await world.settle();
  deepEqual(await world.states(run), { a: 'scheduled', b: 'queued' });
  const warnings = () => world.db.query<{ message: string }>(sql`SELECT message FROM dag_warning`);
  await world.settle();
  deepEqual(await warnings(), [{ message: 'Tasks wait for pools that do not exist: missing' }]);
  await world.db.query(sql`INSERT INTO slot_pool (name, slots) VALUES ('missing', 1)`);
  await world.settle();
  deepEqual(await world.states(run), { a: 'queued', b: 'queued' });
  await world.settle();
  deepEqual(await warnings(), []);
});

test('scheduled runs come at their ticks, one for an outage without catchup', async () => {
  await using world = await makeWorld();
  await world.dag('cron', [{ id: 'a' }], {
    start_date: Date.parse('2026-01-01T00:00:00Z') / 1000,
    timetable: {
      __type: 'airflow.timetables.trigger.CronTriggerTimetable',
      __var: { expression: '0 * * * *', timezone: 'UTC' },
    },
  });
  await world.settle();
  const runs = () =>
    world.db.query<{ run_id: string }>(sql`SELECT run_id FROM dag_run WHERE dag_id = 'cron' ORDER BY id`);
  deepEqual(
    (await runs()).map((run) => run.run_id),
    ['scheduled__2026-06-10T09:00:00+00:00'],
  );
  equal(world.core.agenda.nextDueMs(), Date.parse('2026-06-10T10:00:00Z'));
  world.clock.advance(4 * 3600);
  await world.settle();
  // 10:00, 11:00 and 12:00 were missed: only the newest is made.
  deepEqual(
    (await runs()).map((run) => run.run_id),
    ['scheduled__2026-06-10T09:00:00+00:00', 'scheduled__2026-06-10T13:00:00+00:00'],
  );
});

test('catchup makes every missed run, as far as max active runs allows', async () => {
  await using world = await makeWorld();
  await world.dag('catchup', [{ id: 'a' }], {
    start_date: Date.parse('2026-06-01T00:00:00Z') / 1000,
    catchup: true,
    max_active_runs: 3,
    timetable: {
      __type: 'airflow.timetables.interval.CronDataIntervalTimetable',
      __var: { expression: '0 0 * * *', timezone: 'UTC' },
    },
  });
  await world.settle();
  const count = async () => (await world.db.query(sql`SELECT 1 FROM dag_run WHERE dag_id = 'catchup'`)).length;
  equal(await count(), 3);
  await world.work();
  equal(await count(), 9);
});

test('a run that takes longer than its Dag allows fails, and what was left of it is skipped', async () => {
  await using world = await makeWorld();
  await world.dag('slow', [{ id: 'a' }, { id: 'b', after: ['a'] }], { dagrun_timeout: 60 });
  const run = await world.trigger('slow');
  await world.settle();
  await world.take();
  equal(world.core.agenda.nextDueMs(), world.clock.nowMs() + 60_000);
  world.clock.advance(61);
  await world.core.settle();
  equal((await world.run(run)).state, 'failed');
  deepEqual(await world.states(run), { a: 'skipped', b: 'skipped' });
});

test('higher weight goes first when there is room for one', async () => {
  await using world = await makeWorld();
  const core = world.newCore({ parallelism: 1 });
  await world.dag('weights', [{ id: 'light' }, { id: 'heavy', priority_weight: 10 }]);
  const run = await world.trigger('weights');
  await core.resync();
  await core.settle();
  deepEqual(await world.states(run), { heavy: 'queued', light: 'scheduled' });
  ok((await world.tis(run)).find((ti) => ti.task_id === 'heavy')!.priority_weight > 1);
});

test('a Dag that was paused for days makes its newest run when it is unpaused, not the one that was stored', async () => {
  await using world = await makeWorld();
  await world.dag('cron', [{ id: 'a' }], {
    start_date: Date.parse('2026-01-01T00:00:00Z') / 1000,
    is_paused_upon_creation: true,
    timetable: {
      __type: 'airflow.timetables.interval.CronDataIntervalTimetable',
      __var: { expression: '0 0 * * *', timezone: 'Europe/Stockholm' },
    },
  });
  world.clock.advance(5 * 86_400);
  await world.settle();
  equal((await world.db.query(sql`SELECT 1 FROM dag_run`)).length, 0);
  await world.db.query(sql`UPDATE dag SET is_paused = false`);
  await world.settle();
  const runs = await world.db.query<{ run_id: string; logical_date: string }>(sql`SELECT * FROM dag_run`);
  deepEqual(
    runs.map((run) => [run.run_id, Date.parse(run.logical_date)]),
    [['scheduled__2026-06-14T22:00:00+00:00', Date.parse('2026-06-13T22:00:00Z')]],
  );
});

test('a task that depends on its past goes on as soon as the one before has succeeded', async () => {
  await using world = await makeWorld();
  await world.dag('past', [
    { id: 'a', depends_on_past: true },
    { id: 'b', after: ['a'] },
  ]);
  const first = await world.trigger('past', { logicalDate: '2026-06-01T00:00:00Z' });
  const second = await world.trigger('past', { logicalDate: '2026-06-02T00:00:00Z' });
  await world.settle();
  deepEqual(await world.states(second), { a: null, b: null });
  const [a] = await world.take();
  await world.succeed(a!);
  // Only the first run is marked; the second follows from it, and the two do not wake each other for ever.
  world.core.agenda.mark(first.id);
  await world.core.settle();
  deepEqual(await world.states(second), { a: 'queued', b: null });
  await world.work();
  equal((await world.run(second)).state, 'success');
});

test('two schedulers that find the same tick make one run of it', async () => {
  await using world = await makeWorld();
  for (const id of ['x', 'y', 'z']) {
    await world.dag(id, [{ id: 'a' }], {
      start_date: Date.parse('2026-06-10T00:00:00Z') / 1000,
      timetable: {
        __type: 'airflow.timetables.trigger.CronTriggerTimetable',
        __var: { expression: '0 * * * *', timezone: 'UTC' },
      },
    });
  }
  const cores = [world.core, world.newCore(), world.newCore()];
  await Promise.all(
    cores.map(async (core) => {
      await core.resync();
      await core.settle();
    }),
  );
  const runs = await world.db.query<{ dag_id: string; run_id: string }>(
    sql`SELECT dag_id, run_id FROM dag_run ORDER BY dag_id`,
  );
  deepEqual(
    runs.map((run) => `${run.dag_id} ${run.run_id}`),
    ['x', 'y', 'z'].map((id) => `${id} scheduled__2026-06-10T09:00:00+00:00`),
  );
});
