/** Backfills: what they make, in which order, how many at once, and what is refused. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { sql } from '@airlock/store';
import { createBackfill } from '../src/runs/index.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { makeWorld, type World } from './kit/world.ts';
import { type Answer, type RestKit, restKit } from './rest-kit.ts';

const daily = {
  timetable: {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 0 * * *', timezone: 'UTC', interval: 0, run_immediately: false },
  },
  start_date: 1704067200,
};
const RANGE = { from_date: '2024-01-01T00:00:00Z', to_date: '2024-01-03T00:00:00Z' };

describe('by REST', () => {
  let kit: RestKit;
  before(async () => {
    kit = await restKit();
    const { db } = kit.database;
    await withBundle(db);
    await ingest(
      db,
      'd.ts',
      [
        dagDocument('days', [{ id: 'a' }], { ...daily, is_paused_upon_creation: true }),
        dagDocument('past', [{ id: 'a', depends_on_past: true }], { ...daily, is_paused_upon_creation: true }),
        dagDocument('by_hand', [{ id: 'a' }]),
        dagDocument('manual_only', [{ id: 'a' }], { ...daily, allowed_run_types: ['manual'] }),
      ],
      new Date().toISOString(),
    );
  });
  after(() => kit[Symbol.asyncDispose]());
  const post = (over: object = {}): Promise<Answer> =>
    kit.as.user('POST', '/backfills', { dag_id: 'days', ...RANGE, ...over });
  const runs = async (): Promise<Array<{ dag_run_id: string; state: string; conf: unknown; run_type: string }>> =>
    (await kit.as.viewer('GET', '/dags/days/dagRuns?order_by=logical_date')).body.dag_runs;
  const IDS = [1, 2, 3].map((day) => `backfill__2024-01-0${day}T00:00:00+00:00`);

  beforeEach(async () => {
    await kit.database.db.query(sql`DELETE FROM backfill`);
    await kit.database.db.query(sql`DELETE FROM dag_run`);
  });

  test('one makes the runs of its range, queued, and there is one at a time', async () => {
    const made = await post({ dag_run_conf: { why: 'test' }, max_active_runs: 2 });
    assert.equal(made.status, 200, made.text);
    assert.deepEqual(
      [made.body.completed_at, made.body.is_paused, made.body.dag_run_conf, made.body.max_active_runs],
      [null, false, { why: 'test' }, 2],
    );
    assert.deepEqual(
      (await runs()).map((run) => run.dag_run_id),
      IDS,
    );
    assert.ok((await runs()).every((run) => run.state === 'queued' && run.run_type === 'backfill'));
    const again = await post();
    assert.deepEqual([again.status, again.body.detail], [409, 'There is already a running backfill for dag days']);
    assert.equal((await kit.as.viewer('GET', `/backfills/${made.body.id}`)).body.dag_id, 'days');
    const listed = await kit.as.viewer('GET', '/backfills?dag_id=days');
    assert.deepEqual([listed.body.total_entries, listed.body.backfills[0].id], [1, made.body.id]);
  });

  test('a null conf stays null, and the list of a Dag without any is empty', async () => {
    assert.equal((await post()).body.dag_run_conf, null);
    assert.equal((await kit.as.viewer('GET', '/backfills?dag_id=by_hand')).body.total_entries, 0);
  });

  test('pause and unpause may be repeated; cancel fails what waits, and nothing moves after it', async () => {
    const { id } = (await post()).body;
    const put = (verb: string) => kit.as.user('PUT', `/backfills/${id}/${verb}`);
    for (const [verb, paused] of [
      ['pause', true],
      ['pause', true],
      ['unpause', false],
      ['unpause', false],
    ] as const)
      assert.equal((await put(verb)).body.is_paused, paused);
    assert.ok((await put('cancel')).body.completed_at);
    assert.ok((await runs()).every((run) => run.state === 'failed'));
    for (const verb of ['pause', 'unpause', 'cancel'])
      assert.deepEqual((await put(verb)).body.detail, 'Backfill is already completed.');
  });

  test('a dry run says what would be made, makes nothing, and is not held up by a running one', async () => {
    const dry = (over: object) => kit.as.user('POST', '/backfills/dry_run', { dag_id: 'days', ...RANGE, ...over });
    const dates = (answer: Answer) =>
      answer.body.backfills.map((point: { logical_date: string }) => point.logical_date);
    assert.deepEqual(
      dates(await dry({})),
      [1, 2, 3].map((day) => `2024-01-0${day}T00:00:00Z`),
    );
    assert.deepEqual(
      dates(await dry({ run_backwards: true })),
      [3, 2, 1].map((day) => `2024-01-0${day}T00:00:00Z`),
    );
    assert.deepEqual(await runs(), []);
    await post();
    assert.equal((await dry({})).body.total_entries, 0, 'all of it is in flight');
  });

  test('which finished runs are made again is the behaviour’s to say', async () => {
    const { db } = kit.database;
    await post();
    await db.query(
      sql`UPDATE dag_run SET state = CASE WHEN run_id = ${IDS[0]} THEN 'success' WHEN run_id = ${IDS[1]} THEN 'failed' ELSE 'running' END`,
    );
    const again = async (reprocess_behavior: string) => {
      await db.query(sql`DELETE FROM backfill`);
      return (
        await kit.as.user('POST', '/backfills/dry_run', { dag_id: 'days', ...RANGE, reprocess_behavior })
      ).body.backfills.map((point: { logical_date: string }) => point.logical_date.slice(8, 10));
    };
    assert.deepEqual(await again('none'), []);
    assert.deepEqual(await again('failed'), ['02']);
    assert.deepEqual(await again('completed'), ['01', '02']);
    assert.equal((await post({ reprocess_behavior: 'completed', dag_run_conf: { n: 2 } })).status, 200);
    assert.deepEqual(
      (await runs()).map((run) => [run.state, run.conf]),
      [
        ['queued', { n: 2 }],
        ['queued', { n: 2 }],
        ['running', {}],
      ],
    );
    const reasons = await db.query(sql`SELECT exception_reason FROM backfill_dag_run ORDER BY sort_ordinal`);
    assert.deepEqual(
      reasons.map((row) => (row as { exception_reason: string }).exception_reason),
      [null, null, 'in flight'],
    );
  });

  for (const [why, over, status, detail] of [
    ['an unknown Dag', { dag_id: 'ghost' }, 404, /Could not find dag ghost/],
    ['a Dag without a schedule', { dag_id: 'by_hand' }, 422, /non-periodic schedule/],
    ['a Dag that allows no backfill', { dag_id: 'manual_only' }, 400, /does not allow backfill runs/],
    ['an end before the start', { from_date: RANGE.to_date, to_date: RANGE.from_date }, 422, /must not be after/],
    ['the future', { from_date: '2999-01-01T00:00:00Z', to_date: '2999-01-02T00:00:00Z' }, 422, /future dates/],
    [
      'a range without a run',
      { from_date: '2024-01-01T01:00:00Z', to_date: '2024-01-01T02:00:00Z' },
      422,
      /No runs to create/,
    ],
    ['backwards against the past', { dag_id: 'past', run_backwards: true }, 422, /in reverse/],
    ['a past without a behaviour', { dag_id: 'past' }, 422, /reprocess behavior/],
    ['an unknown behaviour', { reprocess_behavior: 'all' }, 422, /./],
    ['no run at a time', { max_active_runs: 0 }, 422, /./],
    ['an instant without a zone', { from_date: '2024-01-01' }, 422, /./],
    ['an unknown field', { speed: 9 }, 422, /./],
  ] as const) {
    test(`${why} is refused, and nothing is left behind`, async () => {
      const answer = await post(over);
      assert.equal(answer.status, status, answer.text);
      assert.match(JSON.stringify(answer.body.detail), detail);
      const [left] = await kit.database.db.query<{ n: number }>(
        sql`SELECT (SELECT count(*) FROM backfill) + (SELECT count(*) FROM dag_run) AS n`,
      );
      assert.equal(Number(left!.n), 0);
    });
  }

  test('a viewer may look and not touch; an unknown id is 404', async () => {
    assert.equal((await kit.as.viewer('POST', '/backfills', { dag_id: 'days', ...RANGE })).status, 403);
    const { id } = (await post()).body;
    assert.equal((await kit.as.viewer('GET', `/backfills/${id}`)).status, 200);
    assert.equal((await kit.as.viewer('PUT', `/backfills/${id}/cancel`)).status, 403);
    for (const path of ['/backfills/999999', '/backfills/0'])
      assert.deepEqual((await kit.as.viewer('GET', path)).body.detail, 'Backfill not found');
    assert.equal((await kit.as.viewer('GET', '/backfills/x')).status, 422);
    assert.equal((await kit.as.viewer('GET', '/backfills')).status, 422);
  });
});

describe('by the scheduler', () => {
  const start = (world: World, over: object = {}) =>
    world.db.transaction((tx) =>
      createBackfill(tx, {
        dagId: 'd',
        fromDate: '2026-06-01T00:00:00Z',
        toDate: '2026-06-05T00:00:00Z',
        backwards: false,
        conf: null,
        reprocess: 'none',
        maxActiveRuns: 2,
        runOnLatestVersion: null,
        rerunWithLatestVersion: null,
        user: 'test',
        nowIso: world.clock.iso(),
        ...over,
      }),
    );
  const states = async (world: World) =>
    (
      await world.db.query<{ day: string; state: string }>(
        sql`SELECT to_char(logical_date AT TIME ZONE 'UTC', 'DD') AS day, state FROM dag_run WHERE backfill_id IS NOT NULL ORDER BY logical_date`,
      )
    ).map((row) => `${row.day} ${row.state}`);
  const dag = (world: World, task: object = {}) =>
    world.dag('d', [{ id: 'a', ...task }], { ...daily, start_date: 1788220800, max_active_runs: 1 });

  test('as many run at once as it says, beside the Dag’s own, in order, and then it is complete', async () => {
    await using world = await makeWorld();
    await dag(world);
    const own = await world.trigger('d');
    await start(world);
    await world.settle();
    assert.equal((await world.run(own)).state, 'running', 'the Dag’s one place is not the backfill’s');
    assert.deepEqual(await states(world), ['01 running', '02 running', '03 queued', '04 queued', '05 queued']);
    await world.work();
    await world.settle();
    assert.deepEqual(new Set((await states(world)).map((text) => text.slice(3))), new Set(['success']));
    const complete = () => world.db.query(sql`SELECT id FROM backfill WHERE completed_at IS NOT NULL`);
    assert.equal((await complete()).length, 0);
    await world.core.sweep({
      availableSinceMs: world.clock.nowMs(),
      heartbeatTimeoutMs: 1e9,
      queueTimeoutMs: 1e9,
      supervisorTimeoutMs: 1e9,
      maxRetryDelaySeconds: 1,
    });
    assert.equal((await complete()).length, 1);
  });

  test('what is made again runs on the newest version, unless request, Dag or configuration say otherwise', async () => {
    await using world = await makeWorld();
    const store = (rerun: object, retries: number) =>
      world.dag('d', [{ id: 'a', retries }], { ...daily, ...rerun, start_date: 1788220800, max_active_runs: 1 });
    const one = { toDate: '2026-06-01T00:00:00Z', reprocess: 'completed' };
    for (const [dag, over, onNewest] of [
      [{}, {}, true],
      [{}, { rerunWithLatestVersion: false }, false],
      [{ rerun_with_latest_version: true }, { rerunWithLatestVersion: false }, true],
      [{ rerun_with_latest_version: false }, { rerunWithLatestVersion: true }, false],
      [{ rerun_with_latest_version: false }, { runOnLatestVersion: true }, true],
      [{ rerun_with_latest_version: true }, { runOnLatestVersion: false }, false],
    ] as const) {
      await world.db.query(sql`DELETE FROM backfill`);
      await world.db.query(sql`DELETE FROM dag_run`);
      await store(dag, 1);
      await start(world, one);
      // As a bundle with versions pins its runs.
      await world.db.query(sql`UPDATE dag_run r SET state = 'success', created_version_id = d.current_version_id FROM dag d
        WHERE d.dag_id = r.dag_id`);
      await world.db.query(sql`UPDATE backfill SET completed_at = created_at`);
      await store(dag, 2);
      await start(world, { ...one, ...over });
      await world.settle();
      const [run] = await world.db.query<{ newest: boolean }>(sql`SELECT d.current_version_id = (SELECT t.dag_version_id
        FROM task_instance t WHERE t.dag_run_id = r.id LIMIT 1) AS newest FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id`);
      assert.equal(run?.newest, onNewest, JSON.stringify([dag, over]));
    }
  });

  test('backwards begins with the newest; a paused one begins nothing', async () => {
    await using world = await makeWorld();
    await dag(world);
    const id = await start(world, { backwards: true, maxActiveRuns: 1 });
    await world.db.query(sql`UPDATE backfill SET is_paused = true WHERE id = ${id}`);
    await world.settle();
    assert.ok((await states(world)).every((text) => text.endsWith('queued')));
    await world.db.query(sql`UPDATE backfill SET is_paused = false WHERE id = ${id}`);
    await world.settle();
    assert.deepEqual(
      (await states(world)).filter((text) => text.endsWith('running')),
      ['05 running'],
    );
  });

  test('its first run has no past to wait for, the others have', async () => {
    await using world = await makeWorld();
    await dag(world, { depends_on_past: true });
    const before = await world.trigger('d', { logicalDate: '2026-05-31T00:00:00Z' });
    await world.settle();
    await start(world, { reprocess: 'failed', maxActiveRuns: 5 });
    await world.settle();
    assert.deepEqual((await world.take()).length, 2, 'the run before, and the first of the backfill');
    assert.equal((await world.run(before)).state, 'running');
  });

  test('two that ask at once for one Dag: one gets it', async () => {
    await using world = await makeWorld();
    await dag(world);
    const answers = await Promise.allSettled([start(world), start(world), start(world)]);
    assert.equal(answers.filter((answer) => answer.status === 'fulfilled').length, 1);
    for (const answer of answers)
      if (answer.status === 'rejected') assert.equal((answer.reason as { code: string }).code, 'CONFLICT');
    assert.equal((await states(world)).length, 5);
  });
});
