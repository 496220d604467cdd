/** What task instances and assets keep between tries, over the API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let op: Caller;
let viewer: Caller;
let asset: number;
const db = () => kit.database.db;
const S = '/dags/d/dagRuns/r/taskInstances/a/state-store';
const DAY_MS = 86_400_000;

before(async () => {
  kit = await restKit({ config: { AIRLOCK__STATE_STORE__MAX_VALUE_STORAGE_BYTES: '100' } });
  ({ user, op, viewer } = kit.as);
  await withBundle(db());
  const outlets = [{ __type: 'asset', __var: { name: 'x', uri: 's3://x', group: 'asset', extra: {} } }];
  await ingest(db(), 'd.ts', [dagDocument('d', [{ id: 'a', outlets }, { id: 'b' }])], new Date().toISOString());
  assert.equal((await user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: 'r' })).status, 200);
  asset = (await viewer('GET', '/assets')).body.assets[0].id;
});
after(() => kit[Symbol.asyncDispose]());

const detail = async (answer: ReturnType<Caller>) => {
  const { status, body } = await answer;
  return [status, body?.detail?.[0]?.msg ?? body?.detail];
};

test('a value of a task is put, changed, read and removed; keys may hold slashes', async () => {
  assert.deepEqual((await viewer('GET', S)).body, { task_state_store: [], total_entries: 0 });
  const put = await user('PUT', `${S}/at/page`, '{"value":{"n":12345678901234567890},"expires_at":null}');
  assert.deepEqual([put.status, put.text], [204, '']);
  const read = await viewer('GET', `${S}/at/page`);
  assert.match(read.text, /"n":\s?1234567890123456/);
  assert.deepEqual([read.body.key, read.body.expires_at], ['at/page', null]);
  assert.match(read.body.updated_at, /Z$/);
  kit.clock.shift(1000);
  const patched = await user('PATCH', `${S}/at/page`, { value: [1] });
  assert.deepEqual([patched.status, patched.text], [200, 'null']);
  const after = (await viewer('GET', `${S}/at/page`)).body;
  assert.deepEqual([after.value, after.expires_at], [[1], null]);
  assert.ok(after.updated_at > read.body.updated_at);
  await user('PUT', `${S}/b`, { value: 'two' });
  const { body } = await viewer('GET', `${S}?limit=1&offset=1`);
  assert.deepEqual([body.total_entries, body.task_state_store.map((each: { key: string }) => each.key)], [2, ['b']]);
  for (let i = 0; i < 2; i++) assert.equal((await user('DELETE', `${S}/b`)).status, 204);
  assert.deepEqual(await detail(viewer('GET', `${S}/b`)), [404, "Task state store key 'b' not found"]);
  assert.deepEqual(await detail(user('PATCH', `${S}/b`, { value: 1 })), [404, "Task state store key 'b' not found"]);
});

test('values expire when they are told to, by default after thirty days; a patch leaves that as it is', async () => {
  await user('PUT', `${S}/default`, { value: 1 });
  const expires = Date.parse((await viewer('GET', `${S}/default`)).body.expires_at) - kit.clock.nowMs();
  assert.ok(Math.abs(expires - 30 * DAY_MS) < 60_000, `${expires}`);
  const soon = new Date(kit.clock.nowMs() + 60_000).toISOString();
  await user('PUT', `${S}/soon`, { value: 1, expires_at: soon });
  await user('PATCH', `${S}/soon`, { value: 2 });
  assert.equal((await viewer('GET', `${S}/soon`)).body.value, 2);
  kit.clock.shift(61_000);
  assert.equal((await viewer('GET', `${S}/soon`)).status, 404);
  assert.equal((await user('PATCH', `${S}/soon`, { value: 3 })).status, 404);
  assert.equal((await viewer('GET', `${S}/default`)).status, 200); // control
});

test('what cannot be kept is refused with the reason', async () => {
  const put = (body: unknown, path = `${S}/k`) => detail(user('PUT', path, body));
  assert.deepEqual(await put({ value: null }), [422, 'Value error, value cannot be null']);
  assert.deepEqual(await put({}), [422, 'Field required']);
  assert.equal((await put({ value: 1, expires_at: '2024-01-01T00:00:00' }))[0], 422);
  assert.equal((await put({ value: 1, expires_at: 'never' }))[0], 422);
  assert.equal((await put({ value: 1, more: 1 }))[0], 422);
  assert.match(String((await put({ value: 'x'.repeat(99) }))[1]), /value exceeds max_value_storage_bytes \(100\)/);
  assert.equal((await put({ value: 'x'.repeat(98) }))[0], 204);
  assert.equal((await put({ value: 1 }, `${S}/${'k'.repeat(513)}`))[0], 422);
  assert.deepEqual(await put({ value: 1 }, `${S}/k?map_index=4`), [
    404,
    "Task instance not found for dag_id='d', run_id='r', task_id='a', map_index=4",
  ]);
  await db().query(
    sql`INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at)
      SELECT r.id, 'b', -1, 'k' || n, '1', r.run_after FROM dag_run r, generate_series(1, 1000) n WHERE r.run_id = 'r'`,
  );
  const full = S.replace('/a/', '/b/');
  assert.equal((await put({ value: 1 }, `${full}/one-more`))[0], 400);
  assert.equal((await put({ value: 2 }, `${full}/k7`))[0], 204); // control: one that is there
});

test('clearing takes one index, or all of them', async () => {
  await user('PUT', `${S}/k`, { value: 1 });
  assert.deepEqual(await detail(user('DELETE', `${S}?map_index=3`)), [
    404,
    "Task instance not found for dag_id='d', run_id='r', task_id='a', map_index=3",
  ]);
  assert.equal((await user('DELETE', `${S}?all_map_indices=true&map_index=3`)).status, 204);
  assert.equal((await viewer('GET', S)).body.total_entries, 0);
  const absent = S.replace('/a/', '/zz/');
  assert.match(String((await detail(user('DELETE', `${absent}?all_map_indices=true`)))[1]), /all_map_indices=True$/);
});

test('a value of an asset says who wrote it last', async () => {
  const A = `/assets/${asset}/state-store`;
  await db().query(
    sql`INSERT INTO asset_state VALUES (${asset}, 'by-task', '1', ${new Date().toISOString()}, 'd', 'r', 'a', -1)`,
  );
  assert.equal((await op('PUT', `${A}/k`, { value: { a: 1 } })).status, 204);
  const { body } = await viewer('GET', A);
  assert.deepEqual(
    body.asset_state_store.map((each: Record<string, unknown>) => [each.key, each.value, each.last_updated_by]),
    [
      ['by-task', 1, { kind: 'task', dag_id: 'd', run_id: 'r', task_id: 'a', map_index: -1 }],
      ['k', { a: 1 }, { kind: 'api', dag_id: null, run_id: null, task_id: null, map_index: null }],
    ],
  );
  await op('PUT', `${A}/by-task`, { value: 2 });
  assert.equal((await viewer('GET', `${A}/by-task`)).body.last_updated_by.kind, 'api');
  assert.equal((await op('DELETE', `${A}/k`)).status, 204);
  assert.deepEqual(await detail(viewer('GET', `${A}/k`)), [404, "Asset state store key 'k' not found"]);
  assert.equal((await op('DELETE', A)).status, 204);
  assert.equal((await viewer('GET', A)).body.total_entries, 0);
  for (const path of ['', '/k']) {
    const other = `/assets/987654/state-store${path}`;
    assert.deepEqual(await detail(viewer('GET', other)), [404, 'Asset with id 987654 not found']);
  }
  assert.equal((await user('PUT', `${A}/k`, { value: 1 })).status, 403); // assets need an op
});

test('the audit log has the key and who wrote it, and not the value', async () => {
  await user('PUT', `${S}/audited`, { value: 'canary-31' });
  const { event_logs: rows } = (await viewer('GET', '/eventLogs?event=set_task_state_store&order_by=-id&limit=1')).body;
  assert.deepEqual([rows[0].owner, rows[0].task_id, rows[0].extra.includes('canary')], ['user', 'a', false]);
});
