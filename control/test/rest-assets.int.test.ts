/** Assets, their events, and the Dags that wait for them, over the API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let op: Caller;
let viewer: Caller;
const db = () => kit.database.db;

const asset = (name: string, extra: Record<string, unknown> = {}) => ({
  __type: 'asset',
  __var: { name, uri: `s3://bucket/${name}`, group: 'shop', extra },
});
const waitsFor = (name: string) => ({
  timetable: {
    __type: 'airflow.timetables.simple.AssetTriggeredTimetable',
    __var: { asset_condition: { __type: 'asset', name, uri: `s3://bucket/${name}`, group: 'shop', extra: {} } },
  },
});

before(async () => {
  kit = await restKit();
  ({ op, viewer } = kit.as);
  await withBundle(db());
  const now = new Date().toISOString();
  const orders = asset('orders', { team: 'sales', api_key: 'canary-1' });
  await ingest(
    db(),
    'a.ts',
    [
      dagDocument('maker', [
        { id: 'write', outlets: [orders] },
        { id: 'look', inlets: [orders] },
      ]),
      dagDocument('taker', [{ id: 'read' }], waitsFor('orders')),
      dagDocument('asleep', [{ id: 'read' }], { ...waitsFor('orders'), is_paused_upon_creation: true }),
      dagDocument('twin1', [{ id: 'write', outlets: [asset('twins')] }]),
      dagDocument('twin2', [{ id: 'write', outlets: [asset('twins')] }]),
      dagDocument('alone', [{ id: 'x' }], waitsFor('manual')),
      dagDocument('never', [{ id: 'write', outlets: [asset('forbidden')] }], { allowed_run_types: ['scheduled'] }),
    ],
    now,
  );
  await db().query(sql`INSERT INTO asset_alias (name, alias_group, created_at) VALUES ('nick', 'names', ${now})`);
});
after(() => kit[Symbol.asyncDispose]());

const idOf = async (name: string): Promise<number> => {
  const { body } = await viewer('GET', `/assets?name_pattern=${name}`);
  assert.equal(body.total_entries, 1, name);
  return body.assets[0].id;
};
const names = async (query: string) =>
  (await viewer('GET', `/assets?${query}`)).body.assets.map((each: { name: string }) => each.name);

test('an asset says where it is named and which event was the last; secrets in its extra are hidden', async () => {
  const id = await idOf('orders');
  const { status, body } = await viewer('GET', `/assets/${id}`);
  assert.equal(status, 200);
  const { created_at, updated_at, scheduled_dags, producing_tasks, consuming_tasks, ...rest } = body;
  for (const at of [created_at, updated_at]) assert.match(at, /Z$/);
  assert.deepEqual(rest, {
    id,
    name: 'orders',
    uri: 's3://bucket/orders',
    group: 'shop',
    extra: rest.extra,
    aliases: [],
    watchers: [],
    last_asset_event: { id: null, timestamp: null },
  });
  assert.ok(!JSON.stringify(body).includes('canary-1'));
  // Members are closed on the wire: no more than these.
  assert.deepEqual(Object.keys(scheduled_dags[0]), ['dag_id', 'created_at', 'updated_at']);
  assert.deepEqual(
    scheduled_dags.map((each: { dag_id: string }) => each.dag_id),
    ['asleep', 'taker'],
  );
  assert.deepEqual(
    [producing_tasks, consuming_tasks].map(([each]) => [each.dag_id, each.task_id]),
    [
      ['maker', 'write'],
      ['maker', 'look'],
    ],
  );
});

test('lists: filters, orders, activeness', async () => {
  assert.deepEqual(await names('uri_pattern=bucket/ord'), ['orders']);
  assert.deepEqual(await names('dag_ids=alone'), ['manual']);
  assert.deepEqual((await names('dag_ids=alone,maker')).sort(), ['manual', 'orders']);
  assert.deepEqual((await names('dag_ids=alone&dag_ids=maker')).sort(), ['manual', 'orders']);
  assert.deepEqual(await names('order_by=-name&limit=2'), ['twins', 'orders']);
  assert.equal((await viewer('GET', '/assets?order_by=group')).status, 400);
  await db().query(sql`UPDATE asset SET active = false WHERE name = 'twins'`);
  assert.deepEqual(await names('name_pattern=twins'), []);
  assert.deepEqual(await names('name_pattern=twins&only_active=false'), ['twins']);
  await db().query(sql`UPDATE asset SET active = true WHERE name = 'twins'`);
});

test('aliases are listed and shown', async () => {
  const { body } = await viewer('GET', '/assets/aliases?name_pattern=nick');
  const [alias] = body.asset_aliases;
  assert.deepEqual(alias, { id: alias.id, name: 'nick', group: 'names' });
  assert.deepEqual((await viewer('GET', `/assets/aliases/${alias.id}`)).body, alias);
});

test('an event from outside wakes the unpaused Dags that wait, once, and says where it came from', async () => {
  const id = await idOf('orders');
  const made = await op('POST', '/assets/events', { asset_id: id, extra: { k: 1, password: 'canary-2' } });
  assert.equal(made.status, 200);
  const { id: eventId, timestamp, ...rest } = made.body;
  assert.deepEqual(rest, {
    asset_id: id,
    uri: 's3://bucket/orders',
    name: 'orders',
    group: 'shop',
    extra: { k: 1, password: '***', from_rest_api: true },
    source_task_id: null,
    source_dag_id: null,
    source_run_id: null,
    source_map_index: -1,
    created_dagruns: [],
    partition_key: null,
  });
  const exact = '{"k":1.0,"more":{"big":12345678901234567890}}';
  const sent = await op('POST', '/assets/events', `{"asset_id":${id},"extra":${exact}}`);
  assert.ok(sent.text.includes(exact.slice(0, -1)), `the numbers that were sent: ${sent.text}`);
  const { body } = await viewer('GET', `/assets/${id}/queuedEvents`);
  assert.deepEqual(
    [body.total_entries, body.queued_events[0].dag_id, body.queued_events[0].asset_id],
    [1, 'taker', id],
  );
  const { body: list } = await viewer('GET', `/assets/events?asset_id=${id}&order_by=-timestamp`);
  assert.equal(list.total_entries, 2);
  assert.equal(list.asset_events[1].id, eventId);
  assert.equal((await viewer('GET', `/assets/events?timestamp_lt=${timestamp}`)).body.total_entries, 0);
  const last = (await viewer('GET', `/assets/${id}`)).body.last_asset_event;
  assert.deepEqual(last, { id: list.asset_events[0].id, timestamp: list.asset_events[0].timestamp });
  const [log] = (await viewer('GET', '/eventLogs?event=create_asset_event&order_by=id&limit=1')).body.event_logs;
  assert.ok(log.owner === 'op' && !log.extra.includes('canary-2'), log.extra);
});

test('an event that is not whole, or of no asset, is refused', async () => {
  const id = await idOf('orders');
  const post = async (body: unknown) => {
    const { status, body: answer } = await op('POST', '/assets/events', body);
    return [status, typeof answer.detail === 'string' ? answer.detail : answer.detail[0].type];
  };
  assert.deepEqual(await post({ asset_id: 987654 }), [404, 'Asset with ID: `987654` was not found']);
  assert.deepEqual(await post({ extra: {} }), [422, 'missing']);
  assert.deepEqual(await post({ asset_id: id, partition_key: '  ' }), [422, 'string_pattern_mismatch']);
  assert.deepEqual(await post({ asset_id: id, partition_key: 'x'.repeat(251) }), [422, 'string_too_long']);
  assert.deepEqual(await post({ asset_id: id, extra: [1] }), [422, 'dict_type']);
  assert.deepEqual(await post({ asset_id: id, more: 1 }), [422, 'extra_forbidden']);
  assert.equal((await op('POST', '/assets/events', { asset_id: id, partition_key: ' k ' })).body.partition_key, ' k ');
});

test('a run shows the events that it consumed, and of them the newest has set it off', async () => {
  const id = await idOf('manual');
  const events: number[] = [];
  for (let i = 0; i < 2; i++) {
    events.push((await op('POST', '/assets/events', { asset_id: id })).body.id);
    kit.clock.shift(1_000);
  }
  const run = await op('POST', '/dags/alone/dagRuns', { logical_date: null, dag_run_id: 'r' });
  assert.equal(run.status, 200, run.text);
  await db().query(sql`UPDATE dag_run SET start_date = run_after, state = 'running' WHERE dag_id = 'alone'`);
  for (const event of events) {
    await db().query(
      sql`INSERT INTO dag_run_asset_event (dag_run_id, event_id) SELECT id, ${event} FROM dag_run WHERE dag_id = 'alone'`,
    );
  }
  const { body } = await viewer('GET', '/dags/alone/dagRuns/r/upstreamAssetEvents');
  assert.deepEqual(
    body.asset_events.map((each: { id: number; created_dagruns: Array<Record<string, unknown>> }) => [
      each.id,
      each.created_dagruns.map(({ run_id, triggering }) => [run_id, triggering]),
    ]),
    [
      [events[0], [['r', false]]],
      [events[1], [['r', true]]],
    ],
  );
  assert.equal((await viewer('GET', '/dags/alone/dagRuns/absent/upstreamAssetEvents')).status, 404);
});

test('what waits can be looked at and dropped, by asset, by Dag, by both, and up to an instant', async () => {
  const id = await idOf('orders');
  const queue = () => op('POST', '/assets/events', { asset_id: id });
  await queue();
  const paths = [
    `/assets/${id}/queuedEvents`,
    '/dags/taker/assets/queuedEvents',
    `/dags/taker/assets/${id}/queuedEvents`,
  ];
  const one = (await viewer('GET', paths[2]!)).body;
  assert.deepEqual([one.dag_id, one.asset_id, one.dag_display_name], ['taker', id, 'taker']);
  for (const path of paths.slice(0, 2)) assert.equal((await viewer('GET', path)).body.total_entries, 1, path);
  for (const before of ['2020-01-01', '2020-01-01T00:00:00', '2020-01-01T00:00:00%2B02:00']) {
    assert.equal((await op('DELETE', `${paths[0]}?before=${before}`)).status, 404, before);
    assert.equal((await viewer('GET', `${paths[0]}?before=${before}`)).body.total_entries, 0);
  }
  const wrong = await viewer('GET', `${paths[0]}?before=zz`);
  const text = "Invalid datetime: 'zz'. Please check the date parameter have this value.";
  assert.deepEqual([wrong.status, wrong.body.detail], [400, text]);
  const gone = [
    `Queue event with asset_id: \`${id}\` was not found`,
    'Queue event with dag_id: `taker` was not found',
    `Queued event with dag_id: \`taker\` and asset_id: \`${id}\` was not found`,
  ];
  for (const [i, path] of paths.entries()) {
    await queue();
    assert.equal((await op('DELETE', `${path}?before=2999-01-01`)).status, 204, path);
    const again = await op('DELETE', path);
    assert.deepEqual([again.status, again.body.detail], [404, gone[i]]);
  }
  assert.deepEqual((await viewer('GET', paths[0]!)).body, { queued_events: [], total_entries: 0 });
});

test('making an asset anew triggers the one Dag that makes it', async () => {
  const make = async (name: string, body?: unknown) => op('POST', `/assets/${await idOf(name)}/materialize`, body);
  const made = await make('orders');
  assert.equal(made.status, 200, made.text);
  assert.match(made.body.dag_run_id, /^asset_materialization__/);
  const { dag_id, run_type, triggered_by, logical_date, state } = made.body;
  assert.deepEqual(
    [dag_id, run_type, triggered_by, logical_date, state],
    ['maker', 'asset_materialization', 'rest_api', null, 'queued'],
  );
  const named = await make('orders', { dag_run_id: 'mine', note: 'n', conf: { a: 1 } });
  assert.deepEqual([named.body.dag_run_id, named.body.note, named.body.conf], ['mine', 'n', { a: 1 }]);
  assert.equal((await make('orders', { dag_run_id: 'mine' })).status, 409);
  const detail = async (name: string) => {
    const { status, body } = await make(name);
    return [status, body.detail];
  };
  assert.deepEqual(await detail('manual'), [404, `No Dag materializes asset with ID: ${await idOf('manual')}`]);
  assert.deepEqual(await detail('twins'), [
    409,
    `More than one Dag materializes asset with ID: ${await idOf('twins')}`,
  ]);
  const never = "Dag with dag_id: 'never' does not allow asset materialization runs";
  assert.deepEqual(await detail('forbidden'), [400, never]);
  assert.equal((await op('POST', '/assets/987654/materialize')).status, 404);
});

test('missing ones are 404, and ids are integers', async () => {
  const detail = async (path: string) => (await viewer('GET', path)).body.detail;
  assert.equal(await detail('/assets/987654'), 'The Asset with ID: `987654` was not found');
  assert.equal(await detail('/assets/aliases/987654'), 'The Asset Alias with ID: `987654` was not found');
  for (const path of ['/assets/x', '/assets/aliases/x', '/assets/x/queuedEvents']) {
    assert.equal((await viewer('GET', path)).status, 422, path);
  }
});

test('a viewer reads and changes nothing; a user may not emit', async () => {
  const id = await idOf('orders');
  for (const caller of [viewer, kit.as.user]) {
    for (const [method, path] of [
      ['POST', '/assets/events'],
      ['POST', `/assets/${id}/materialize`],
      ['DELETE', `/assets/${id}/queuedEvents`],
      ['DELETE', '/dags/taker/assets/queuedEvents'],
    ] as const) {
      const body = method === 'POST' ? { asset_id: id } : undefined;
      assert.deepEqual((await caller(method, path, body)).body, { detail: 'Forbidden' }, path);
    }
  }
});
