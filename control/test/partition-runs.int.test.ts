/** Runs of partitions: by the clock, by events of partitioned assets, by people; and that none is lost or made twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { insertAssetEvents } from '@airlock/store/queries/asset/emit';
import { createBackfill } from '../src/runs/index.ts';
import { makeWorld, type World } from './kit/world.ts';

const EMPTY = [{ id: 't', _is_empty: true }];
const asset = (name: string) => ({ __type: 'asset', name, uri: `s3://${name}`, group: 'asset', extra: {} });
const mapper = (path: string, fields: object = {}) => ({ __type: `airflow.partition_mappers.${path}`, __var: fields });
const IDENTITY = mapper('identity.IdentityMapper');
const HOUR_TO_DAY = mapper('temporal.StartOfHourMapper', {
  timezone: 'UTC',
  input_format: '%Y-%m-%dT%H',
  output_format: '%Y-%m-%d',
});
const daily = (policy: object) =>
  mapper('base.RollupMapper', {
    upstream_mapper: HOUR_TO_DAY,
    window: mapper('window.DayWindow', { direction: 'forward' }),
    wait_policy: policy,
  });
const atLeast = (n: number) => mapper('wait_policy.MinimumCount', { n });
/** A schedule of partitions of these assets, all of them. */
const on = (mappers: Record<string, object>) => ({
  timetable: {
    __type: 'airflow.timetables.simple.PartitionedAssetTimetable',
    __var: {
      asset_condition: { __type: 'asset_all', objects: Object.keys(mappers).map(asset) },
      default_partition_mapper: IDENTITY,
      partition_mapper_config: Object.entries(mappers).map(([name, each]) => [asset(name), each]),
    },
  },
});
const hourly = (over: object = {}) => ({
  timetable: {
    __type: 'airflow.timetables.trigger.CronPartitionTimetable',
    __var: {
      expression: '0 * * * *',
      timezone: 'Asia/Taipei',
      run_immediately: false,
      run_offset: -1,
      key_format: '%Y-%m-%dT%H',
      ...over,
    },
  },
});

type Source = { readonly dagId: string; readonly runId: string; readonly dagRunId: number };
async function emit(world: World, name: string, keys: readonly (string | null)[], source: Source | null = null) {
  world.clock.advance(1);
  const [row] = await world.db.query<{ id: number }>(sql`SELECT id FROM asset WHERE name = ${name}`);
  assert.ok(row, 'the asset is there');
  const made = await world.db.transaction((tx) =>
    insertAssetEvents(tx, {
      events: keys.map((key) => ({ asset_id: row.id, extra: {}, partition_key: key, aliases: [] })),
      source: source && { ...source, taskId: 't', mapIndex: -1 },
      audience: { kind: 'task', team: null },
      multiTeam: false,
      nowIso: world.clock.iso(),
    }),
  );
  await world.settle();
  return made;
}
/** `key @ date: consumed keys` of a Dag's runs, oldest first. */
async function runsOf(world: World, dagId: string): Promise<string[]> {
  const rows = await world.db.query<{ key: string | null; date: string | null; consumed: string[] }>(
    sql`SELECT partition_key AS key, partition_date AS date, ARRAY(SELECT e.partition_key FROM dag_run_asset_event x
        JOIN asset_event e ON e.id = x.event_id WHERE x.dag_run_id = r.id ORDER BY e.id) AS consumed
      FROM dag_run r WHERE dag_id = ${dagId} ORDER BY id`,
  );
  const day = (iso: string | null) => (iso === null ? 'none' : new Date(iso).toISOString().slice(0, 16));
  return rows.map((row) => `${row.key} @ ${day(row.date)}: ${row.consumed.join(' ')}`);
}
const hours = (from: number, to: number, day = '2026-06-01') =>
  Array.from({ length: to - from }, (_, n) => `${day}T${String(from + n).padStart(2, '0')}`);
const auditOf = (world: World, event: string) =>
  world.db.query<{ dag_id: string; extra: string }>(sql`SELECT dag_id, extra FROM event_log WHERE event = ${event}`);

test('an event with a partition makes a run of that partition; another partition, another run', async () => {
  await using world = await makeWorld();
  await world.dag('listens', EMPTY, on({ a: IDENTITY }));
  await emit(world, 'a', ['eu']);
  await emit(world, 'a', ['us', 'ap']);
  assert.deepEqual(await runsOf(world, 'listens'), ['eu @ none: eu', 'us @ none: us', 'ap @ none: ap']);
  await emit(world, 'a', ['eu', 'eu']);
  assert.equal((await runsOf(world, 'listens')).at(-1), 'eu @ none: eu eu', 'several events before a run are one run');
});

test('an event without a partition makes no run of a schedule of partitions, and one with a partition none of the others', async () => {
  await using world = await makeWorld();
  await world.dag('partitioned', EMPTY, on({ a: IDENTITY }));
  await world.dag('plain', EMPTY, {
    timetable: { __type: 'airflow.timetables.simple.AssetTriggeredTimetable', __var: { asset_condition: asset('a') } },
  });
  const { unkeyed } = await emit(world, 'a', [null]);
  assert.deepEqual(unkeyed, ['partitioned'], 'and who made the event is told');
  assert.deepEqual([await runsOf(world, 'partitioned'), (await runsOf(world, 'plain')).length], [[], 1]);
  await emit(world, 'a', ['eu']);
  assert.deepEqual([(await runsOf(world, 'partitioned')).length, (await runsOf(world, 'plain')).length], [1, 1]);
});

test('two assets make a run when both have come for the same partition', async () => {
  await using world = await makeWorld();
  await world.dag('both', EMPTY, on({ a: IDENTITY, b: IDENTITY }));
  await emit(world, 'a', ['eu', 'us']);
  await emit(world, 'b', ['ap']);
  assert.deepEqual(await runsOf(world, 'both'), []);
  await emit(world, 'b', ['us']);
  assert.deepEqual(await runsOf(world, 'both'), ['us @ none: us us']);
});

test('a roll-up waits for as many keys as its policy says, and its run has the date of its key', async () => {
  await using world = await makeWorld();
  await world.dag('day', EMPTY, on({ a: daily(atLeast(20)) }));
  await emit(world, 'a', hours(0, 19));
  await emit(world, 'a', hours(0, 19));
  await emit(world, 'a', hours(0, 24, '2026-06-02').slice(0, 5));
  assert.deepEqual(await runsOf(world, 'day'), [], 'the same hours again are no more hours');
  await emit(world, 'a', hours(19, 20));
  const [run, ...more] = await runsOf(world, 'day');
  assert.equal(run, `2026-06-01 @ 2026-06-01T00:00: ${[...hours(0, 19), ...hours(0, 19), ...hours(19, 20)].join(' ')}`);
  assert.deepEqual(more, []);
});

test('one event fans out to the days of its week', async () => {
  await using world = await makeWorld();
  const start = (unit: string, output: string) =>
    mapper(`temporal.StartOf${unit}Mapper`, { timezone: 'UTC', input_format: '%Y-%m-%d', output_format: output });
  const week = {
    upstream_mapper: start('Week', '%Y-%m-%d'),
    window: mapper('window.WeekWindow', { direction: 'forward' }),
    downstream_mapper: start('Day', '%Y-%m-%d'),
  };
  await world.dag('days', EMPTY, on({ a: mapper('temporal.FanOutMapper', week) }));
  await world.dag('few', EMPTY, on({ a: mapper('temporal.FanOutMapper', { ...week, max_downstream_keys: 6 }) }));
  await emit(world, 'a', ['2026-06-10']);
  const days = await runsOf(world, 'days');
  assert.deepEqual(
    [days.length, days[0], days[6]],
    [7, '2026-06-08 @ 2026-06-08T00:00: 2026-06-10', '2026-06-14 @ 2026-06-14T00:00: 2026-06-10'],
  );
  // The same event, a Dag that takes one day less: none at all, and the audit log says why.
  assert.deepEqual(await runsOf(world, 'few'), []);
  assert.deepEqual(
    (await auditOf(world, 'partition fan-out exceeded')).map((row) => row.dag_id),
    ['few'],
  );
});

for (const [what, key] of [
  ['that its mapper cannot read', 'yesterday'],
  ['that is no date', '2026-02-30T00'],
] as const) {
  test(`an event with a partition ${what} makes no run and stops no other`, async () => {
    await using world = await makeWorld();
    await world.dag('day', EMPTY, on({ a: HOUR_TO_DAY }));
    await emit(world, 'a', [key, '2026-06-10T00']);
    assert.deepEqual(await runsOf(world, 'day'), ['2026-06-10 @ 2026-06-10T00:00: 2026-06-10T00']);
    const [audit, ...more] = await auditOf(world, 'failed to map partition_key');
    assert.deepEqual([audit?.dag_id, JSON.parse(audit!.extra).partition_key, more], ['day', key, []]);
  });
}

test('the date of the run that made the event goes along where the key itself has none', async () => {
  await using world = await makeWorld();
  await world.dag('makes', [{ id: 't', outlets: [{ __type: 'asset', __var: asset('a') }] }], {
    ...hourly(),
    start_date: Date.parse('2026-06-10T08:00:00Z') / 1000,
  });
  await world.dag('listens', EMPTY, on({ a: IDENTITY }));
  await world.settle();
  const [run] = await world.db.query<{ id: number; run_id: string; partition_key: string }>(
    sql`SELECT * FROM dag_run WHERE dag_id = 'makes'`,
  );
  await emit(world, 'a', [null], { dagId: 'makes', runId: run!.run_id, dagRunId: run!.id });
  assert.deepEqual(
    await runsOf(world, 'listens'),
    ['2026-06-10T16 @ 2026-06-10T08:00: 2026-06-10T16'],
    'the key too is that of the run',
  );
});

test('a schedule whose mappers change maps anew what is still waiting; another change of the Dag does not', async () => {
  await using world = await makeWorld();
  await world.dag('day', EMPTY, on({ a: daily(atLeast(3)) }));
  await emit(world, 'a', hours(0, 2));
  await world.dag('day', [...EMPTY, { id: 'u' }], on({ a: daily(atLeast(3)) }));
  await world.settle();
  assert.deepEqual(await runsOf(world, 'day'), []);
  await world.dag('day', EMPTY, on({ a: daily(atLeast(2)) }));
  await emit(world, 'a', hours(3, 4, '2026-06-05'));
  assert.deepEqual(await runsOf(world, 'day'), ['2026-06-01 @ 2026-06-01T00:00: 2026-06-01T00 2026-06-01T01']);
});

test('a schedule that has no partitions any more forgets what waited for it', async () => {
  await using world = await makeWorld();
  await world.dag('d', EMPTY, on({ a: IDENTITY, b: IDENTITY }));
  await emit(world, 'a', ['eu']);
  await world.dag('d', EMPTY, {
    timetable: { __type: 'airflow.timetables.simple.AssetTriggeredTimetable', __var: { asset_condition: asset('b') } },
  });
  await emit(world, 'b', ['eu']);
  assert.deepEqual(await runsOf(world, 'd'), []);
});

test('a paused Dag gets no partitions; one that is full makes them when it has room', async () => {
  await using world = await makeWorld();
  await world.dag('paused', EMPTY, on({ a: IDENTITY }));
  await world.dag('full', [{ id: 't' }], { ...on({ a: IDENTITY }), max_active_runs: 2 });
  await world.db.query(sql`UPDATE dag SET is_paused = true WHERE dag_id = 'paused'`);
  await emit(world, 'a', ['1', '2', '3', '4', '5']);
  assert.equal((await runsOf(world, 'full')).length, 2);
  await world.work();
  assert.equal((await runsOf(world, 'full')).length, 5);
  await world.db.query(sql`UPDATE dag SET is_paused = false WHERE dag_id = 'paused'`);
  await world.settle();
  assert.deepEqual(await runsOf(world, 'paused'), [], 'what happened in the pause starts nothing later');
  await emit(world, 'a', ['6']);
  assert.equal((await runsOf(world, 'paused')).length, 1);
});

test('three schedulers at once make each partition once', async () => {
  await using world = await makeWorld();
  await world.dag('listens', EMPTY, { ...on({ a: IDENTITY }), max_active_runs: 1000 });
  const [row] = await world.db.query<{ id: number }>(sql`SELECT id FROM asset WHERE name = 'a'`);
  const cores = [world.newCore(), world.newCore(), world.newCore()];
  for (let round = 0; round < 5; round++) {
    await world.db.transaction((tx) =>
      insertAssetEvents(tx, {
        events: Array.from({ length: 20 }, (_, n) => ({
          asset_id: row!.id,
          extra: {},
          partition_key: `${round}-${n}`,
          aliases: [],
        })),
        source: null,
        audience: { kind: 'task', team: null },
        multiTeam: false,
        nowIso: world.clock.iso(),
      }),
    );
    await Promise.all(
      cores.map(async (core) => {
        await core.resync();
        await core.settle();
      }),
    );
  }
  await world.settle();
  const runs = await runsOf(world, 'listens');
  assert.deepEqual([runs.length, new Set(runs).size], [100, 100]);
});

test('a schedule of partitions by the clock names each run after its partition, and goes on from it', async () => {
  await using world = await makeWorld();
  await world.dag('hourly', EMPTY, {
    ...hourly(),
    catchup: true,
    start_date: Date.parse('2026-06-10T07:00:00Z') / 1000,
  });
  await world.settle();
  // 09:30 UTC: ticks at 7, 8 and 9, each for the hour before, in the zone of the schedule.
  const want = [
    '2026-06-10T14 @ 2026-06-10T06:00: ',
    '2026-06-10T15 @ 2026-06-10T07:00: ',
    '2026-06-10T16 @ 2026-06-10T08:00: ',
  ];
  assert.deepEqual(await runsOf(world, 'hourly'), want);
  const [first] = await world.db.query<{ run_id: string; logical_date: null; data_interval_start: null }>(
    sql`SELECT * FROM dag_run WHERE dag_id = 'hourly' ORDER BY id LIMIT 1`,
  );
  assert.match(first!.run_id, /^scheduled__2026-06-10T07:00:00\+00:00__2026-06-10T14__[0-9a-f]{8}$/);
  assert.deepEqual([first!.logical_date, first!.data_interval_start], [null, null]);
  await world.dag('hourly', [...EMPTY, { id: 'u' }], {
    ...hourly(),
    catchup: true,
    start_date: Date.parse('2026-06-10T07:00:00Z') / 1000,
  });
  await world.settle();
  assert.deepEqual(await runsOf(world, 'hourly'), want, 'a new version does not make them again');
  world.clock.advance(3600);
  await world.settle();
  assert.deepEqual((await runsOf(world, 'hourly')).slice(3), ['2026-06-10T17 @ 2026-06-10T09:00: ']);
});

test('a run that a person starts has the date of its key; a key that the schedule cannot read is refused', async () => {
  await using world = await makeWorld();
  await world.dag('hourly', EMPTY, hourly());
  await world.dag('runtime', EMPTY, {
    timetable: { __type: 'airflow.timetables.simple.PartitionedAtRuntime', __var: {} },
  });
  await world.trigger('hourly', { partitionKey: '2026-06-01T12', runId: null });
  await world.trigger('runtime', { partitionKey: 'anything' });
  assert.deepEqual(
    [await runsOf(world, 'hourly'), await runsOf(world, 'runtime')],
    [['2026-06-01T12 @ 2026-06-01T04:00: '], ['anything @ none: ']],
  );
  await assert.rejects(
    world.trigger('hourly', { partitionKey: 'yesterday' }),
    (error: { code: string; internal: { reason: string } }) => {
      assert.deepEqual([error.code, error.internal.reason], ['BAD_REQUEST', 'invalid_partition_key']);
      return true;
    },
  );
});

test('a backfill makes the partitions of a range, read on the clock of the schedule, and those that are there once', async () => {
  await using world = await makeWorld();
  await world.dag('hourly', EMPTY, hourly());
  const backfill = (reprocess: 'none' | 'completed') =>
    world.db.transaction((tx) =>
      createBackfill(tx, {
        dagId: 'hourly',
        fromDate: '2026-06-01T00:00:00Z',
        toDate: '2026-06-01T02:00:00Z',
        backwards: false,
        conf: null,
        reprocess,
        maxActiveRuns: 10,
        runOnLatestVersion: null,
        rerunWithLatestVersion: null,
        user: 'tester',
        nowIso: world.clock.iso(),
      }),
    );
  await backfill('none');
  const want = [
    '2026-06-01T00 @ 2026-05-31T16:00: ',
    '2026-06-01T01 @ 2026-05-31T17:00: ',
    '2026-06-01T02 @ 2026-05-31T18:00: ',
  ];
  assert.deepEqual(await runsOf(world, 'hourly'), want);
  await world.work();
  await world.core.sweep({
    availableSinceMs: 0,
    heartbeatTimeoutMs: 1e6,
    queueTimeoutMs: 1e6,
    supervisorTimeoutMs: 1e6,
    maxRetryDelaySeconds: 1,
  });
  await backfill('none');
  assert.deepEqual(await runsOf(world, 'hourly'), want);
  const skipped = await world.db.query<{ exception_reason: string }>(
    sql`SELECT exception_reason FROM backfill_dag_run WHERE dag_run_id IS NULL`,
  );
  assert.deepEqual(
    skipped.map((row) => row.exception_reason),
    Array(3).fill('already exists'),
  );
  await world.core.sweep({
    availableSinceMs: 0,
    heartbeatTimeoutMs: 1e6,
    queueTimeoutMs: 1e6,
    supervisorTimeoutMs: 1e6,
    maxRetryDelaySeconds: 1,
  });
  await backfill('completed');
  assert.deepEqual(
    await runsOf(world, 'hourly'),
    [...want, ...want],
    'a partition that is made again is a new run beside the old',
  );
});
