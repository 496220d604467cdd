/** Task instances, tries, XComs and logs over the API. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sql } from '@airlock/store';
import { createLogStore } from '../src/logs/log-store.ts';
import { restRuns } from './kit/rest-runs.ts';

const { kit, user, viewer, db, newRun, states } = await restRuns();
after(() => kit[Symbol.asyncDispose]());

test('task instances are shown with every field, and listed by their filters', async () => {
  const { path, body } = await newRun();
  const { id, run_after, ...ti } = (await viewer('GET', `${path}/taskInstances/mid`)).body;
  assert.match(id, /^[0-9a-f-]{36}$/);
  assert.equal(run_after, body.run_after);
  const { dag_version: version, priority_weight: weight, ...rest } = ti;
  assert.equal(version.version_number, 1);
  assert.equal(weight, 2);
  assert.deepEqual(rest, {
    task_id: 'mid',
    dag_id: 'd',
    dag_run_id: body.dag_run_id,
    map_index: -1,
    logical_date: null,
    start_date: null,
    end_date: null,
    duration: null,
    state: null,
    try_number: 0,
    max_tries: 1,
    task_display_name: 'mid',
    dag_display_name: 'd',
    hostname: '',
    unixname: null,
    pool: 'default_pool',
    pool_slots: 1,
    queue: 'typescript',
    operator: 'TypeScriptOperator',
    operator_name: 'TypeScriptOperator',
    queued_when: null,
    scheduled_when: null,
    pid: null,
    executor: null,
    executor_config: '{}',
    note: null,
    rendered_map_index: null,
    rendered_fields: {},
    trigger: null,
    triggerer_job: null,
  });
  const total = async (query: string) => (await viewer('GET', `${path}/taskInstances?${query}`)).body.total_entries;
  assert.equal(await total('state=no_status'), 3);
  assert.equal(await total('state=success'), 0);
  assert.equal(await total('task_id=mid'), 1);
  assert.equal(await total('pool=default_pool&queue=typescript&try_number=0&map_index=-1'), 3);
  assert.equal(await total('operator_name_pattern=typescript'), 3);
  assert.equal(await total('duration_gte=0'), 3);
  assert.equal(await total('duration_gte=1'), 0);
  assert.equal((await viewer('GET', '/dags/~/dagRuns/x/taskInstances')).status, 400);
  assert.equal((await viewer('GET', '/dags/d/dagRuns/absent/taskInstances')).status, 404);
  assert.ok((await viewer('GET', '/dags/~/dagRuns/~/taskInstances?cursor=&limit=2')).body.next_cursor);
  const batch = await viewer('POST', '/dags/~/dagRuns/~/taskInstances/list', {
    dag_ids: ['d'],
    dag_run_ids: [body.dag_run_id],
    state: [null],
  });
  assert.equal(batch.body.total_entries, 3);
  assert.match(
    (await viewer('GET', `${path}/taskInstances/absent`)).body.detail,
    /^The Task Instance with dag_id: `d`/,
  );
  assert.match((await viewer('GET', `${path}/taskInstances/mid/4`)).body.detail, /^The Mapped Task Instance/);
  assert.match((await viewer('GET', `${path}/taskInstances/mid/listMapped`)).body.detail, /is not mapped$/);
});

test('a task instance gets a state, its neighbours when asked, and the failed ones after it are cleared', async () => {
  const { path } = await newRun();
  const patch = (task: string, sent: object, query = '') =>
    user('PATCH', `${path}/taskInstances/${task}${query}`, sent);
  const dry = await user('PATCH', `${path}/taskInstances/start/dry_run`, {
    new_state: 'success',
    include_downstream: true,
  });
  assert.equal(dry.body.total_entries, 3);
  assert.deepEqual(await states(path), { start: null, mid: null, end: null });
  assert.equal((await patch('mid', { note: 'careful' })).body.task_instances[0].note, 'careful');
  assert.equal(
    (await patch('start', { new_state: 'FAILED', include_downstream: true })).body.task_instances[0].state,
    'failed',
  );
  assert.deepEqual(await states(path), { start: 'failed', mid: 'failed', end: 'failed' });
  await patch('start', { new_state: 'success' });
  assert.deepEqual(await states(path), { start: 'success', mid: null, end: null });
  const same = await patch('start', { new_state: 'success' });
  assert.deepEqual([same.status, same.body], [409, { detail: 'Task id start is already in success state' }]);
  assert.deepEqual((await patch('start', { new_state: 'zombie' })).body.detail[0].loc, ['body', 'new_state']);
  assert.match((await patch('start', { new_state: null })).body.detail[0].msg, /should not be empty/);
  assert.deepEqual((await patch('zz', { new_state: 'success' })).body, { detail: "Task 'zz' not found in Dag 'd'" });
  const list = await user('PATCH', '/dags/d/dagRuns/nope/taskInstances/start', { new_state: 'success' });
  assert.deepEqual([list.status, Array.isArray(list.body.detail)], [404, true]);
});

test('clearing picks runs and tasks as the body says', async () => {
  const { path, body } = await newRun();
  await user('PATCH', `${path}/taskInstances/start`, { new_state: 'success' });
  await user('PATCH', `${path}/taskInstances/end`, { new_state: 'failed' });
  const clear = (sent: object) => user('POST', '/dags/d/clearTaskInstances', { dag_run_id: body.dag_run_id, ...sent });
  const ids = async (sent: object) =>
    (await clear(sent)).body.task_instances.map((ti: { task_id: string }) => ti.task_id).sort();
  assert.deepEqual(await ids({}), ['end']); // only failed, and only a rehearsal
  assert.deepEqual(await ids({ only_failed: false, task_ids: ['start'] }), ['start']);
  assert.deepEqual(await ids({ only_failed: false, task_ids: [['start', -1]], include_downstream: true }), [
    'end',
    'mid',
    'start',
  ]);
  // Failed ones are meant unless the body says otherwise, so those that run come to them.
  await db().query(
    sql`UPDATE task_instance SET state = 'running' WHERE run_id = ${body.dag_run_id} AND task_id = 'mid'`,
  );
  assert.deepEqual(await ids({ only_running: true }), ['end', 'mid']);
  assert.deepEqual(await ids({ only_running: true, only_failed: false }), ['mid']);
  await db().query(sql`UPDATE task_instance SET state = NULL WHERE run_id = ${body.dag_run_id} AND task_id = 'mid'`);
  const before = (await viewer('GET', `${path}/taskInstances/start`)).body.id;
  const cleared = (await clear({ only_failed: false, task_ids: ['start'], dry_run: false, note: 'redo' })).body
    .task_instances[0];
  assert.deepEqual([cleared.state, cleared.note, cleared.id === before], [null, 'redo', false]);
  for (const [sent, text] of [
    [{ only_failed: true, only_running: true }, /both are set/],
    [{ task_ids: [] }, /at least 1 element/],
    [{ dag_run_id: null, start_date: '2024-02-01T00:00:00Z', end_date: '2024-01-01T00:00:00Z' }, /sooner than/],
    [{ start_date: '2024-02-01T00:00:00Z' }, /Exactly one of dag_run_id or start_date must/],
    [{ end_date: '2024-02-01T00:00:00Z' }, /Exactly one of dag_run_id or end_date must/],
    [
      { start_date: '2024-02-01T00:00:00Z', end_date: '2024-02-01T00:00:00Z' },
      /Exactly one of dag_run_id or \(start_date and end_date\) must/,
    ],
  ] as const) {
    const answer = await clear(sent);
    assert.deepEqual([answer.status, text.test(JSON.stringify(answer.body))], [422, true], answer.text);
  }
  assert.deepEqual((await clear({ dag_run_id: 'nope' })).body, { detail: 'Dag Run id nope not found in dag d' });
  assert.equal((await clear({ include_past: true })).status, 400);
  assert.equal((await user('POST', '/dags/absent/clearTaskInstances', {})).status, 404);
});

test('tries are listed, ended ones first, and each can be asked for', async () => {
  const { path } = await newRun();
  await user('PATCH', `${path}/taskInstances/start`, { new_state: 'success' });
  await db().query(sql`UPDATE task_instance SET try_number = 1 WHERE task_id = 'start' AND state = 'success'`);
  await user('POST', `${path}/clear`, { dry_run: false });
  await db().query(sql`UPDATE task_instance SET try_number = 2 WHERE task_id = 'start' AND try_number = 1`);
  const { body } = await viewer('GET', `${path}/taskInstances/start/tries`);
  assert.deepEqual(
    body.task_instances.map((each: { try_number: number; state: string | null }) => [each.try_number, each.state]),
    [
      [1, 'success'],
      [2, null],
    ],
  );
  for (const gone of ['id', 'note', 'rendered_fields', 'logical_date'])
    assert.ok(!(gone in body.task_instances[0]), gone);
  assert.equal((await viewer('GET', `${path}/taskInstances/start/tries/1`)).body.state, 'success');
  assert.equal((await viewer('GET', `${path}/taskInstances/start/-1/tries/2`)).body.try_number, 2);
  assert.equal((await viewer('GET', `${path}/taskInstances/start/tries/7`)).status, 404);
  assert.equal((await viewer('GET', `${path}/taskInstances/absent/tries`)).status, 404);
});

async function addXCom(run: string, key: string, value: string, task = 'start', mapIndex = -1): Promise<void> {
  await db().query(
    sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      SELECT id, ${task}, ${mapIndex}, ${key}, dag_id, run_id, ${value}::json, ${new Date().toISOString()} FROM dag_run WHERE run_id = ${run}`,
  );
}

test('XComs keep their JSON, and are never made into anything', async () => {
  const { path, body } = await newRun();
  const run = body.dag_run_id as string;
  await addXCom(run, 'n', '12345678901234567890');
  await addXCom(run, 'a/b', '{"k": [1.0, null, true]}');
  await addXCom(run, 'text', '"{\\"j\\": 1}"');
  await addXCom(run, 'tuple', '{"__classname__":"builtins.tuple","__version__":1,"__data__":[1,"a"]}');
  const x = `${path}/taskInstances/start/xcomEntries`;
  const get = async (key: string, query = '') => viewer('GET', `${x}/${encodeURIComponent(key)}${query}`);
  assert.match((await get('n')).text, /"value":12345678901234567890[,}]/);
  assert.deepEqual((await get('a/b')).body.value, { k: [1, null, true] });
  assert.equal((await get('a/b', '?stringify=true')).body.value, "{'k': [1.0, None, True]}");
  assert.equal((await get('text')).body.value, '{"j": 1}');
  assert.deepEqual((await get('text', '?deserialize=true')).body.value, { j: 1 });
  assert.deepEqual((await get('tuple')).body.value.__data__, [1, 'a']);
  assert.equal((await get('tuple', '?deserialize=true')).body.value, '(1,a)');
  const list = (await viewer('GET', x)).body;
  assert.equal(list.total_entries, 4);
  assert.ok(!('value' in list.xcom_entries[0]));
  assert.equal((await viewer('GET', `${path}/taskInstances/~/xcomEntries?xcom_key=n`)).body.total_entries, 1);
  assert.equal(
    (await viewer('GET', '/dags/~/dagRuns/~/taskInstances/~/xcomEntries?xcom_key_pattern=tup')).body.total_entries,
    1,
  );
  assert.deepEqual((await get('absent')).body, { detail: 'XCom entry with key: `absent` not found' });
  assert.equal((await get('n', '?map_index=-2')).status, 422);
});

test('logs come in pages that a token leads through, and as a stream', async () => {
  const { path, body } = await newRun();
  const where = { dagId: 'd', runId: body.dag_run_id as string, taskId: 'start', mapIndex: -1, tryNumber: 1 };
  const store = createLogStore({ root: kit.logFolder, maxBytes: 1e6 });
  const logs = `${path}/taskInstances/start/logs`;
  const write = (offset: number, text: string) => store.append(where, { base: 0, offset }, Buffer.from(text));
  const none = (await viewer('GET', `${logs}/0`)).body;
  assert.equal(none.content.at(-1).event, 'No logs available for this task.');
  await db().query(
    sql`UPDATE task_instance SET try_number = 1, state = 'running' WHERE run_id = ${where.runId} AND task_id = 'start'`,
  );
  const one = `${JSON.stringify({ timestamp: '2026-01-01T00:00:00Z', level: 'info', event: 'first' })}\n`;
  await write(0, `${one}half a li`);
  const live = (await viewer('GET', `${logs}/1`)).body;
  assert.deepEqual(
    live.content.map((line: { event: string }) => line.event),
    [
      '::group::Log message source details',
      `dag_id=d/run_id=${where.runId}/task_id=start/attempt=1.log`,
      '::endgroup::',
      'first',
    ],
  );
  assert.ok(!('timestamp' in live.content[0]));
  assert.ok(live.continuation_token);
  await write(Buffer.byteLength(`${one}half a li`), 'ne\nplain\n');
  const more = (await viewer('GET', `${logs}/1?token=${encodeURIComponent(live.continuation_token)}`)).body;
  assert.deepEqual(more.content, [{ event: 'half a line' }, { event: 'plain' }]);
  await db().query(sql`UPDATE task_instance SET state = 'success' WHERE run_id = ${where.runId} AND task_id = 'start'`);
  const done = (await viewer('GET', `${logs}/1?full_content=true`)).body;
  assert.deepEqual([done.content.length, done.continuation_token], [6, null]);
  const stream = await viewer('GET', `${logs}/1`, undefined, { accept: 'application/x-ndjson' });
  assert.equal(stream.headers.get('content-type'), 'application/x-ndjson');
  assert.ok(stream.headers.get('airflow-continuation-token'));
  const lines = stream.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  assert.deepEqual([lines.length, lines[0].timestamp, lines.at(-1).event], [6, null, 'plain']);

  // A token is good for its own log, and only as it was given.
  const other = `${path}/taskInstances/mid/logs/0?token=${encodeURIComponent(live.continuation_token)}`;
  for (const url of [other, `${logs}/1?token=forged`, `${logs}/1?token=${live.continuation_token.slice(0, -2)}AA`]) {
    assert.match((await viewer('GET', url)).body.detail, /^Bad Signature/);
  }
  assert.deepEqual((await viewer('GET', `${logs}/7`)).body, { detail: 'TaskInstance not found' });
  assert.equal((await viewer('GET', `${path}/taskInstances/absent/logs/1`)).status, 404);
  assert.equal((await viewer('GET', `${logs}/-1`)).status, 422);
  assert.equal((await viewer('GET', `${logs}/1`, undefined, { accept: 'text/html' })).status, 406);
});
