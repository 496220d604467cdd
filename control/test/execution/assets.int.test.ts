// Assets: what a task may ask of them, the events of its success, whom they set off, and what it may not name.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import type { DagOver } from './documents.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const ORDERS = { name: 'orders', uri: 's3://lake/orders' };
const REFUNDS = { name: 'refunds', uri: 's3://lake/refunds' };
const tagged = (asset: object) => ({ __type: 'asset', __var: { group: 'asset', extra: {}, ...asset } });
const alias = (name: string) => ({ __type: 'asset_alias', __var: { name, group: 'asset' } });
const on = (condition: object): DagOver => ({
  timetable: {
    __type: 'airflow.timetables.simple.AssetTriggeredTimetable',
    __var: { asset_condition: condition },
  },
});
const inline = (asset: object) => ({ __type: 'asset', group: 'asset', extra: {}, ...asset });
const writes = (...outlets: object[]): DagOver => ({ tasks: { extract: { outlets } } });

const get = (server: Server, ti: Try, path: string, version?: string) =>
  server.call('GET', path, {
    key: ti.key,
    token: ti.token,
    headers: version ? { 'airflow-api-version': version } : {},
  });
const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];
const denied = (what: string) => [
  403,
  { detail: { reason: 'access_denied', message: `Task does not have access to ${what}` } },
];
const succeed = (server: Server, ti: Try, task_outlets: object[], outlet_events: object[] = []) =>
  server.call('PATCH', `/task-instances/${ti.id}/state`, {
    key: ti.key,
    token: ti.token,
    json: { state: 'success', end_date: new Date(server.nowMs()).toISOString(), task_outlets, outlet_events },
  });
const asset = (key: { name: string; uri: string }) => ({ type: 'Asset', ...key });
const event = (key: { name: string; uri: string }, more: object = {}) => ({ dest_asset_key: key, extra: {}, ...more });
const eventsOf = (server: Server) =>
  server.db.query<
    Record<string, unknown>
  >(sql`SELECT a.name, e.extra, e.partition_key, e.source_task_id, e.source_dag_id,
      ARRAY(SELECT l.name FROM asset_event_alias y JOIN asset_alias l ON l.id = y.alias_id WHERE y.event_id = e.id
        ORDER BY l.name) AS aliases
    FROM asset_event e JOIN asset a ON a.id = e.asset_id ORDER BY e.id`);
const queued = async (server: Server) =>
  (
    await server.db.query<{ dag_id: string; name: string }>(
      sql`SELECT q.dag_id, a.name FROM asset_queued q JOIN asset a ON a.id = q.asset_id ORDER BY 1, 2`,
    )
  ).map((row) => `${row.dag_id} ${row.name}`);

test('an asset is told by name and by uri while it is active; another is 404', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun(
    'dag_p',
    null,
    writes(tagged({ ...ORDERS, extra: { tier: 'gold' } }), tagged(REFUNDS)),
  );
  const ti = await server.startTry({ needs: null }, run);
  const body = { ...ORDERS, group: 'asset', extra: { tier: 'gold' } };
  assert.deepEqual(shown(await get(server, ti, '/assets/by-name?name=orders')), [200, body]);
  assert.deepEqual(shown(await get(server, ti, '/assets/by-uri?uri=s3%3A%2F%2Flake%2Forders')), [200, body]);
  await server.db.query(sql`UPDATE asset SET active = false WHERE name = 'orders'`);
  for (const [path, message] of [
    ['/assets/by-name?name=orders', 'Asset with name orders not found'],
    ['/assets/by-name?name=nope', 'Asset with name nope not found'],
    ['/assets/by-uri?uri=s3://lake/orders', 'Asset with URI s3://lake/orders not found'],
  ] as const) {
    assert.deepEqual(shown(await get(server, ti, path)), [404, { detail: { reason: 'not_found', message } }]);
  }
  assert.equal((await get(server, ti, '/assets/by-name')).status, 422);
  assert.deepEqual(shown(await get(server, ti, `/task-instances/${ti.id}/validate-inlets-and-outlets`)), [
    200,
    { inactive_assets: [{ ...ORDERS, type: 'Asset' }] },
  ]);
});

test('success makes one event per outlet, or one per description of it, and queues the Dags that wait for it', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, writes(tagged(ORDERS), tagged(REFUNDS)));
  await server.seedRun('by_asset', null, on(inline(ORDERS)));
  await server.seedRun('by_name', null, on({ __type: 'asset_ref', name: 'orders' }));
  await server.seedRun(
    'by_uri',
    null,
    on({ __type: 'asset_any', objects: [{ __type: 'asset_ref', uri: REFUNDS.uri }] }),
  );
  await server.seedRun('paused', null, on(inline(ORDERS)));
  await server.seedRun('stale', null, on(inline(ORDERS)));
  await server.seedRun('reader', null, { tasks: { extract: { inlets: [tagged(ORDERS)] } } });
  await server.db.query(sql`UPDATE dag SET is_paused = dag_id = 'paused', is_stale = dag_id = 'stale'`);
  const ti = await server.startTry({ needs: {} }, run);
  const answer = await succeed(
    server,
    ti,
    [asset(ORDERS), asset(REFUNDS), asset(ORDERS)],
    [event(ORDERS, { extra: { rows: 3 } }), event(ORDERS, { extra: { rows: 4 } }), event({ name: 'x', uri: 'y' })],
  );
  assert.equal(answer.status, 204);
  const from = { partition_key: null, source_task_id: 'extract', source_dag_id: 'dag_p', aliases: [] };
  assert.deepEqual(await eventsOf(server), [
    { name: 'orders', extra: { rows: 3 }, ...from },
    { name: 'orders', extra: { rows: 4 }, ...from },
    { name: 'refunds', extra: {}, ...from },
  ]);
  assert.deepEqual(await queued(server), ['by_asset orders', 'by_name orders', 'by_uri refunds']);
  assert.equal((await succeed(server, ti, [asset(ORDERS)])).status, 200, 'the same report again');
  assert.equal((await eventsOf(server)).length, 3, 'makes nothing more');
});

test('an outlet by name, by uri, inactive or unknown: the first two make events, the others none and no failure', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun(
    'dag_p',
    null,
    writes(tagged(ORDERS), tagged(REFUNDS), tagged({ name: 'old', uri: 'old' })),
  );
  await server.db.query(sql`UPDATE asset SET active = false WHERE name = 'old'`);
  const ti = await server.startTry({ needs: null }, run);
  const outlets = [
    { type: 'AssetNameRef', name: 'orders', uri: null },
    { type: 'AssetUriRef', name: null, uri: REFUNDS.uri },
    asset({ name: 'old', uri: 'old' }),
    asset({ name: 'orders', uri: 'other' }),
    { type: 'AssetNameRef', name: 'nope' },
  ];
  assert.equal((await succeed(server, ti, outlets)).status, 204);
  assert.deepEqual(
    (await eventsOf(server)).map((row) => row.name),
    ['orders', 'refunds'],
  );
});

test('an event with a partition key, its own or its run’s, feeds no schedule without partitions', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, writes(tagged(ORDERS), tagged(REFUNDS)));
  await server.seedRun('by_asset', null, on(inline(ORDERS)));
  const ti = await server.startTry({ needs: {} }, run);
  await succeed(server, ti, [asset(ORDERS)], [event(ORDERS, { partition_key: 'eu' })]);
  assert.deepEqual([(await eventsOf(server))[0]!.partition_key, await queued(server)], ['eu', []]);
  await server.db.query(sql`UPDATE dag_run SET partition_key = 'us' WHERE id = ${run.dagRunId}`);
  const again = await server.startTry({ needs: {}, mapIndex: 1 }, run);
  await succeed(server, again, [asset(ORDERS)]);
  assert.equal((await eventsOf(server))[1]!.partition_key, 'us');
});

test('an alias reaches new assets, equal events under several aliases are one, and its waiters are queued', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, writes(alias('any'), alias('more')));
  await server.seedRun('by_alias', null, on({ __type: 'asset_alias', name: 'any', group: 'asset' }));
  const ti = await server.startTry({ needs: {} }, run);
  const eu = { name: 'orders_eu', uri: 's3://lake/eu' };
  const outlets = ['any', 'more'].map((name) => ({ type: 'AssetAlias', name, uri: null }));
  const events = ['any', 'more', 'undeclared'].map((source_alias_name) =>
    event(eu, { source_alias_name, dest_asset_extra: { k: 1 }, extra: { n: 1 } }),
  );
  assert.equal((await succeed(server, ti, outlets, events)).status, 204);
  const [only, ...rest] = await eventsOf(server);
  assert.deepEqual([only!.name, only!.extra, only!.aliases, rest], ['orders_eu', { n: 1 }, ['any', 'more'], []]);
  assert.deepEqual(await queued(server), ['by_alias orders_eu']);
  const reader = await server.startTry({ needs: null });
  assert.deepEqual(shown(await get(server, reader, '/assets/by-alias?alias_name=any')), [
    200,
    [{ ...eu, group: 'asset', extra: { k: 1 } }],
  ]);
  assert.deepEqual(shown(await get(server, reader, '/assets/by-alias?alias_name=nope')), [200, []]);
  assert.equal((await get(server, reader, '/assets/by-alias?alias_name=any', '2026-04-06')).status, 404);
  const listed = (await get(server, reader, '/asset-events/by-asset-alias?name=any')).json<{
    asset_events: object[];
  }>();
  assert.equal(listed.asset_events.length, 1);
});

test('events are listed by asset, time and order, with the runs they made; an empty value is an absent one', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, writes(tagged(ORDERS), tagged(REFUNDS)));
  for (const mapIndex of [0, 1, 2]) {
    const ti = await server.startTry({ needs: {}, mapIndex }, run);
    assert.equal((await succeed(server, ti, [asset(ORDERS)], [event(ORDERS, { extra: { n: mapIndex } })])).status, 204);
    server.advance(10);
  }
  const made = await server.seedRun('by_asset', null, on(inline(ORDERS)));
  await server.db.query(
    sql`UPDATE dag_run SET start_date = NULL, run_after = '2026-07-01T00:00:00Z' WHERE id = ${made.dagRunId}`,
  );
  await server.db.query(sql`INSERT INTO dag_run_asset_event (dag_run_id, event_id)
    SELECT ${made.dagRunId}, min(id) FROM asset_event`);
  const ti = await server.startTry({ needs: null });
  type Listed = { asset_events: Array<Record<string, unknown> & { extra: { n: number }; timestamp: string }> };
  const list = async (query: string, version?: string) =>
    (await get(server, ti, `/asset-events/by-asset?${query}`, version)).json<Listed>().asset_events;
  const order = async (query: string) => (await list(query)).map((each) => each.extra.n);
  assert.deepEqual(await order('name=orders&uri='), [0, 1, 2]);
  assert.deepEqual(await order('name=&uri=s3://lake/orders&ascending=false&limit=2'), [2, 1]);
  assert.deepEqual(await order('name=orders&uri=s3://lake/orders&limit=0&after=&before='), [0, 1, 2]);
  assert.deepEqual(await order('name=refunds&uri='), []);
  const [first, second] = await list('name=orders&uri=');
  assert.deepEqual(await order(`name=orders&uri=&after=${second!.timestamp}`), [1, 2]);
  assert.deepEqual(await order(`name=orders&uri=&before=${second!.timestamp}`), [0, 1]);
  assert.deepEqual(
    { ...first, id: 0, timestamp: '' },
    {
      id: 0,
      timestamp: '',
      extra: { n: 0 },
      asset: { ...ORDERS, group: 'asset', extra: {} },
      created_dagruns: [
        {
          run_id: made.runId,
          dag_id: 'by_asset',
          logical_date: null,
          start_date: '2026-07-01T00:00:00Z',
          end_date: null,
          state: 'running',
          data_interval_start: null,
          data_interval_end: null,
          partition_key: null,
        },
      ],
      source_task_id: 'extract',
      source_dag_id: 'dag_p',
      source_run_id: run.runId,
      source_map_index: 0,
      partition_key: null,
    },
  );
  const [older] = await list('name=orders&uri=', '2025-11-05');
  assert.equal(Object.hasOwn(older!, 'partition_key'), false);
  assert.equal(Object.hasOwn((older!.created_dagruns as object[])[0]!, 'partition_key'), false);
  assert.equal((await get(server, ti, '/asset-events/by-asset?name=orders')).status, 422);
  const message = 'name and uri cannot both be None';
  assert.deepEqual(shown(await get(server, ti, '/asset-events/by-asset?name=&uri=')), [
    400,
    { detail: { reason: 'Missing parameter', message } },
  ]);
});

test('the tasks of a run that events have made are told of them, an older client without the partition key', async () => {
  await using server = await startExecutionApi();
  const producer = await server.startTry({ needs: {} }, await server.seedRun('dag_p', null, writes(tagged(ORDERS))));
  await succeed(server, producer, [asset(ORDERS)], [event(ORDERS, { extra: { rows: 1 } })]);
  const run = await server.seedRun('by_asset', null, on(inline(ORDERS)));
  await server.db.query(sql`UPDATE dag_run SET run_type = 'asset_triggered' WHERE id = ${run.dagRunId}`);
  await server.db.query(
    sql`INSERT INTO dag_run_asset_event (dag_run_id, event_id) SELECT ${run.dagRunId}, id FROM asset_event`,
  );
  const ti = await server.startTry({ needs: {} }, run);
  type Context = { dag_run: { consumed_asset_events: Array<Record<string, unknown>> } };
  const [consumed] = ti.context.json<Context>().dag_run.consumed_asset_events;
  assert.deepEqual(
    { ...consumed, timestamp: '' },
    {
      asset: { ...ORDERS, extra: {} },
      extra: { rows: 1 },
      source_task_id: 'extract',
      source_dag_id: 'dag_p',
      source_run_id: producer.run.runId,
      source_map_index: -1,
      source_aliases: [],
      timestamp: '',
      partition_key: null,
    },
  );
  const again = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
    key: ti.key,
    token: ti.token,
    json: server.runBody(),
    headers: { 'airflow-api-version': '2026-04-06' },
  });
  assert.equal(Object.hasOwn(again.json<Context>().dag_run.consumed_asset_events[0]!, 'partition_key'), false);
});

test('under needs a task asks about the assets of its task, its schedule and its needs, and is refused all others alike', async () => {
  await using server = await startExecutionApi();
  const STOCK = { name: 'stock', uri: 's3://lake/stock' };
  const CANARY = { name: 'canary', uri: 's3://lake/canary' };
  await server.seedRun('dag_other', null, writes(tagged(CANARY), tagged(STOCK)));
  const run = await server.seedRun('dag_p', null, {
    ...on(inline(REFUNDS)),
    tasks: { extract: { inlets: [tagged(ORDERS), alias('any')] }, load: { outlets: [tagged(CANARY)] } },
  });
  const ti = await server.startTry({ needs: { assets: ['stock'] } }, run);
  for (const path of [
    '/assets/by-name?name=orders',
    '/assets/by-uri?uri=s3://lake/refunds',
    '/assets/by-name?name=stock',
    '/assets/by-alias?alias_name=any',
    '/asset-events/by-asset?name=orders&uri=',
    '/asset-events/by-asset?name=stock&uri=s3://lake/stock',
    '/asset-events/by-asset-alias?name=any',
  ]) {
    assert.equal((await get(server, ti, path)).status, 200, path);
  }
  for (const [path, what] of [
    ['/assets/by-name?name=NAME', 'asset NAME'],
    ['/assets/by-uri?uri=s3://lake/NAME', 'asset s3://lake/NAME'],
    ['/assets/by-alias?alias_name=NAME', 'asset alias NAME'],
    ['/asset-events/by-asset?name=NAME&uri=', 'asset NAME'],
    ['/asset-events/by-asset?name=&uri=s3://lake/NAME', 'asset s3://lake/NAME'],
    ['/asset-events/by-asset?name=NAME&uri=s3://lake/orders', 'asset NAME'],
    ['/asset-events/by-asset-alias?name=NAME', 'asset alias NAME'],
  ] as const) {
    const [there, absent] = [
      await get(server, ti, path.replaceAll('NAME', 'canary')),
      await get(server, ti, path.replaceAll('NAME', 'nobody')),
    ];
    assert.deepEqual(shown(there), denied(what.replace('NAME', 'canary')), path);
    assert.equal(absent.text.replaceAll('nobody', 'canary'), there.text);
  }
});

test('under needs a task emits what it declares; anything else refuses the whole report and the try runs on', async () => {
  await using server = await startExecutionApi();
  const CANARY = { name: 'canary', uri: 's3://lake/canary' };
  await server.seedRun('victim', null, on(inline(CANARY)));
  await server.seedRun('refunder', null, writes(tagged(REFUNDS)));
  const run = await server.seedRun('dag_p', null, {
    tasks: {
      extract: { outlets: [tagged(ORDERS), alias('any')], inlets: [tagged(CANARY)] },
      load: { outlets: [tagged(CANARY), alias('theirs')] },
    },
  });
  const ti = await server.startTry({ needs: { assets: ['refunds'] } }, run);
  const any = { type: 'AssetAlias', name: 'any' };
  for (const [outlets, events, what] of [
    [[asset(CANARY)], [], 'asset canary'],
    [[asset(ORDERS), asset(CANARY)], [], 'asset canary'],
    [[{ type: 'AssetNameRef', name: 'canary' }], [], 'asset canary'],
    [[{ type: 'AssetUriRef', uri: CANARY.uri }], [], `asset ${CANARY.uri}`],
    [[{ type: 'AssetAlias', name: 'theirs' }], [], 'asset alias theirs'],
    [[asset({ name: 'orders', uri: CANARY.uri })], [], 'asset orders'],
    [[asset({ name: 'nobody', uri: 'nowhere' })], [], 'asset nobody'],
    [[any], [event(CANARY, { source_alias_name: 'any' })], 'asset canary'],
  ] as const) {
    assert.deepEqual(shown(await succeed(server, ti, [...outlets], [...events])), denied(what), what);
  }
  const state = await server.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${ti.id}`);
  assert.deepEqual([state.state, await eventsOf(server), await queued(server)], ['running', [], []]);
  const fresh = event({ name: 'new', uri: 'new' }, { source_alias_name: 'any' });
  assert.equal((await succeed(server, ti, [asset(ORDERS), asset(REFUNDS), any], [fresh])).status, 204);
  assert.deepEqual(
    (await eventsOf(server)).map((row) => row.name),
    ['refunds', 'orders', 'new'],
  );
});

test('strict mode holds a task without needs to its declared outlets; airflow mode to the active assets', async () => {
  for (const [mode, status] of [
    ['strict', 403],
    ['airflow', 204],
  ] as const) {
    await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: mode });
    await server.seedRun('dag_other', null, writes(tagged(REFUNDS)));
    const run = await server.seedRun('dag_p', null, writes(tagged(ORDERS)));
    const ti = await server.startTry({ needs: null }, run);
    assert.equal((await succeed(server, ti, [asset(REFUNDS)])).status, status, mode);
    const other = await server.startTry({ needs: null, mapIndex: 1 }, run);
    assert.equal((await succeed(server, other, [asset(ORDERS)])).status, 204, mode);
  }
});

test('with teams another team’s asset looks absent, its events are not made and its Dags not set off', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const STOCK = { name: 'stock', uri: 's3://lake/stock' };
  await server.seedRun('dag_b', 'b', writes(tagged(REFUNDS)));
  const run = await server.seedRun('dag_a', 'a', writes(tagged(ORDERS), tagged(STOCK)));
  await server.seedRun('in_a', 'a', on(inline(ORDERS)));
  await server.seedRun('in_b', 'b', on(inline(ORDERS)));
  await server.seedRun('open_b', 'b', on(inline({ ...STOCK, access_control: { producer_teams: ['a'] } })));
  const ti = await server.startTry({ needs: null }, run);
  assert.equal((await get(server, ti, '/assets/by-name?name=orders')).status, 200);
  assert.deepEqual(shown(await get(server, ti, '/assets/by-name?name=refunds')), [
    404,
    { detail: { reason: 'not_found', message: 'Asset with name refunds not found' } },
  ]);
  assert.equal((await succeed(server, ti, [asset(ORDERS), asset(STOCK), asset(REFUNDS)])).status, 204);
  assert.deepEqual(
    (await eventsOf(server)).map((row) => row.name),
    ['orders', 'stock'],
  );
  assert.deepEqual(await queued(server), ['in_a orders', 'open_b stock']);
});

test('of two assets with one name or one uri the later stays inactive, and its Dag is warned until the first is gone', async () => {
  await using server = await startExecutionApi();
  await server.seedRun('first', null, writes(tagged(ORDERS)));
  await server.seedRun('second', null, writes(tagged({ name: 'orders', uri: 'elsewhere' })));
  const active = async () =>
    (await server.db.query<{ uri: string }>(sql`SELECT uri FROM asset WHERE active`)).map((row) => row.uri);
  const warned = async () =>
    (await server.db.query<{ dag_id: string; message: string }>(sql`SELECT dag_id, message FROM dag_warning`)).map(
      (row) => `${row.dag_id}: ${row.message}`,
    );
  assert.deepEqual(await active(), [ORDERS.uri]);
  assert.deepEqual(await warned(), [
    'second: Cannot activate asset Asset(name="orders", uri="elsewhere"); name is already associated to "s3://lake/orders"',
  ]);
  await server.db.query(sql`UPDATE dag SET is_stale = true WHERE dag_id = 'first'`);
  await server.seedRun('third', null, writes());
  assert.deepEqual([await active(), await warned()], [['elsewhere'], []]);
});

test('malformed outlets and events are 422, and nothing is written', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, writes(tagged(ORDERS), alias('any')));
  const ti = await server.startTry({ needs: {} }, run);
  for (const [outlets, events] of [
    [[{ ...ORDERS }], []],
    [[{ ...ORDERS, type: 'Asset', x: 1 }], []],
    [[{ ...ORDERS, type: 'Thing' }], []],
    [[asset(ORDERS)], [{}]],
    [[asset(ORDERS)], [event({ name: '', uri: 'u' })]],
    [[asset(ORDERS)], [event(ORDERS, { extra: 'x' })]],
    [[asset(ORDERS)], [event(ORDERS, { partition_key: 'k'.repeat(251) })]],
    [[asset(ORDERS)], [event(ORDERS, { partition_key: 7 })]],
    [[asset(ORDERS)], [7]],
    [
      [{ type: 'AssetAlias', name: 'any' }],
      [event({ name: 'n'.repeat(1001), uri: 'u' }, { source_alias_name: 'any' })],
    ],
  ] as const) {
    const answer = await succeed(server, ti, [...outlets], [...events] as object[]);
    assert.equal(answer.status, 422, JSON.stringify([outlets, events]).slice(0, 200));
  }
  assert.equal((await succeed(server, ti, [asset(ORDERS)], [event(ORDERS, { unknown: 1 })])).status, 204);
});
