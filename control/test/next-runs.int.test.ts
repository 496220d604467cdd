/** The preview of a schedule: what it says is what the scheduler then does, and asking has bounds. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { sql } from '@airlock/store';
import { loadModel } from '../src/runs/models.ts';
import { upcomingRuns } from '../src/runs/next-run.ts';
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
