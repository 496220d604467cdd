/** Runs that events of assets make: which conditions hold, what a run consumes, and that nothing is lost or made twice. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { insertAssetEvents } from '@airlock/store/queries/asset/emit';
import { makeWorld, type World } from './kit/world.ts';

const asset = (name: string, more: object = {}) => ({
  __type: 'asset',
  name,
  uri: `s3://${name}`,
  group: 'asset',
  extra: {},
  ...more,
});
const all = (...objects: object[]) => ({ __type: 'asset_all', objects });
const any = (...objects: object[]) => ({ __type: 'asset_any', objects });
const alias = (name: string) => ({ __type: 'asset_alias', name, group: 'asset' });
const on = (asset_condition: object) => ({
  timetable: { __type: 'airflow.timetables.simple.AssetTriggeredTimetable', __var: { asset_condition } },
});
const EMPTY = [{ id: 't', _is_empty: true }];

/** An event of each of these assets, a second after what was before. */
async function emit(world: World, names: readonly string[], over: { aliases?: string[]; partition?: string } = {}) {
  world.clock.advance(1);
  const rows = await world.db.query<{ id: number }>(
    sql`SELECT id FROM asset WHERE name = ANY(${[...names]}::text[]) ORDER BY name`,
  );
  assert.equal(rows.length, names.length, 'the assets are there');
  await world.db.transaction((tx) =>
    insertAssetEvents(tx, {
      events: rows.map(({ id }) => ({
        asset_id: id,
        extra: { n: 1 },
        partition_key: over.partition ?? null,
        aliases: over.aliases ?? [],
      })),
      source: null,
      audience: { kind: 'task', team: null },
      multiTeam: false,
      nowIso: world.clock.iso(),
    }),
  );
  await world.settle();
}
/** Runs that assets made, oldest first, each with the assets whose events it consumed. */
const runsOf = async (world: World, dagId: string) =>
  (
    await world.db.query<{ events: string[] }>(sql`SELECT ARRAY(SELECT a.name FROM dag_run_asset_event x
        JOIN asset_event e ON e.id = x.event_id JOIN asset a ON a.id = e.asset_id WHERE x.dag_run_id = r.id ORDER BY e.id) AS events
      FROM dag_run r WHERE r.dag_id = ${dagId} AND r.run_type = 'asset_triggered' ORDER BY r.id`)
  ).map((row) => row.events.join(' '));

const CONDITIONS: ReadonlyArray<
  readonly [name: string, condition: object, steps: ReadonlyArray<readonly [event: string, runs: number]>]
> = [
  [
    'one asset',
    asset('a'),
    [
      ['a', 1],
      ['b', 1],
      ['a', 2],
    ],
  ],
  [
    'all of two',
    all(asset('a'), asset('b')),
    [
      ['a', 0],
      ['a', 0],
      ['b', 1],
      ['b', 1],
      ['a', 2],
    ],
  ],
  [
    'any of two',
    any(asset('a'), asset('b')),
    [
      ['a', 1],
      ['b', 2],
    ],
  ],
  [
    '(a and b) or c',
    any(all(asset('a'), asset('b')), asset('c')),
    [
      ['a', 0],
      ['c', 1],
      ['b', 1],
      ['a', 2],
    ],
  ],
  [
    'a name alone',
    all({ __type: 'asset_ref', name: 'a' }),
    [
      ['b', 0],
      ['a', 1],
    ],
  ],
  [
    'a uri alone',
    all({ __type: 'asset_ref', uri: 's3://a' }),
    [
      ['b', 0],
      ['a', 1],
    ],
  ],
];
for (const [name, condition, steps] of CONDITIONS) {
  test(`a schedule of ${name} makes a run each time that it is satisfied`, async () => {
    await using world = await makeWorld();
    await world.dag('names', [
      {
        id: 't',
        outlets: ['a', 'b', 'c'].map((each) => ({
          __type: 'asset',
          __var: { name: each, uri: `s3://${each}`, group: 'asset', extra: {} },
        })),
      },
    ]);
    await world.dag('d', EMPTY, on(condition));
    for (const [event, runs] of steps) {
      await emit(world, [event]);
      assert.equal((await runsOf(world, 'd')).length, runs, `after an event of ${event}`);
    }
  });
}

test('an alias is satisfied by the asset that an event went to under it', async () => {
  await using world = await makeWorld();
  await world.dag('names', [
    { id: 't', outlets: [{ __type: 'asset', __var: { name: 'a', uri: 's3://a', group: 'asset', extra: {} } }] },
  ]);
  await world.dag('d', EMPTY, on(alias('late')));
  await emit(world, ['a']);
  assert.deepEqual(await runsOf(world, 'd'), [], 'not through the alias');
  await emit(world, ['a'], { aliases: ['late'] });
  assert.deepEqual(await runsOf(world, 'd'), ['a']);
});

test('a run consumes each event once, and has no logical date', async () => {
  await using world = await makeWorld();
  await world.dag('d', EMPTY, on(all(asset('a'), asset('b'))));
  for (const names of [['a'], ['a'], ['b'], ['b'], ['a']]) await emit(world, names);
  assert.deepEqual(await runsOf(world, 'd'), ['a a b', 'b a']);
  const [run] = await world.db.query<Record<string, unknown>>(
    sql`SELECT run_id, logical_date, triggered_by, state FROM dag_run ORDER BY id`,
  );
  assert.match(String(run!.run_id), /^asset_triggered__2026-06-10T09:30:03\+00:00_[0-9a-f]{8}$/);
  assert.deepEqual([run!.logical_date, run!.triggered_by, run!.state], [null, 'asset', 'success']);
});

/** Names assets, so that they are there and in use. */
const naming = (...names: string[]) => [
  {
    id: 't',
    outlets: names.map((name) => ({
      __type: 'asset',
      __var: { name, uri: `s3://${name}`, group: 'asset', extra: {} },
    })),
  },
];

test('a first run consumes what came since its schedule named its first asset, and with catchup all', async () => {
  await using world = await makeWorld();
  await world.dag('names', naming('a', 'b'));
  await emit(world, ['a', 'b']);
  for (const [id, catchup] of [
    ['since', false],
    ['all', true],
  ] as const) {
    world.clock.advance(1);
    await world.dag(id, EMPTY, { ...on(all(asset('a'), asset('b'), asset('c'))), catchup });
  }
  await emit(world, ['b']);
  // One more asset later: what was before that counts all the same.
  world.clock.advance(1);
  for (const [id, catchup] of [
    ['since', false],
    ['all', true],
  ] as const)
    await world.dag(id, EMPTY, { ...on(all(asset('a'), asset('b'))), catchup });
  await emit(world, ['a']);
  assert.deepEqual(await runsOf(world, 'since'), ['b a']);
  assert.deepEqual(await runsOf(world, 'all'), ['a b b a']);
});

test('a schedule of an alias alone consumes, at first, all that came under it', async () => {
  await using world = await makeWorld();
  await world.dag('names', naming('a'));
  await world.dag('other', EMPTY, on(alias('late')));
  await emit(world, ['a'], { aliases: ['late'] });
  world.clock.advance(1);
  await world.dag('d', EMPTY, on(alias('late')));
  await emit(world, ['a']);
  await emit(world, ['a'], { aliases: ['late'] });
  assert.deepEqual(await runsOf(world, 'd'), ['a a'], 'not what came by its own name');
});

test('a run consumes what came with a partition meanwhile, which asks for no run itself', async () => {
  await using world = await makeWorld();
  await world.dag('d', EMPTY, on(asset('a')));
  await emit(world, ['a'], { partition: '2026-06-10' });
  assert.deepEqual(await runsOf(world, 'd'), []);
  await emit(world, ['a']);
  assert.deepEqual(await runsOf(world, 'd'), ['a a']);
});

test('an asset that only events under an alias name becomes active, unless its name or uri is taken', async () => {
  await using world = await makeWorld();
  await world.dag('names', naming('taken'));
  await world.dag('d', EMPTY, on(alias('late')));
  const now = world.clock.iso();
  for (const [name, uri] of [
    ['emitted', 's3://emitted'],
    ['taken', 's3://other'],
    ['other', 's3://taken'],
    ['never', 's3://never'],
  ])
    await world.db.query(
      sql`INSERT INTO asset (name, uri, asset_group, created_at, updated_at) VALUES (${name}, ${uri}, 'asset', ${now}, ${now})`,
    );
  await world.db.query(sql`INSERT INTO asset_alias_asset (alias_id, asset_id) SELECT l.id, a.id FROM asset_alias l, asset a
    WHERE (a.name, a.uri) NOT IN (('never', 's3://never'), ('taken', 's3://taken'))`);
  const active = async () => {
    await world.core.sweep({
      availableSinceMs: world.clock.nowMs(),
      heartbeatTimeoutMs: 1e9,
      queueTimeoutMs: 1e9,
      supervisorTimeoutMs: 1e9,
      maxRetryDelaySeconds: 1,
    });
    const rows = await world.db.query<{ name: string; uri: string }>(
      sql`SELECT name, uri FROM asset WHERE active ORDER BY name, uri`,
    );
    return rows.map(({ name, uri }) => `${name} ${uri}`);
  };
  assert.deepEqual(await active(), ['emitted s3://emitted', 'taken s3://taken']);
  // When what had the name and the uri is gone, parsing anything decides anew.
  await world.db.query(sql`UPDATE dag SET is_stale = true WHERE dag_id = 'names'`);
  await world.dag('unrelated', EMPTY);
  assert.deepEqual(await active(), ['emitted s3://emitted', 'other s3://taken', 'taken s3://other']);
});

test('events of a paused Dag start nothing, also not later', async () => {
  await using world = await makeWorld();
  await world.dag('d', EMPTY, on(asset('a')));
  await world.db.query(sql`UPDATE dag SET is_paused = true`);
  await emit(world, ['a']);
  await world.db.query(sql`UPDATE dag SET is_paused = false`);
  await world.settle();
  assert.deepEqual(await runsOf(world, 'd'), []);
  await emit(world, ['a']);
  assert.equal((await runsOf(world, 'd')).length, 1);
});

test('a Dag that has no room waits, and its events become one run when it has', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { ...on(asset('a')), max_active_runs: 1 });
  for (const _ of [1, 2, 3]) await emit(world, ['a']);
  assert.deepEqual(await runsOf(world, 'd'), ['a']);
  await world.work();
  await world.settle();
  assert.deepEqual(await runsOf(world, 'd'), ['a', 'a']);
  // A run ends its window where its queue began, as in Airflow: what came later is the next one's.
  await world.work();
  await emit(world, ['a']);
  assert.deepEqual(await runsOf(world, 'd'), ['a', 'a', 'a a']);
});

test('what a Dag does not allow is not made, and not asked for again', async () => {
  await using world = await makeWorld();
  await world.dag('d', EMPTY, { ...on(asset('a')), allowed_run_types: ['manual'] });
  await emit(world, ['a']);
  assert.deepEqual(await runsOf(world, 'd'), []);
  assert.equal((await world.db.query(sql`SELECT 1 FROM asset_queued`)).length, 0);
});

test('asset or time: both make runs', async () => {
  await using world = await makeWorld();
  const timetable = {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 * * * *', timezone: 'UTC', interval: 0, run_immediately: false },
  };
  await world.dag('d', EMPTY, {
    timetable: {
      __type: 'airflow.timetables.assets.AssetOrTimeSchedule',
      __var: { asset_condition: asset('a'), timetable },
    },
    start_date: 1780704000,
  });
  await emit(world, ['a']);
  world.clock.advance(3600);
  await world.settle();
  const types = await world.db.query<{ run_type: string; n: number }>(
    sql`SELECT run_type, count(*)::integer AS n FROM dag_run GROUP BY 1 ORDER BY 1`,
  );
  assert.deepEqual(
    types.map((row) => [row.run_type, row.n]),
    [
      ['asset_triggered', 1],
      ['scheduled', 2],
    ],
  );
});

test('three schedulers at once make each run once', async () => {
  await using world = await makeWorld();
  for (const id of ['d1', 'd2', 'd3', 'd4']) await world.dag(id, EMPTY, on(asset('a')));
  const cores = [world.newCore(), world.newCore(), world.newCore()];
  for (let round = 1; round <= 5; round++) {
    world.clock.advance(1);
    const [row] = await world.db.query<{ id: number }>(sql`SELECT id FROM asset WHERE name = 'a'`);
    await world.db.transaction((tx) =>
      insertAssetEvents(tx, {
        events: [{ asset_id: row!.id, extra: {}, partition_key: null, aliases: [] }],
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
    for (const id of ['d1', 'd2', 'd3', 'd4']) assert.deepEqual(await runsOf(world, id), Array(round).fill('a'), id);
  }
});

test('a team’s events reach its own Dags and those that admit it, and no other Dag is told of them', async () => {
  await using world = await makeWorld();
  const { core } = world;
  await world.db.query(sql`INSERT INTO team (name) VALUES ('red'), ('blue')`);
  await world.dag('red', EMPTY, on(asset('a')));
  await world.dag('blue', EMPTY, on(asset('a')));
  await world.dag('guest', EMPTY, on(asset('a', { access_control: { producer_teams: ['red'], allow_global: false } })));
  await world.db.query(sql`UPDATE dag SET team = CASE dag_id WHEN 'guest' THEN 'blue' ELSE dag_id END`);
  const event = async (team: string | null) => {
    world.clock.advance(1);
    const [row] = await world.db.query<{ id: number }>(sql`SELECT id FROM asset WHERE name = 'a'`);
    await world.db.transaction((tx) =>
      insertAssetEvents(tx, {
        events: [{ asset_id: row!.id, extra: {}, partition_key: null, aliases: [] }],
        source: null,
        audience: { kind: 'task', team },
        multiTeam: true,
        nowIso: world.clock.iso(),
      }),
    );
    await core.resync();
    await core.settle();
  };
  const counts = async () => Promise.all(['red', 'blue', 'guest'].map((id) => runsOf(world, id)));
  await event('red');
  assert.deepEqual(await counts(), [['a'], [], ['a']]);
  await event('blue');
  assert.deepEqual(
    await counts(),
    [['a'], ['a'], ['a', 'a']],
    'blue is not told of red’s event; guest is its own team’s too',
  );
  await event(null);
  assert.deepEqual(await counts(), [
    ['a', 'a'],
    ['a', 'a'],
    ['a', 'a'],
  ]);
});
