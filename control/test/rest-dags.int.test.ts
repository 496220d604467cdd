/** Dags as the API shows them: lists, filters, details, tasks, versions, source, pausing. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, mappedOver, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let viewer: Caller;
const NOW = '2026-06-10T09:30:00.000Z';

before(async () => {
  kit = await restKit();
  viewer = kit.as.viewer;
  const { db } = kit.database;
  await withBundle(db);
  const cron = {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 6 * * *', timezone: 'UTC', interval: 0, run_immediately: false },
  };
  await ingest(
    db,
    'one.ts',
    [
      dagDocument(
        'alpha',
        [
          { id: 'load', retries: 2, retry_delay: 90, execution_timeout: 86_401.5, doc_md: 'loads', owner: 'ann' },
          { id: 'fan', after: ['load'], ...mappedOver('load') },
        ],
        {
          tags: ['smoke', 'all'],
          description: 'the first',
          doc_md: '\n  # Alpha\n    code',
          start_date: 1704067200,
          default_args: { __type: 'dict', __var: { owner: 'ann' } },
          params: [
            [
              'count',
              {
                __class: 'airflow.sdk.definitions.param.Param',
                default: 3,
                description: 'how many',
                schema: { __type: 'dict', __var: { type: 'integer' } },
              },
            ],
          ],
          dagrun_timeout: 90_000,
          max_active_runs: 4,
        },
      ),
      dagDocument('beta_1', [{ id: 'only', owner: 'bob' }], {
        tags: ['all'],
        timetable: cron,
        is_paused_upon_creation: true,
        start_date: 1704067200,
      }),
    ],
    NOW,
  );
  await ingest(db, 'two.ts', [dagDocument('Gamma', [{ id: 'x' }], { dag_display_name: 'The third' })], NOW);
});
after(() => kit[Symbol.asyncDispose]());

const ids = async (query: string) =>
  (await viewer('GET', `/dags?${query}`)).body.dags.map((dag: { dag_id: string }) => dag.dag_id);

test('the list holds every documented field, null where there is nothing', async () => {
  const { body } = await viewer('GET', '/dags?dag_id_pattern=alpha');
  assert.equal(body.total_entries, 1);
  const { file_token: token, last_parse_duration: _parse, ...dag } = body.dags[0];
  assert.match(token, /^[\w-]{20,}$/);
  assert.deepEqual(dag, {
    dag_id: 'alpha',
    dag_display_name: 'alpha',
    is_paused: false,
    is_stale: false,
    last_parsed_time: '2026-06-10T09:30:00Z',
    last_expired: null,
    bundle_name: 'dags-folder',
    bundle_version: null,
    relative_fileloc: 'one.ts',
    fileloc: dag.fileloc,
    description: 'the first',
    timetable_summary: null,
    timetable_description: 'Never, external triggers only',
    timetable_partitioned: false,
    timetable_periodic: false,
    tags: [
      { name: 'all', dag_id: 'alpha', dag_display_name: 'alpha' },
      { name: 'smoke', dag_id: 'alpha', dag_display_name: 'alpha' },
    ],
    max_active_tasks: 16,
    max_active_runs: 4,
    max_consecutive_failed_dag_runs: 0,
    has_task_concurrency_limits: false,
    has_import_errors: false,
    next_dagrun_logical_date: null,
    next_dagrun_data_interval_start: null,
    next_dagrun_data_interval_end: null,
    next_dagrun_run_after: null,
    allowed_run_types: null,
    owners: ['airflow', 'ann'],
    is_backfillable: false,
  });
});

test('filters and orders of the list', async () => {
  assert.deepEqual(await ids('tags=smoke'), ['alpha']);
  assert.deepEqual((await ids('tags=smoke&tags=all')).sort(), ['alpha', 'beta_1']);
  assert.deepEqual(await ids('tags=smoke&tags=all&tags_match_mode=all'), ['alpha']);
  assert.deepEqual(await ids('owners=BO'), ['beta_1']);
  assert.deepEqual(await ids('owners=%25'), []); // wildcards are literal here
  assert.deepEqual(await ids('dag_id_pattern=_1'), ['beta_1']);
  assert.deepEqual((await ids('dag_id_pattern=gam|ALPH')).sort(), ['Gamma', 'alpha']);
  assert.deepEqual(await ids('dag_id_prefix_pattern=g'), []);
  assert.deepEqual(await ids('dag_id_prefix_pattern=beta_'), ['beta_1']);
  assert.deepEqual(await ids('dag_display_name_pattern=third'), ['Gamma']);
  assert.deepEqual(await ids('paused=true'), ['beta_1']);
  assert.deepEqual(await ids('timetable_type=CronTriggerTimetable'), ['beta_1']);
  assert.deepEqual(await ids('is_favorite=true'), []);
  assert.deepEqual(await ids('order_by=-dag_display_name&limit=1'), ['beta_1']);
  const page = (await viewer('GET', '/dags?limit=1&offset=1&order_by=dag_id')).body;
  assert.deepEqual([page.dags.length, page.total_entries], [1, 3]);
  assert.deepEqual((await viewer('GET', '/dags?limit=0')).body, { dags: [], total_entries: 3 });
});

test('filters and orders by the newest run', async () => {
  const start = async (dag: string, runId: string) =>
    assert.equal(
      (await kit.as.user('POST', `/dags/${dag}/dagRuns`, { logical_date: null, dag_run_id: runId })).status,
      200,
    );
  await start('alpha', 'n1');
  await start('Gamma', 'n1');
  await kit.as.user('PATCH', '/dags/Gamma/dagRuns/n1', { state: 'failed' });
  assert.deepEqual(await ids('last_dag_run_state=failed'), ['Gamma']);
  assert.deepEqual(await ids('dag_run_state=queued&dag_run_state=running'), ['alpha']);
  assert.deepEqual((await ids('order_by=last_run_state')).slice(0, 2), ['Gamma', 'alpha']);
  assert.equal((await viewer('GET', '/dags?dag_run_state=sleepy')).status, 422);
  assert.equal((await viewer('GET', '/dags?order_by=state')).status, 400);
  const eleven = Array.from({ length: 11 }, () => 'order_by=dag_id').join('&');
  assert.match((await viewer('GET', `/dags?${eleven}`)).body.detail, /more than 10 parameters/);
});

test('details add the definition', async () => {
  const { body } = await viewer('GET', '/dags/alpha/details');
  assert.equal(body.doc_md, '\n# Alpha\n  code');
  assert.deepEqual(
    [body.start_date, body.end_date, body.timezone, body.catchup],
    ['2024-01-01T00:00:00Z', null, 'UTC', false],
  );
  assert.deepEqual(body.params, {
    count: { value: 3, schema: { type: 'integer' }, description: 'how many', source: null },
  });
  assert.deepEqual([body.default_args, body.dag_run_timeout, body.concurrency], [{ owner: 'ann' }, 'P1DT1H', 16]);
  assert.equal(body.latest_dag_version.version_number, 1);
  assert.equal((await viewer('GET', '/dags/absent/details')).status, 404);
});

test('tasks show resolved values, durations in parts, and can be ordered', async () => {
  const { body } = await viewer('GET', '/dags/alpha/tasks?order_by=-task_id');
  assert.deepEqual(
    body.tasks.map((task: { task_id: string }) => task.task_id),
    ['load', 'fan'],
  );
  const [load, fan] = body.tasks;
  assert.deepEqual(load.retry_delay, { __type: 'TimeDelta', days: 0, seconds: 90, microseconds: 0 });
  assert.deepEqual(load.execution_timeout, { __type: 'TimeDelta', days: 1, seconds: 1, microseconds: 500_000 });
  assert.deepEqual([load.retries, load.owner, load.downstream_task_ids, load.is_mapped], [2, 'ann', ['fan'], false]);
  assert.deepEqual(load.class_ref, { module_path: 'airlock.sdk', class_name: 'TypeScriptOperator' });
  assert.equal(fan.is_mapped, true);
  assert.equal(load.params.count.source, 'dag');
  assert.deepEqual((await viewer('GET', '/dags/alpha/tasks/absent')).body, {
    detail: 'Task with id absent was not found',
  });
  assert.equal((await viewer('GET', '/dags/alpha/tasks?order_by=nonsense')).status, 400);
  assert.equal((await viewer('GET', '/dags/absent/tasks')).status, 404);
});

test('a changed file makes a version, source follows the version, and ~ lists all', async () => {
  const changed = dagDocument('Gamma', [{ id: 'x' }, { id: 'y' }], { dag_display_name: 'The third' });
  await kit.as.user('POST', '/dags/Gamma/dagRuns', { logical_date: null, dag_run_id: 'keeps-version-1' });
  await ingest(kit.database.db, 'two.ts', [changed], NOW, {
    source: '// changed',
    module: { hash: createHash('sha256').update('1').digest('hex'), code: '1' },
  });
  const versions = (await viewer('GET', '/dags/Gamma/dagVersions?order_by=-version_number')).body;
  assert.deepEqual(
    versions.dag_versions.map((each: { version_number: number }) => each.version_number),
    [2, 1],
  );
  assert.equal((await viewer('GET', '/dags/Gamma/dagVersions/1')).body.id, versions.dag_versions[1].id);
  assert.equal((await viewer('GET', '/dags/~/dagVersions')).body.total_entries, 4);
  assert.equal((await viewer('GET', '/dags/Gamma/dagVersions/99')).status, 404);
  assert.equal((await viewer('GET', '/dags/absent/dagVersions')).status, 404);
  assert.equal((await viewer('GET', '/dagSources/Gamma')).body.content, '// changed');
  assert.equal((await viewer('GET', '/dagSources/Gamma?version_number=1')).body.content, '// two.ts');
  const text = await viewer('GET', '/dagSources/Gamma', undefined, { accept: 'text/plain' });
  assert.deepEqual([text.text, text.headers.get('content-type')], ['// changed', 'text/plain; charset=utf-8']);
  assert.equal((await viewer('GET', '/dagSources/Gamma', undefined, { accept: 'text/html' })).status, 406);
  assert.equal((await viewer('GET', '/dagSources/Gamma?version_number=9')).status, 404);
});

test('pausing one, and many by pattern', async () => {
  const user = kit.as.user;
  assert.equal((await user('PATCH', '/dags/alpha', { is_paused: true })).body.is_paused, true);
  assert.equal((await viewer('GET', '/dags/alpha')).body.is_paused, true);
  assert.match((await user('PATCH', '/dags/alpha?update_mask=tags', { is_paused: true })).body.detail, /is_paused/);
  assert.deepEqual((await user('PATCH', '/dags/absent', { is_paused: true })).body, {
    detail: 'Dag with id: absent was not found',
  });
  assert.deepEqual((await user('PATCH', '/dags', { is_paused: false })).body, { dags: [], total_entries: 0 });
  const many = (await user('PATCH', '/dags?dag_id_pattern=a&limit=1', { is_paused: false })).body;
  assert.deepEqual([many.dags.length, many.total_entries, many.dags[0].is_paused], [1, 3, false]);
  assert.deepEqual(await ids('paused=true'), []); // also beyond the page
});

test('tags, statistics and warnings', async () => {
  assert.deepEqual((await viewer('GET', '/dagTags?order_by=-name')).body, { tags: ['smoke', 'all'], total_entries: 2 });
  assert.deepEqual((await viewer('GET', '/dagTags?tag_name_pattern=SMO')).body.tags, ['smoke']);
  const stats = (await viewer('GET', '/dagStats?dag_ids=Gamma')).body;
  assert.deepEqual(
    stats.dags[0].stats.map((each: { state: string }) => each.state),
    ['queued', 'running', 'success', 'failed'],
  );
  assert.equal(stats.dags[0].stats[3].count, 1);
  assert.deepEqual((await viewer('GET', '/dagWarnings')).body, { dag_warnings: [], total_entries: 0 });
});

test('what a parse says of its own Dags is a warning until another parse says otherwise, and nothing of other Dags is', async () => {
  const { db } = kit.database;
  const listed = async () =>
    (await viewer('GET', '/dagWarnings')).body.dag_warnings.map((each: Record<string, string>) => [
      each.dag_id,
      each.warning_type,
      each.message,
    ]);
  const warning = (dagId: string, message: string) => ({
    dag_id: dagId,
    warning_type: 'runtime varying value' as const,
    message,
  });
  const report = (...about: ReturnType<typeof warning>[]) =>
    ingest(db, 'warned.py', [dagDocument('warned', [{ id: 't' }])], NOW, { dag_warnings: about });
  await report(warning('warned', 'its start\0 varies'), warning('Gamma', 'is not its own'));
  assert.deepEqual(await listed(), [['warned', 'runtime varying value', 'its start\uFFFD varies']]);
  await report(warning('warned', 'first'), warning('warned', 'last'));
  assert.deepEqual(await listed(), [['warned', 'runtime varying value', 'last']]);
  await report();
  assert.deepEqual(await listed(), []);
  await db.query(sql`DELETE FROM dag WHERE dag_id = 'warned'`);
});

test('import errors are listed and shown', async () => {
  await ingest(kit.database.db, 'bad.ts', [], NOW, { import_error: 'bad.ts:1:7 Unexpected "x"', module: null });
  const { body } = await viewer('GET', '/importErrors?filename_pattern=bad');
  assert.equal(body.total_entries, 1);
  assert.deepEqual(
    (await viewer('GET', `/importErrors/${body.import_errors[0].import_error_id}`)).body,
    body.import_errors[0],
  );
  assert.match(body.import_errors[0].stack_trace, /bad\.ts:1:7/);
});
