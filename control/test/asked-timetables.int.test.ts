/**
 * Timetables of the authors' own: the scheduler goes by stored answers alone, and what is answered wrongly, late or by a
 * stranger schedules nothing. The dag-processor is played here; supervisor/test/python-timetables has the real one.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { sql } from '@airlock/store';
import { askOnce } from '@airlock/store/queries/timetable/ask';
import { whyNoNextRun } from '../src/runs/asked-timetables.ts';
import { loadModel } from '../src/runs/models.ts';
import { upcomingRuns } from '../src/runs/next-run.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { dayRun, joinProcessor, OWN, type Processor } from './kit/timetables.ts';
import { makeWorld, type World } from './kit/world.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const NOOP = [{ id: 'a', _is_empty: true }];
const START = Date.UTC(2026, 5, 1) / 1000;
type Scene = AsyncDisposable & { world: World; processor: Processor };
/** It is 2026-06-10 09:30. */
async function scene(over: Record<string, unknown> = {}): Promise<Scene> {
  const world = await makeWorld();
  await world.dag('d', NOOP, { timetable: OWN, start_date: START, max_active_runs: 100, ...over });
  const processor = await joinProcessor(world.db, world.clock);
  return { world, processor, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}
const runsOf = (world: World) =>
  world.db.query<{ run_id: string; run_type: string; day: number; length: number }>(
    sql`SELECT run_id, run_type, extract(day FROM logical_date AT TIME ZONE 'UTC')::int AS day,
      extract(epoch FROM data_interval_end - data_interval_start)::int AS length FROM dag_run ORDER BY logical_date`,
  );
const names = async (world: World) => (await runsOf(world)).map((run) => run.run_id);
const errors = (world: World) =>
  world.db.query<{ filename: string; stack_trace: string }>(sql`SELECT filename, stack_trace FROM import_error`);
const nextAt = async (world: World): Promise<string | null> =>
  (await world.db.query<{ at: string | null }>(sql`SELECT next_create_after AS at FROM dag WHERE dag_id = 'd'`))[0]!.at;

test('nothing is scheduled before there is an answer, then its run with the name that it was given', async () => {
  await using s = await scene();
  const { world, processor } = s;
  await world.settle();
  assert.deepEqual([await names(world), await nextAt(world)], [[], null]);
  assert.match(String(await whyNoNextRun(world.db, 'd')), /has not answered yet/);
  const asked = await processor.say([dayRun(9, 'mine'), dayRun(10), dayRun(11)]);
  assert.deepEqual(asked, {
    kind: 'runs',
    run_type: 'scheduled',
    until: null,
    count: 50,
    last: null,
    restriction: { earliest: '2026-06-01T00:00:00.000Z', latest: null, catchup: false },
  });
  assert.equal(await whyNoNextRun(world.db, 'd'), null);
  await world.settle();
  assert.deepEqual(await runsOf(world), [{ run_id: 'mine', run_type: 'scheduled', day: 9, length: 86_400 }]);
});

test('while nobody answers, the schedule goes on with what was looked ahead, and asks from its last run', async () => {
  await using s = await scene();
  const { world, processor } = s;
  await processor.say([dayRun(9), dayRun(10), dayRun(11)]);
  await world.settle();
  for (let day = 0; day < 4; day++) {
    world.clock.advance(86_400);
    await world.settle();
  }
  assert.deepEqual(
    await names(world),
    [10, 11, 12].map((day) => `scheduled__2026-06-${day}T00:00:00+00:00`),
  );
  assert.equal(await nextAt(world), null, 'then it has to be asked');
  const asked = await processor.say([dayRun(13)]);
  assert.deepEqual(asked.kind === 'runs' && asked.last, {
    run_after: '2026-06-12T00:00:00.000Z',
    interval: { start: '2026-06-11T00:00:00.000Z', end: '2026-06-12T00:00:00.000Z' },
  });
});

test('with catchup all that was looked ahead and is due is made without another answer', async () => {
  await using s = await scene({ catchup: true });
  await s.processor.say([1, 2, 3, 4, 5].map((day) => dayRun(day, `day-${day}`)));
  await s.world.settle();
  assert.deepEqual(await names(s.world), ['day-1', 'day-2', 'day-3', 'day-4', 'day-5']);
});

test('without catchup what was looked ahead and is overdue waits for an answer, which may choose the newest', async () => {
  await using s = await scene();
  const { world, processor } = s;
  await processor.say([dayRun(10), dayRun(11), dayRun(12)]);
  world.clock.advance(5 * 86_400);
  await world.settle();
  assert.deepEqual(
    (await runsOf(world)).map((run) => run.day),
    [10],
  );
  await processor.say([dayRun(14)]);
  await world.settle();
  assert.deepEqual(
    (await runsOf(world)).map((run) => run.day),
    [10, 14],
  );
});

test('a failure is an import error with its traceback and the cause, until there is an answer; the last run stays the last', async () => {
  await using s = await scene();
  const { world, processor } = s;
  await world.dag('other', NOOP);
  await processor.say([dayRun(9)]);
  await world.settle();
  await processor.say({ kind: 'problem', text: 'Traceback\nValueError: no such calendar' });
  const [error] = await errors(world);
  assert.equal(error!.filename, 'd.ts');
  assert.match(
    error!.stack_trace,
    /^The timetable of the Dag "d" failed\.\n\nTraceback\nValueError: no such calendar$/,
  );
  assert.match(String(await whyNoNextRun(world.db, 'd')), /no such calendar/);
  assert.equal(await nextAt(world), null);
  assert.deepEqual(await processor.claim(), [], 'not again at once');
  world.clock.advance(301);
  await processor.say([dayRun(10)]);
  assert.deepEqual(await errors(world), []);
  assert.equal(await whyNoNextRun(world.db, 'd'), null);
  world.clock.advance(86_400);
  await world.settle();
  assert.deepEqual(
    (await runsOf(world)).map((run) => run.day),
    [9, 10],
  );
});

test('an import error that is not a timetable’s is neither hidden nor removed by one', async () => {
  await using s = await scene();
  const { world, processor } = s;
  await world.db.query(sql`INSERT INTO import_error (bundle_name, filename, stack_trace, at)
    VALUES ('dags-folder', 'd.ts', 'a syntax error', ${world.clock.iso()}::timestamptz)`);
  await processor.say({ kind: 'problem', text: 'boom' });
  assert.equal((await errors(world))[0]!.stack_trace, 'a syntax error');
  world.clock.advance(301);
  await processor.say([dayRun(10)]);
  assert.equal((await errors(world))[0]!.stack_trace, 'a syntax error');
});

test('answers that do not fit schedule nothing, and say why', async () => {
  const before = dayRun(9);
  const cases: Array<[string, Parameters<Processor['say']>[0], RegExp]> = [
    ['back in time', [dayRun(8)], /does not lead forward/],
    ['the same again', [before], /does not lead forward/],
    ['a name of another kind of run', [dayRun(10, 'backfill__x')], /reserved for backfill/],
    ['a name with a path', [dayRun(10, '../x')], /must not contain/],
    ['a name with a space', [dayRun(10, 'a b')], /does not match/],
    ['another kind of answer', { kind: 'manual', interval: null, run_id: null }, /not one to what was asked/],
    ['more runs than asked', Array.from({ length: 51 }, (_, n) => dayRun(10 + n)), /more runs/],
  ];
  await using s = await scene();
  const { world, processor } = s;
  const days = async () => (await runsOf(world)).map((run) => run.day);
  await processor.say([before]);
  await world.settle();
  for (const [name, given, text] of cases) {
    await processor.say(given);
    await world.settle();
    assert.match(String(await whyNoNextRun(world.db, 'd')), text, name);
    assert.equal(await nextAt(world), null, name);
    world.clock.advance(301);
  }
  await processor.say([dayRun(10), dayRun(10), dayRun(11)]);
  world.clock.advance(86_400);
  await world.settle();
  assert.deepEqual(await days(), [9, 10], 'the control: only what looks ahead is wrong');
});

test('an answer counts once, from whom was asked, to the question that is open', async () => {
  await using s = await scene();
  const { world, processor } = s;
  const stranger = await joinProcessor(world.db, world.clock);
  const runs = { kind: 'runs' as const, runs: [dayRun(9)] };
  const [first] = await processor.claim();
  assert.equal(await stranger.answer(first!.id, runs), false, 'another dag-processor');
  assert.deepEqual(await stranger.claim(), [], 'and it is not given the question as well');
  await world.dag('d', NOOP, { timetable: { ...OWN, __var: { zone: 'Europe/Zurich' } }, start_date: START });
  assert.equal(await processor.answer(first!.id, runs), false, 'asked anew since');
  const [second] = await processor.claim();
  assert.deepEqual(second!.timetable, { ...OWN, __var: { zone: 'Europe/Zurich' } }, 'of the newest version');
  assert.equal(await processor.answer(second!.id, runs), true, 'the control');
  assert.equal(await processor.answer(second!.id, runs), false, 'twice');
  assert.equal((await nextAt(world)) !== null, true);
});

test('questions go to who has the bundle: one of each at a time, failed ones last, those of the dead again', async () => {
  await using s = await scene();
  const { world, processor } = s;
  const { db, clock } = world;
  await processor.say({ kind: 'problem', text: 'boom' });
  clock.advance(301);
  await world.dag('e', NOOP, { timetable: OWN });
  await db.query(sql`INSERT INTO dag_bundle (name, kind, path) VALUES ('more', 'local', '/more')`);
  await world.dag('f', NOOP, { timetable: OWN });
  await db.query(sql`UPDATE dag SET bundle_name = 'more' WHERE dag_id = 'f'`);
  assert.deepEqual(await processor.claim({ bundles: ['unknown'] }), []);
  const ids = (claimed: Awaited<ReturnType<Processor['claim']>>) => claimed.map((one) => one.dag_id).sort();
  const taken = await processor.claim({ bundles: ['dags-folder', 'more'] });
  assert.deepEqual(ids(taken), ['e', 'f']);
  const second = await joinProcessor(db, clock);
  assert.deepEqual(await second.claim({ bundles: ['dags-folder', 'more'] }), [], 'one of each bundle');
  await askOnce(db, { id: randomUUID(), dagId: 'e', purpose: 'manual', ask: {}, nowIso: clock.iso() });
  await askOnce(db, { id: randomUUID(), dagId: 'd', purpose: 'manual', ask: {}, nowIso: clock.iso() });
  const both = { bundles: ['dags-folder', 'more'] };
  assert.equal((await second.claim(both)).length, 1, 'but one that a caller waits for, beside it');
  assert.deepEqual(await second.claim(both), []);
  await db.query(sql`DELETE FROM timetable_question WHERE purpose = 'manual'`);
  await processor.end();
  assert.deepEqual(ids(await second.claim({ bundles: ['dags-folder', 'more'] })), ['e', 'f'], 'the dead one’s');
  clock.advance(181);
  assert.deepEqual(ids(await processor.claim({ bundles: ['more'] })), ['f'], 'one that has not answered in its time');
  await db.query(sql`UPDATE dag SET is_stale = true WHERE dag_id = 'e'`);
  assert.deepEqual(ids(await processor.claim()), ['d'], 'not of a Dag that is gone; and then the failed one');
});

test('a schedule that is Airflow’s again is asked no more', async () => {
  await using s = await scene();
  await s.world.dag('d', NOOP);
  assert.deepEqual(await s.processor.claim(), []);
});

test('the preview is what was answered, after the last run', async () => {
  await using s = await scene();
  const { world, processor } = s;
  await processor.say([dayRun(9), dayRun(10), dayRun(11)]);
  const [dag] = await world.db.query<{ id: string }>(sql`SELECT current_version_id AS id FROM dag`);
  const days = async () =>
    (await upcomingRuns(world.db, await loadModel(world.db, dag!.id), world.clock.nowMs(), 10)).map((run) =>
      new Date(run.logicalDateMs!).getUTCDate(),
    );
  assert.deepEqual(await days(), [9, 10, 11]);
  await world.settle();
  assert.deepEqual(await days(), [10, 11]);
});

describe('by REST', () => {
  let kit: RestKit;
  let processor: Processor;
  before(async () => {
    kit = await restKit();
    const { db } = kit.database;
    await withBundle(db);
    const now = new Date(kit.clock.nowMs()).toISOString();
    const timetables = { own: { summary: 'workdays', description: 'On workdays', periodic: true } };
    await ingest(db, 'own.ts', [dagDocument('own', NOOP, { timetable: OWN, start_date: START })], now, { timetables });
    await ingest(db, 'daily.ts', [dagDocument('plain', NOOP)], now);
    await db.query(sql`INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
      VALUES ('SchedulerJob', ${randomUUID()}::uuid, 'running', 'h', 'u', ${now}, ${now})`);
    processor = await joinProcessor(db, kit.clock);
    await processor.say([dayRun(1)]);
  });
  after(() => kit[Symbol.asyncDispose]());
  /** Waits for the question, and answers it. */
  async function reply(answer: Parameters<Processor['answer']>[1]) {
    for (;;) {
      const [question] = await processor.claim();
      if (!question) {
        await new Promise((resolve) => setImmediate(resolve));
        continue;
      }
      assert.equal(await processor.answer(question.id, answer), true);
      return question.ask;
    }
  }
  const trigger = (body: object, dag = 'own') => kit.as.user('POST', `/dags/${dag}/dagRuns`, body);

  test('a Dag shows what its parse has said of the timetable, its next runs, and why there are none', async () => {
    const dag = (await kit.as.viewer('GET', '/dags/own')).body;
    assert.deepEqual(
      [dag.timetable_summary, dag.timetable_description, dag.timetable_periodic],
      ['workdays', 'On workdays', true],
    );
    const next = (await kit.as.viewer('GET', '/dags/own/nextRuns')).body;
    assert.deepEqual([next.total_entries, next.cause], [1, null]);
  });

  test('a run that is triggered has the interval and the name that the timetable gives it', async () => {
    const interval = { start: '2026-06-05T00:00:00.000000Z', end: '2026-06-06T00:00:00.000000Z' };
    const [made, asked] = await Promise.all([
      trigger({ logical_date: '2026-06-08T10:00:00Z', run_after: '2026-06-08T11:00:00Z' }),
      reply({ kind: 'manual', interval, run_id: 'by-hand' }),
    ]);
    assert.deepEqual(asked, {
      kind: 'manual',
      run_type: 'manual',
      run_after: '2026-06-08T11:00:00Z',
      infer_at: '2026-06-08T10:00:00Z',
      interval: null,
    });
    assert.deepEqual(
      [made.status, made.body.dag_run_id, made.body.data_interval_start, made.body.data_interval_end],
      [200, 'by-hand', '2026-06-05T00:00:00Z', '2026-06-06T00:00:00Z'],
    );
  });

  test('it is not asked what the caller has said, nor is any other timetable', async () => {
    const given = {
      logical_date: '2026-06-09T00:00:00Z',
      data_interval_start: '2026-06-01T00:00:00Z',
      data_interval_end: '2026-06-02T00:00:00Z',
    };
    assert.equal((await trigger({ ...given, dag_run_id: 'said' })).status, 200);
    assert.equal((await trigger({ logical_date: null, dag_run_id: 'said-too' })).status, 200);
    assert.equal((await trigger({ logical_date: null }, 'plain')).status, 200);
    assert.deepEqual(await processor.claim(), []);
  });

  test('what it raises is a 400 with the last line, and no run; a missing dag-processor is a 503', async () => {
    const count = async () => (await kit.as.viewer('GET', '/dags/own/dagRuns')).body.total_entries;
    const before = await count();
    const [failed] = await Promise.all([
      trigger({ logical_date: '2026-06-11T00:00:00Z' }),
      reply({ kind: 'problem', text: 'Traceback\n  secret line\nValueError: no such calendar' }),
    ]);
    assert.deepEqual(
      [failed.status, failed.body.detail],
      [400, "The timetable of the Dag 'own' failed: ValueError: no such calendar"],
    );
    const waiting = trigger({ logical_date: '2026-06-11T00:00:00Z' });
    let open = 0;
    while (open === 0) {
      const rows = await kit.database.db.query<{ n: number }>(
        sql`SELECT count(*)::int AS n FROM timetable_question WHERE purpose = 'manual'`,
      );
      open = rows[0]!.n;
    }
    kit.clock.shift(21_000);
    await kit.database.db.query(sql`SELECT pg_notify('airlock', 'timetable')`);
    const late = await waiting;
    assert.equal(late.status, 503, late.text);
    assert.equal(await count(), before);
    const left = await kit.database.db.query(sql`SELECT 1 FROM timetable_question WHERE purpose <> 'next'`);
    assert.equal(left.length, 0, 'nothing is left behind');
  });

  test('a backfill makes the runs that it answers for the range', async () => {
    const range = { dag_id: 'own', from_date: '2026-06-01T00:00:00Z', to_date: '2026-06-04T00:00:00Z' };
    const runs = [dayRun(1, 'b-1'), dayRun(2, 'b-2')];
    const [plan, asked] = await Promise.all([
      kit.as.user('POST', '/backfills/dry_run', range),
      reply({ kind: 'runs', runs }),
    ]);
    assert.deepEqual(asked.kind === 'runs' && [asked.restriction, asked.last, asked.run_type], [
      { earliest: range.from_date, latest: range.to_date, catchup: true },
      null,
      'backfill',
    ]);
    assert.equal(plan.body.total_entries, 2);
    const [made] = await Promise.all([kit.as.user('POST', '/backfills', range), reply({ kind: 'runs', runs })]);
    assert.equal(made.status, 200, made.text);
    const listed = (await kit.as.viewer('GET', '/dags/own/dagRuns?run_type=backfill&order_by=logical_date')).body;
    assert.deepEqual(
      listed.dag_runs.map((run: { dag_run_id: string }) => run.dag_run_id),
      ['b-1', 'b-2'],
    );
  });
});
