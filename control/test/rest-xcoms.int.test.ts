/** XComs written over the API. Reading is in rest-runs. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let viewer: Caller;
const X = '/dags/d/dagRuns/r/taskInstances/a/xcomEntries';

before(async () => {
  kit = await restKit();
  ({ user, viewer } = kit.as);
  await withBundle(kit.database.db);
  await ingest(kit.database.db, 'd.ts', [dagDocument('d', [{ id: 'a' }, { id: 'b' }])], new Date().toISOString());
  assert.equal((await user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: 'r' })).status, 200);
});
after(() => kit[Symbol.asyncDispose]());

const detail = async (answer: ReturnType<Caller>) => {
  const { status, body } = await answer;
  return [status, body?.detail];
};
const reserved = (where: string, names: string) =>
  `Value error, XCom ${where} contains reserved serialization keys: ${names}. These keys are reserved for internal use.`;

test('an XCom is made once, replaced, and removed once', async () => {
  const made = await user('POST', X, { key: 'k', value: { a: [1, null] } });
  assert.equal(made.status, 201);
  const { timestamp, run_after: runAfter, ...rest } = made.body;
  assert.ok(timestamp.endsWith('Z') && runAfter.endsWith('Z'));
  assert.deepEqual(rest, {
    key: 'k',
    value: { a: [1, null] },
    map_index: -1,
    dag_id: 'd',
    run_id: 'r',
    task_id: 'a',
    logical_date: null,
    dag_display_name: 'd',
    task_display_name: 'a',
  });
  const twice = 'The XCom with key: `k` with mentioned task instance already exists.';
  assert.deepEqual(await detail(user('POST', X, { key: 'k', value: 2 })), [409, twice]);
  kit.clock.shift(5_000);
  const changed = await user('PATCH', `${X}/k`, { value: 'new' });
  assert.deepEqual([changed.status, changed.body.value], [200, 'new']);
  assert.ok(changed.body.timestamp > timestamp);
  assert.equal((await viewer('GET', `${X}/k`)).body.value, 'new');
  assert.deepEqual(await user('DELETE', `${X}/k`).then(({ status, text }) => [status, text]), [204, '']);
  const gone = "The XCom with key: `k` with mentioned task instance doesn't exist.";
  assert.deepEqual(await detail(user('DELETE', `${X}/k`)), [404, gone]);
  assert.deepEqual(await detail(user('PATCH', `${X}/k`, { value: 1 })), [404, gone]);
});

test('values keep their digits, null is a value, and a key may hold slashes', async () => {
  const raw = '{"key":"big/one","value":[12345678901234567890,1.10,null]}';
  assert.equal((await user('POST', X, raw)).status, 201);
  const [row] = await kit.database.db.query<{ text: string }>(
    sql`SELECT value::text AS text FROM xcom WHERE key = 'big/one'`,
  );
  assert.equal(row?.text, '[12345678901234567890, 1.1, null]');
  assert.equal((await user('POST', X, { key: 'nothing', value: null })).body.value, null);
  assert.equal((await user('DELETE', `${X}/big%2Fone`)).status, 204);
});

test('what does not exist is named, from the Dag down to the map index', async () => {
  const post = (path: string, body: object = {}) => detail(user('POST', path, { key: 'k', value: 1, ...body }));
  const at = (dag: string, run: string, task: string) =>
    `/dags/${dag}/dagRuns/${run}/taskInstances/${task}/xcomEntries`;
  assert.deepEqual(await post(at('no', 'r', 'a')), [404, 'The Dag with ID: `no` was not found']);
  assert.deepEqual(await post(at('d', 'r', 'no')), [404, 'Task with ID: `no` not found in dag: `d`']);
  assert.deepEqual(await post(at('d', 'no', 'a')), [404, 'Dag Run with ID: `no` not found for dag: `d`']);
  const [status, text] = await post(X, { map_index: 7 });
  assert.equal(status, 404);
  assert.match(text, /^The Mapped Task Instance with dag_id: `d`, run_id: `r`, task_id: `a`, and map_index: `7`/);
  assert.equal((await user('POST', X, { key: 'control', value: 1, map_index: -1 })).status, 201);
});

test('names by which Python would make objects are refused anywhere in a value, also inside texts', async () => {
  const item = async (value: unknown) => {
    const { status, body } = await user('POST', X, { key: `x${Math.random()}`, value });
    return [status, body.detail?.[0]?.msg];
  };
  const names = ['__classname__', '__version__', '__data__', '__id__', '__cache__', '__type', '__source', '__var'];
  for (const name of names) {
    assert.deepEqual(await item({ [name]: 1 }), [422, reserved('value', name)]);
    assert.equal((await item({ [`${name}x`]: 1 }))[0], 201);
  }
  assert.deepEqual(await item({ a: [{}, { __var: 1, __type: 2 }] }), [422, reserved('value.a[1]', '__type, __var')]);
  assert.deepEqual(await item('{"a": {"__data__": 1}}'), [422, reserved('value.a', '__data__')]);
  // Readers parse once: JSON in JSON in a text stays a text.
  assert.equal((await item(JSON.stringify(JSON.stringify({ __data__: 1 }))))[0], 201);
  assert.equal((await item('__data__'))[0], 201);
  const changed = await user('PATCH', `${X}/control`, { value: { __type: 1 } });
  assert.deepEqual([changed.status, changed.body.detail[0].loc], [422, ['body', 'value']]);
});

test('a text that holds JSON deeper than a body may be is read back as the text that it is', async () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000);
  assert.equal((await user('POST', X, { key: 'deep', value: deep })).status, 201);
  const read = await viewer('GET', `${X}/deep?deserialize=true`);
  assert.deepEqual([read.status, read.body.value], [200, deep]);
});

test('a body that is not whole is refused with the place', async () => {
  const locs = async (body: unknown) => {
    const { status, body: answer } = await user('POST', X, body);
    return [status, answer.detail.map((each: { type: string; loc: string[] }) => [each.type, each.loc[1]])];
  };
  assert.deepEqual(await locs({ key: 'k' }), [422, [['missing', 'value']]]);
  assert.deepEqual(await locs({ value: 1 }), [422, [['missing', 'key']]]);
  assert.deepEqual(await locs({ key: '', value: 1 }), [422, [['string_too_short', 'key']]]);
  assert.deepEqual(await locs({ key: 'k', value: 1, map_index: -2 }), [422, [['greater_than_equal', 'map_index']]]);
  assert.deepEqual(await locs({ key: 'k', value: 1, more: 1 }), [422, [['extra_forbidden', 'more']]]);
});

test('the audit log says who wrote which XCom, and not what', async () => {
  await user('POST', X, { key: 'audited', value: 'canary-5521' });
  const { event_logs: rows } = (await viewer('GET', '/eventLogs?event=create_xcom_entry&order_by=-id&limit=1')).body;
  assert.deepEqual([rows[0].owner, rows[0].dag_id, rows[0].run_id, rows[0].task_id], ['user', 'd', 'r', 'a']);
  assert.ok(rows[0].extra.includes('audited') && !rows[0].extra.includes('canary'));
});
