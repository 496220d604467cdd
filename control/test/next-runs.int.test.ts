/** The preview of a schedule: what it says is what the scheduler then does, and asking has bounds. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { type Sql, sql } from '@airlock/store';
import { findScheduleFacts } from '@airlock/store/queries/schedule/no-run';
import { loadModel } from '../src/runs/models.ts';
import { upcomingRuns } from '../src/runs/next-run.ts';
import { noRunCause } from '../src/scheduler/no-run-cause.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { makeWorld } from './kit/world.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const cron = (expression: string, timezone: string, kind = 'trigger.CronTriggerTimetable') => ({
  __type: `airflow.timetables.${kind}`,
  __var: {
    expression,
    timezone,
    ...(kind.startsWith('trigger') ? { interval: 0, run_immediately: false } : {}),
  },
});
const SCHEDULES = {
  'every hour': { timetable: cron('0 * * * *', 'UTC'), start_date: 1767225600 },
  'days that it missed': { timetable: cron('0 6 * * *', 'UTC'), start_date: 1780704000, catchup: true },
  'half past two through the autumn shift': {
    timetable: cron('30 2 * * *', 'Europe/Zurich'),
    start_date: 1792800000,
    catchup: true,
  },
  'data intervals': {
    timetable: cron('0 0 * * *', 'America/New_York', 'interval.CronDataIntervalTimetable'),
    start_date: 1780704000,
    catchup: true,
  },
};

for (const [name, schedule] of Object.entries(SCHEDULES)) {
  test(`the preview of ${name} is what the scheduler does`, async () => {
    await using world = await makeWorld();
    await world.dag('d', [{ id: 'a', _is_empty: true }], { max_active_runs: 100, ...schedule });
    const [dag] = await world.db.query<{ current_version_id: string }>(sql`SELECT current_version_id FROM dag`);
    const model = await loadModel(world.db, dag!.current_version_id);
    const preview = await upcomingRuns(world.db, model, world.clock.nowMs(), 8);
    assert.equal(preview.length, 8);
    for (const { runAfterMs } of preview) {
      world.clock.advance(Math.max(0, (runAfterMs - world.clock.nowMs()) / 1000));
      await world.settle();
    }
    const rows = await world.db.query<Record<'run_after' | 'data_interval_start' | 'data_interval_end', string>>(
      sql`SELECT run_after, data_interval_start, data_interval_end FROM dag_run WHERE dag_id = 'd' ORDER BY run_after LIMIT 8`,
    );
    assert.deepEqual(
      preview.map((run) => [run.runAfterMs, run.interval?.startMs, run.interval?.endMs]),
      rows.map((row) => [row.run_after, row.data_interval_start, row.data_interval_end].map((at) => Date.parse(at))),
    );
  });
}

describe('GET /dags/{dag_id}/nextRuns', () => {
  let kit: RestKit;
  before(async () => {
    kit = await restKit();
    await withBundle(kit.database.db);
    const dags = [
      dagDocument('daily', [{ id: 'a' }], { timetable: cron('0 6 * * *', 'UTC'), start_date: 1767225600 }),
      dagDocument('by_hand', [{ id: 'a' }]),
      dagDocument('listens', [{ id: 'a' }], {
        timetable: {
          __type: 'airflow.timetables.simple.AssetTriggeredTimetable',
          __var: {
            asset_condition: {
              __type: 'asset_all',
              objects: ['x', 'y'].map((name) => ({
                __type: 'asset',
                name,
                uri: `s3://${name}`,
                group: 'asset',
                extra: {},
              })),
            },
          },
        },
      }),
      dagDocument('never', [{ id: 'a' }], { timetable: cron('0 0 31 2 *', 'UTC'), start_date: 1767225600 }),
    ];
    await ingest(kit.database.db, 'd.ts', dags, new Date().toISOString());
  });
  after(() => kit[Symbol.asyncDispose]());

  test('a viewer sees so many as he asks for, at most 1000', async () => {
    const few = await kit.as.viewer('GET', '/dags/daily/nextRuns?count=3');
    assert.deepEqual([few.status, few.body.next_runs.length, few.body.total_entries], [200, 3, 3]);
    assert.match(few.body.next_runs[2].run_after, /T06:00:00Z$/);
    assert.equal((await kit.as.viewer('GET', '/dags/daily/nextRuns')).body.next_runs.length, 10);
    assert.equal((await kit.as.viewer('GET', '/dags/daily/nextRuns?count=1000')).body.next_runs.length, 1000);
  });

  test('what keeps a Dag from making runs is named, one thing at a time, and nothing where nothing does', async () => {
    const run = (statement: Sql) => kit.database.db.query(statement);
    const causeOf = async (dag: string) => (await kit.as.viewer('GET', `/dags/${dag}/nextRuns?count=1`)).body.cause;
    const now = new Date().toISOString();
    assert.equal(await causeOf('daily'), 'No scheduler is alive.');
    await run(sql`INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
      VALUES ('SchedulerJob', ${randomUUID()}::uuid, 'running', 'h', 'u', ${now}, ${now})`);
    assert.equal(await causeOf('daily'), null);
    assert.match(await causeOf('listens'), /^No event has come since its last run of: x, y\.$/);
    await run(
      sql`INSERT INTO asset_queued (dag_id, asset_id, created_at) SELECT 'listens', id, ${now} FROM asset WHERE name = 'x'`,
    );
    assert.match(await causeOf('listens'), /: y\.$/);
    await run(
      sql`INSERT INTO asset_queued (dag_id, asset_id, created_at) SELECT 'listens', id, ${now} FROM asset WHERE name = 'y'`,
    );
    assert.equal(await causeOf('listens'), null);
    const cases: ReadonlyArray<readonly [RegExp, Sql, Sql]> = [
      [/no longer in any file/, sql`UPDATE dag SET is_stale = true`, sql`UPDATE dag SET is_stale = false`],
      [/^The Dag is paused, and/, sql`UPDATE dag SET is_paused = true`, sql`UPDATE dag SET is_paused = false`],
      [/can not be read/, sql`UPDATE dag SET has_import_errors = true`, sql`UPDATE dag SET has_import_errors = false`],
    ];
    for (const [words, harm, mend] of cases) {
      await run(harm);
      assert.match(await causeOf('daily'), words);
      assert.match(await causeOf('listens'), words);
      assert.equal(await causeOf('by_hand'), null, 'it has no schedule');
      await run(mend);
      assert.equal(await causeOf('daily'), null);
    }
    for (const id of ['r1', 'r2'])
      await kit.as.admin('POST', '/dags/daily/dagRuns', { dag_run_id: id, logical_date: null });
    await run(sql`UPDATE dag SET max_active_runs = 2, max_consecutive_failed_dag_runs = 2 WHERE dag_id = 'daily'`);
    assert.match(await causeOf('daily'), /^2 of at most 2 runs are queued or running/);
    await run(sql`UPDATE dag_run SET state = 'failed'`);
    assert.equal(await causeOf('daily'), null);
    await run(sql`UPDATE dag SET is_paused = true`);
    assert.match(await causeOf('daily'), /^The Dag is paused, as it is when its last 2 runs have failed, and/);
    await run(sql`UPDATE dag SET is_paused = false`);
    const facts = (await findScheduleFacts(kit.database.db, { dagId: 'daily', aliveSinceIso: now }))!;
    assert.match(noRunCause(facts, false, false) ?? '', /use_job_schedule is off/);
    assert.equal(noRunCause(facts, true, false), null);
    assert.equal(await findScheduleFacts(kit.database.db, { dagId: 'ghost', aliveSinceIso: now }), null);
  });

  test('a Dag without a schedule, and one whose day never comes, have none', async () => {
    for (const dag of ['by_hand', 'never'])
      assert.deepEqual((await kit.as.viewer('GET', `/dags/${dag}/nextRuns`)).body.next_runs, []);
  });

  for (const [why, count] of [
    ['none', '0'],
    ['too many', '1001'],
    ['no number', 'x'],
    ['a fraction', '1.5'],
  ]) {
    test(`${why} is refused`, async () => {
      assert.equal((await kit.as.viewer('GET', `/dags/daily/nextRuns?count=${count}`)).status, 422);
    });
  }

  test('an unknown Dag is 404, nobody is 401', async () => {
    assert.equal((await kit.as.viewer('GET', '/dags/ghost/nextRuns')).status, 404);
    assert.equal((await kit.anonymous('GET', '/dags/daily/nextRuns')).status, 401);
  });
});
