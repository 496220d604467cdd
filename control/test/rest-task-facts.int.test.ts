/** What the API tells about one task instance besides its row, and its removal. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let viewer: Caller;
const db = () => kit.database.db;
const TI = '/dags/d/dagRuns/r/taskInstances';

before(async () => {
  kit = await restKit();
  ({ user, viewer } = kit.as);
  await withBundle(db());
  const links = { _operator_extra_links: { Zoo: '_link_zoo', Bad: '_link_bad', Absent: '_link_none' } };
  const tasks = [
    { id: 'a', ...links, max_active_tis_per_dag: 1 },
    { id: 'b', after: ['a'], pool: 'small' },
  ];
  await ingest(db(), 'd.ts', [dagDocument('d', tasks, { max_active_tasks: 1 })], new Date().toISOString());
  assert.equal((await kit.as.op('POST', '/pools', { name: 'small', slots: 0 })).status, 201);
  assert.equal((await user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: 'r' })).status, 200);
});
after(() => kit[Symbol.asyncDispose]());

const reasons = async (path: string): Promise<Record<string, string>> => {
  const { status, body } = await viewer('GET', path);
  assert.equal(status, 200);
  return Object.fromEntries(
    body.dependencies.map((each: { name: string; reason: string }) => [each.name, each.reason]),
  );
};

test('a task that waits says for what, and stops saying it when that has come', async () => {
  await user('PATCH', '/dags/d', { is_paused: true });
  const paused = await reasons(`${TI}/b/dependencies`);
  assert.deepEqual(Object.keys(paused), [
    'Dag Not Paused',
    'Dagrun Running',
    'Pool Slots Available',
    'Task Instance State',
    'Trigger Rule',
  ]);
  assert.equal(paused['Dag Not Paused'], "Task's DAG 'd' is paused.");
  assert.match(paused['Dagrun Running']!, /in the state 'queued'/);
  assert.match(paused['Trigger Rule']!, /'all_success' is not met yet: a \(none\)/);
  assert.deepEqual(await reasons(`${TI}/b/-1/dependencies`), paused);

  await user('PATCH', '/dags/d', { is_paused: false });
  await db().query(sql`UPDATE dag_run SET state = 'running' WHERE run_id = 'r'`);
  await db().query(sql`UPDATE task_instance SET state = 'success' WHERE task_id = 'a'`);
  await kit.as.op('PATCH', '/pools/small', { name: 'small', slots: 1, include_deferred: false });
  await db().query(sql`UPDATE task_instance SET state = 'scheduled' WHERE task_id = 'b'`);
  assert.deepEqual(await reasons(`${TI}/b/dependencies`), {});
});

test('limits of the run and of the task are named when they are reached', async () => {
  await db().query(sql`UPDATE task_instance SET state = 'running' WHERE task_id = 'a'`);
  assert.deepEqual(Object.keys(await reasons(`${TI}/b/dependencies`)), ['Task Instance Slots Available']);
  assert.deepEqual(await reasons(`${TI}/a/dependencies`), {}); // it runs
  await user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: 'other' });
  const other = await reasons('/dags/d/dagRuns/other/taskInstances/a/dependencies');
  assert.deepEqual(Object.keys(other), ['Dagrun Running', 'Task Concurrency', 'Task Instance State']);
});

test('a pool that is gone is a reason too', async () => {
  await db().query(sql`DELETE FROM slot_pool WHERE name = 'small'`);
  const found = await reasons(`${TI}/b/dependencies`);
  assert.equal(found['Pool Slots Available'], "Tasks using non-existent pool 'small' will not be scheduled");
});

test('what does not exist is refused with a list of one text', async () => {
  const answer = await viewer('GET', `${TI}/a/dependencies?map_index=3`);
  const text = 'The Task Instance with dag_id: `d`, run_id: `r`, task_id: `a` and map_index: `3` was not found';
  assert.deepEqual([answer.status, answer.body], [404, { detail: [text] }]);
});

test('links come from what the task published, and only web addresses are links', async () => {
  const put = (key: string, value: string) => user('POST', `${TI}/a/xcomEntries`, { key, value });
  await put('_link_zoo', 'https://example.org/zoo');
  await put('_link_bad', 'javascript:alert(1)');
  const { status, body } = await viewer('GET', `${TI}/a/links`);
  assert.deepEqual(
    [status, body],
    [200, { extra_links: { Absent: null, Bad: null, Zoo: 'https://example.org/zoo' }, total_entries: 3 }],
  );
  assert.deepEqual((await viewer('GET', `${TI}/b/links`)).body, { extra_links: {}, total_entries: 0 });
  const absent = async (path: string) => (await viewer('GET', path)).body.detail;
  assert.equal(await absent(`${TI}/no/links`), 'TaskInstance not found');
  assert.equal(await absent(`${TI}/a/links?map_index=0`), 'TaskInstance not found');
  assert.equal(await absent(`${TI}/a/links?try_number=9`), 'TaskInstanceHistory not found for try_number=9');
});

test('there is no other place for logs, and it is said', async () => {
  const at = (number: string) => viewer('GET', `${TI}/a/externalLogUrl/${number}`);
  const answer = await at('1');
  assert.deepEqual([answer.status, answer.body], [400, { detail: 'Task log handler does not support external logs.' }]);
  assert.equal((await at('0')).status, 422);
});

test('a removed task instance goes with its tries and XComs; its neighbours stay', async () => {
  await db().query(sql`UPDATE task_instance SET state = 'failed' WHERE task_id = 'a' AND run_id = 'r'`);
  const cleared = { dry_run: false, dag_run_id: 'r', only_failed: false, task_ids: ['a'] };
  assert.equal((await user('POST', '/dags/d/clearTaskInstances', cleared)).status, 200);
  const gone = await user('DELETE', `${TI}/a`);
  assert.deepEqual([gone.status, gone.text], [200, 'null']);
  for (const path of [`${TI}/a`, `${TI}/a/tries`]) assert.equal((await viewer('GET', path)).status, 404, path);
  assert.equal((await viewer('GET', `${TI}/a/xcomEntries`)).body.total_entries, 0);
  assert.equal((await viewer('GET', `${TI}/b`)).status, 200);
  assert.equal((await viewer('GET', '/dags/d/dagRuns/other/taskInstances/a')).status, 200);
  const again = await user('DELETE', `${TI}/a`);
  const text = 'The Task Instance with dag_id: `d`, run_id: `r`, task_id: `a` and map_index: `-1` was not found';
  assert.deepEqual([again.status, again.body], [404, { detail: text }]);
  assert.equal((await user('DELETE', `${TI}/b?map_index=0`)).status, 404);
});
