/** Partitions of runs over the API: given, read from the schedule, filtered by day and by the asset that was consumed. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Caller, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let op: Caller;
const timetable = (path: string, fields: object = {}) => ({
  timetable: { __type: `airflow.timetables.${path}`, __var: fields },
});

before(async () => {
  kit = await restKit();
  op = kit.as.op;
  await withBundle(kit.database.db);
  const cron = { expression: '0 * * * *', timezone: 'Asia/Taipei', run_offset: 0, key_format: '%Y-%m-%dT%H' };
  await ingest(
    kit.database.db,
    'a.ts',
    [
      dagDocument('hourly', [{ id: 't' }], timetable('trigger.CronPartitionTimetable', cron)),
      dagDocument('runtime', [{ id: 't' }], timetable('simple.PartitionedAtRuntime')),
      dagDocument('plain', [{ id: 't' }]),
    ],
    new Date().toISOString(),
  );
});
after(() => kit[Symbol.asyncDispose]());

const trigger = (dagId: string, partition_key: string | null) =>
  op('POST', `/dags/${dagId}/dagRuns`, { logical_date: null, partition_key });
const keys = async (dagId: string, query: string): Promise<string[]> => {
  const { status, body, text } = await op('GET', `/dags/${dagId}/dagRuns?${query}&order_by=partition_date`);
  assert.equal(status, 200, text);
  return body.dag_runs.map((run: { partition_key: string }) => run.partition_key);
};

test('a run is filtered by the day of its partition, in the zone of the schedule, both days included', async () => {
  // Midnight in Taipei is 16:00 UTC of the day before.
  for (const key of ['2026-05-31T23', '2026-06-01T00', '2026-06-01T23', '2026-06-02T00']) {
    const { status, body } = await trigger('hourly', key);
    assert.deepEqual([status, body.partition_key], [200, key]);
  }
  const { body } = await op('GET', '/dags/hourly/dagRuns?order_by=partition_date');
  assert.equal(body.dag_runs[1].partition_date, '2026-05-31T16:00:00Z');
  assert.match(body.dag_runs[1].dag_run_id, /^manual__.*__2026-06-01T00__[0-9a-f]{8}$/);
  const day = ['2026-06-01T00', '2026-06-01T23'];
  assert.deepEqual(await keys('hourly', 'partition_date_gte=2026-06-01&partition_date_lte=2026-06-01'), day);
  assert.deepEqual(await keys('hourly', 'partition_date_gte=2026-06-01'), [...day, '2026-06-02T00']);
  assert.deepEqual(await keys('hourly', 'partition_date_lte=2026-06-01'), ['2026-05-31T23', ...day]);
  assert.deepEqual(await keys('hourly', 'partition_date_gte=2026-06-03'), []);
});

for (const [dagId, query, status] of [
  ['~', 'partition_date_gte=2026-06-01', 400],
  ['plain', 'partition_date_lte=2026-06-01', 400],
  ['runtime', 'partition_date_lte=2026-06-01', 400],
  ['nowhere', 'partition_date_lte=2026-06-01', 404],
  ['hourly', 'partition_date_lte=2026-02-30', 422],
  ['hourly', 'partition_date_lte=monday', 422],
  ['hourly', 'partition_date_lte=', 422],
  ['hourly', 'partition_date_lte=2026-06-01', 200],
] as const) {
  test(`runs of ${dagId} by ${query} answer ${status}`, async () => {
    assert.equal((await op('GET', `/dags/${dagId}/dagRuns?${query}`)).status, status);
  });
}

test('a key that the schedule cannot read, or of a Dag without partitions, is refused; at run time any is taken', async () => {
  const refused = await trigger('hourly', 'yesterday');
  assert.deepEqual([refused.status, /invalid for this timetable/.test(refused.text)], [400, true]);
  assert.equal((await trigger('plain', 'eu')).status, 400);
  const taken = await trigger('runtime', 'yesterday');
  assert.deepEqual([taken.status, taken.body.partition_key, taken.body.partition_date], [200, 'yesterday', null]);
});

test('a dry run of a backfill lists partitions with their dates', async () => {
  const { status, body, text } = await op('POST', '/backfills/dry_run', {
    dag_id: 'hourly',
    from_date: '2026-06-05T00:00:00Z',
    to_date: '2026-06-05T01:00:00Z',
  });
  assert.equal(status, 200, text);
  assert.deepEqual(body.backfills, [
    { logical_date: null, partition_key: '2026-06-05T00', partition_date: '2026-06-04T16:00:00Z' },
    { logical_date: null, partition_key: '2026-06-05T01', partition_date: '2026-06-04T17:00:00Z' },
  ]);
});

test('a Dag says whether its schedule has partitions', async () => {
  for (const [dagId, expected] of [
    ['hourly', true],
    ['runtime', false],
    ['plain', false],
  ] as const) {
    assert.equal((await op('GET', `/dags/${dagId}`)).body.timetable_partitioned, expected, dagId);
  }
});

test('a run is found by a part of the name or uri of an asset that it has consumed', async () => {
  const { db } = kit.database;
  const now = new Date().toISOString();
  await trigger('plain', null);
  await db.query(sql`WITH a AS (
      INSERT INTO asset (name, uri, asset_group, created_at, updated_at) VALUES ('Orders_1', 's3://shop/o', 'g', ${now}, ${now}) RETURNING id
    ), e AS (INSERT INTO asset_event (asset_id, at) SELECT id, ${now}::timestamptz FROM a RETURNING id)
    INSERT INTO dag_run_asset_event (dag_run_id, event_id) SELECT r.id, e.id FROM e, dag_run r WHERE r.dag_id = 'plain'`);
  const count = async (term: string) =>
    (await op('GET', `/dags/~/dagRuns?consuming_asset_pattern=${encodeURIComponent(term)}`)).body.total_entries;
  assert.deepEqual([await count('orders'), await count('SHOP/o'), await count('s_1')], [1, 1, 1]);
  // Wildcards are letters here, and so is the bar that means "or" elsewhere.
  assert.deepEqual([await count('ord%'), await count('orders|shop'), await count('other')], [0, 0, 0]);
});
