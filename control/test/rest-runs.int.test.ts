/** Runs over the API. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { sql } from '@airlock/store';
import { restRuns } from './kit/rest-runs.ts';

const { kit, user, viewer, db, newRun, tis, states } = await restRuns();
after(() => kit[Symbol.asyncDispose]());

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

test('a conf keeps the numbers that were sent, and is checked as what they are', async () => {
  // Python tells 1.0 from 1, and knows integers of any size.
  const conf = '{"ratio":1.0,"big":12345678901234567890,"count":3.0}';
  const made = await user('POST', '/dags/p/dagRuns', `{"logical_date":null,"dag_run_id":"exact","conf":${conf}}`);
  assert.equal(made.status, 200, made.text);
  for (const { text } of [made, await viewer('GET', '/dags/p/dagRuns/exact'), await viewer('GET', '/dags/p/dagRuns')])
    assert.ok(text.includes(`"conf":${conf}`), text);
  for (const count of ['11.0', '1.1e1', '2.5', '12345678901234567890']) {
    const body = `{"logical_date":null,"conf":{"count":${count}}}`;
    assert.equal((await user('POST', '/dags/p/dagRuns', body)).status, 400, count);
  }
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
