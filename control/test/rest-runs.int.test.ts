/** Runs, task instances, tries, XComs and logs over the API. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { createLogStore } from '../src/logs/log-store.ts';
import { dagDocument, ingest, mappedOver, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let user: Caller;
let viewer: Caller;
const db = () => kit.database.db;

before(async () => {
  kit = await restKit();
  ({ user, viewer } = kit.as);
  await withBundle(db());
  const now = new Date().toISOString();
  const param = {
    __class: 'airflow.sdk.definitions.param.Param',
    default: 3,
    schema: { __type: 'dict', __var: { type: 'integer', maximum: 10 } },
  };
  await ingest(
    db(),
    'a.ts',
    [
      dagDocument('d', [{ id: 'start' }, { id: 'mid', after: ['start'], retries: 1 }, { id: 'end', after: ['mid'] }]),
      dagDocument('m', [{ id: 'list' }, { id: 'each', after: ['list'], ...mappedOver('list') }]),
      dagDocument('p', [{ id: 'x' }], { params: [['count', param]] }),
    ],
    now,
  );
});
after(() => kit[Symbol.asyncDispose]());

let serial = 0;
async function newRun(
  dag = 'd',
  over: Record<string, unknown> = {},
): Promise<{ path: string; body: Record<string, unknown> }> {
  const runId = `run-${++serial}`;
  const answer = await user('POST', `/dags/${dag}/dagRuns`, { logical_date: null, dag_run_id: runId, ...over });
  assert.equal(answer.status, 200, answer.text);
  return { path: `/dags/${dag}/dagRuns/${encodeURIComponent(answer.body.dag_run_id)}`, body: answer.body };
}
const tis = async (path: string) => (await viewer('GET', `${path}/taskInstances?limit=100`)).body.task_instances;
const states = async (path: string) =>
  Object.fromEntries((await tis(path)).map((ti: { task_id: string; state: string | null }) => [ti.task_id, ti.state]));

test('a triggered run has the defaults of the wire, and its audit row', async () => {
  const { status, body } = await user('POST', '/dags/d/dagRuns', { logical_date: null });
  assert.equal(status, 200);
  assert.match(body.dag_run_id, /^manual__\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?\+00:00$/);
  const { dag_run_id: id, dag_versions: versions, queued_at, run_after, ...rest } = body;
  assert.equal(`manual__${run_after.replace('Z', '+00:00')}`, id);
  assert.equal(queued_at, run_after);
  assert.equal(versions[0].version_number, 1);
  assert.deepEqual(rest, {
    dag_id: 'd',
    logical_date: null,
    start_date: null,
    end_date: null,
    duration: null,
    data_interval_start: null,
    data_interval_end: null,
    last_scheduling_decision: null,
    run_type: 'manual',
    state: 'queued',
    triggered_by: 'rest_api',
    triggering_user_name: 'user',
    conf: {},
    note: null,
    bundle_version: null,
    dag_display_name: 'd',
    partition_key: null,
    partition_date: null,
  });
  const [log] = (await viewer('GET', '/eventLogs?dag_id=d&event=trigger_dag_run&order_by=-id&limit=1')).body.event_logs;
  assert.deepEqual([log.owner, log.dag_id], ['user', 'd']);
});

test('a trigger from a page is marked as such; null and absent mean the same', async () => {
  const answer = await user(
    'POST',
    '/dags/d/dagRuns',
    {
      logical_date: null,
      dag_run_id: null,
      conf: null,
      note: null,
      run_after: null,
      data_interval_start: null,
      data_interval_end: null,
      partition_key: null,
    },
    { referer: 'http://x/' },
  );
  assert.deepEqual([answer.status, answer.body.triggered_by, answer.body.conf], [200, 'ui', {}]);
});

test('logical dates carry their interval, in UTC', async () => {
  const { body } = await newRun('d', { logical_date: '2023-05-07T02:00:00+02:00' });
  for (const field of ['logical_date', 'data_interval_start', 'data_interval_end'])
    assert.equal(body[field], '2023-05-07T00:00:00Z');
  const given = await newRun('d', {
    logical_date: '2023-05-08T00:00:00.5Z',
    data_interval_start: '2023-05-01T00:00:00Z',
    data_interval_end: '2023-05-08T00:00:00Z',
  });
  assert.deepEqual(
    [given.body.logical_date, given.body.data_interval_start],
    ['2023-05-08T00:00:00.500000Z', '2023-05-01T00:00:00Z'],
  );
});

test('each wrong trigger gets its documented refusal, and leaves nothing behind', async () => {
  const count = async () =>
    (
      await db().query<{ n: number }>(
        sql`SELECT (SELECT count(*) FROM dag_run)::int + (SELECT count(*) FROM event_log)::int AS n`,
      )
    )[0]!.n;
  const { body } = await newRun('d', { logical_date: '2020-01-01T00:00:00Z' });
  const before = await count();
  const cases: Array<[dag: string, sent: unknown, status: number, detail: RegExp]> = [
    ['d', {}, 422, /logical_date.*Field required|Field required.*logical_date/],
    ['d', { logical_date: 'yesterday' }, 422, /logical_date/],
    ['d', { logical_date: '2024-02-03T00:00:00' }, 422, /timezone/],
    ['d', { logical_date: null, conf: [1] }, 422, /dict_type/],
    ['d', { logical_date: null, unknown: null }, 422, /extra_forbidden/],
    ['d', { logical_date: null, note: 'x'.repeat(1001) }, 422, /1000/],
    ['d', { logical_date: null, data_interval_start: '2024-01-01T00:00:00Z' }, 422, /Either both data_interval_start/],
    ['absent', { logical_date: null }, 404, /Dag with dag_id: 'absent' not found/],
    ['d', { logical_date: null, dag_run_id: 'with/slash' }, 400, /does not match regex pattern/],
    ['d', { logical_date: null, dag_run_id: 'a..b' }, 400, /path traversal/],
    ['d', { logical_date: null, dag_run_id: 'scheduled__x' }, 400, /A manual DAG run cannot use ID/],
    ['d', { logical_date: null, partition_key: 'k' }, 400, /not a partitioned Dag/],
    [
      'p',
      { logical_date: null, conf: { count: 99 } },
      400,
      /Invalid input for param count: 99 is greater than the maximum of 10/,
    ],
    ['p', { logical_date: null, conf: { count: 'many' } }, 400, /is not of type 'integer'/],
    ['d', { logical_date: null, dag_run_id: body.dag_run_id }, 409, /Unique constraint violation/],
    ['d', { logical_date: '2020-01-01T00:00:00Z' }, 409, /Unique constraint violation/],
  ];
  for (const [dag, sent, status, detail] of cases) {
    const answer = await user('POST', `/dags/${dag}/dagRuns`, sent);
    assert.equal(answer.status, status, `${JSON.stringify(sent)} ${answer.text}`);
    assert.match(JSON.stringify(answer.body.detail), detail);
  }
  assert.equal(await count(), before);
});

test('run lists filter, order and page; the page by cursor visits every run once, in both directions', async () => {
  for (let i = 0; i < 7; i++)
    await newRun('m', { logical_date: i % 2 ? `2022-02-0${i + 1}T00:00:00Z` : null, conf: { i } });
  const list = async (query: string) => (await viewer('GET', `/dags/m/dagRuns?${query}`)).body;
  const ids = (body: { dag_runs: Array<{ dag_run_id: string }> }) => body.dag_runs.map((run) => run.dag_run_id);
  const all = ids(await list('order_by=id'));
  assert.equal(all.length, 7);
  assert.deepEqual(ids(await list('order_by=-id&limit=2')), all.toReversed().slice(0, 2));
  assert.equal(
    (await list('logical_date_gte=2022-02-01T00:00:00Z&logical_date_lte=2022-02-04T00:00:00%2B00:00')).total_entries,
    2,
  );
  assert.equal((await list('state=success&state=failed')).total_entries, 0);
  assert.equal((await list('run_type=manual&state=queued')).total_entries, 7);
  assert.equal(
    (await list('conf_contains=%22i%22:3')).total_entries + (await list('conf_contains=%22i%22: 3')).total_entries,
    1,
  );
  assert.equal((await list('dag_version=1')).total_entries, 7);
  assert.equal((await list('dag_version=2')).total_entries, 0);
  assert.equal((await list('start_date_gte=2020-01-01T00:00:00Z')).total_entries, 7); // not started counts as now
  assert.equal((await viewer('GET', '/dags/absent/dagRuns')).status, 404);
  assert.equal((await viewer('GET', '/dags/~/dagRuns?dag_id_pattern=m')).body.total_entries, 7);
  assert.match((await viewer('GET', '/dags/m/dagRuns?state=sleepy')).body.detail, /^Invalid value for state/);
  assert.match((await viewer('GET', '/dags/m/dagRuns?run_type=odd')).body.detail, /^Invalid value for run type/);

  for (const order of ['id', '-id', 'logical_date', '-logical_date', 'run_after&order_by=-state']) {
    const seen: string[] = [];
    const pages: string[][] = [];
    let cursor: string | null = '';
    let last: { previous_cursor: string | null; next_cursor: string | null } | null = null;
    while (cursor !== null) {
      const page: Awaited<ReturnType<typeof list>> = await list(
        `order_by=${order}&limit=3&cursor=${encodeURIComponent(cursor)}`,
      );
      assert.equal(page.total_entries, 7);
      pages.push(ids(page));
      seen.push(...ids(page));
      last = page;
      cursor = page.next_cursor;
    }
    assert.deepEqual(seen, ids(await list(`order_by=${order}`)), order);
    const back = await list(`order_by=${order}&limit=3&cursor=${encodeURIComponent(last!.previous_cursor!)}`);
    assert.deepEqual(ids(back), pages.at(-2), order);
    assert.notEqual(back.next_cursor, null);
  }
  for (const [cursor, text] of [
    ['!!', 'Invalid cursor token'],
    ['e30', 'Invalid cursor token structure'],
    ['WzEsMiwzXQ', 'Cursor token does not match current query shape'],
    ['WyJ4JyJd', 'Cursor token does not match current query shape'],
  ]) {
    const answer = await viewer('GET', `/dags/m/dagRuns?cursor=${cursor}`);
    assert.deepEqual([answer.status, answer.body], [400, { detail: text }]);
  }
  const batch = await viewer('POST', '/dags/~/dagRuns/list', {
    dag_ids: ['m'],
    states: ['queued'],
    order_by: '-id',
    page_limit: 1,
  });
  assert.deepEqual([ids(batch.body), batch.body.total_entries], [[all.at(-1)], 7]);
  assert.equal((await viewer('POST', '/dags/m/dagRuns/list', {})).body.detail[0].type, 'literal_error');
});

test('a run is patched: note and state, with what that does to its task instances', async () => {
  const { path } = await newRun();
  assert.equal((await user('PATCH', path, { note: 'look' })).body.note, 'look');
  assert.equal((await user('PATCH', `${path}?update_mask=note`, { note: null, state: 'failed' })).body.state, 'queued');
  assert.equal((await viewer('GET', path)).body.note, null);
  assert.equal(
    (await user('PATCH', path, { state: 'running' })).body.detail[0].msg,
    "Input should be 'queued', 'success' or 'failed'",
  );
  assert.equal((await user('PATCH', path, {})).status, 200);
  const ended = (await user('PATCH', path, { state: 'success' })).body;
  assert.ok(ended.end_date);
  assert.deepEqual(await states(path), { start: 'skipped', mid: 'skipped', end: 'skipped' });
  const again = (await user('PATCH', path, { state: 'queued' })).body;
  assert.deepEqual([again.state, again.start_date, again.end_date], ['queued', null, null]);
  assert.equal((await user('PATCH', '/dags/d/dagRuns/absent', { note: 'x' })).status, 404);
});

test('a run is cleared, first as a rehearsal', async () => {
  const { path } = await newRun();
  await user('PATCH', path, { state: 'failed' });
  const dry = (await user('POST', `${path}/clear`, {})).body;
  assert.deepEqual(dry.task_instances.map((ti: { task_id: string }) => ti.task_id).sort(), ['end', 'mid', 'start']);
  assert.equal((await viewer('GET', path)).body.state, 'failed');
  const before = new Set((await tis(path)).map((ti: { id: string }) => ti.id));
  const real = (await user('POST', `${path}/clear`, { dry_run: false, note: 'again' })).body;
  assert.deepEqual([real.state, real.note], ['queued', 'again']);
  assert.deepEqual(await states(path), { start: null, mid: null, end: null });
  for (const ti of await tis(path)) assert.ok(!before.has(ti.id), 'a cleared try gets a new id');
  assert.equal((await user('POST', '/dags/d/dagRuns/absent/clear', {})).status, 404);
  assert.equal((await user('POST', `${path}/clear`, { only_failed: true, only_new: true })).status, 422);
});

test('a run is deleted once, and not while it runs', async () => {
  const { path, body } = await newRun();
  await db().query(sql`UPDATE dag_run SET state = 'running' WHERE run_id = ${body.dag_run_id as string}`);
  const refused = await user('DELETE', path);
  assert.equal(refused.status, 409);
  assert.match(refused.body.detail, /cannot be deleted in running state/);
  await db().query(sql`UPDATE dag_run SET state = 'queued' WHERE run_id = ${body.dag_run_id as string}`);
  const gone = await user('DELETE', path);
  assert.deepEqual([gone.status, gone.text], [204, '']);
  assert.equal((await user('DELETE', path)).status, 404);
  assert.equal((await viewer('GET', `${path}/taskInstances`)).status, 404);
});

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
  const before = (await viewer('GET', `${path}/taskInstances/start`)).body.id;
  const cleared = (await clear({ only_failed: false, task_ids: ['start'], dry_run: false, note: 'redo' })).body
    .task_instances[0];
  assert.deepEqual([cleared.state, cleared.note, cleared.id === before], [null, 'redo', false]);
  for (const [sent, text] of [
    [{ only_failed: true, only_running: true }, /both are set/],
    [{ task_ids: [] }, /at least 1 element/],
    [{ dag_run_id: null, start_date: '2024-02-01T00:00:00Z', end_date: '2024-01-01T00:00:00Z' }, /sooner than/],
    [{ start_date: '2024-02-01T00:00:00Z' }, /Exactly one of/],
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

test('many runs that are asked for within one instant all come about; an instant that is named twice is taken', async (t) => {
  t.after(kit.clock.hold());
  const asked = await Promise.all(
    Array.from({ length: 20 }, () => user('POST', '/dags/m/dagRuns', { logical_date: null })),
  );
  assert.deepEqual([...new Set(asked.map(({ status }) => status))], [200]);
  assert.equal(new Set(asked.map(({ body }) => body.dag_run_id)).size, 20);
  const named = { logical_date: null, run_after: '2026-01-01T00:00:00Z' };
  assert.equal((await user('POST', '/dags/m/dagRuns', named)).status, 200);
  assert.equal((await user('POST', '/dags/m/dagRuns', named)).status, 409);
});
