/** The scheduler as a process has it: woken by events, across a killed database, beside others of its kind. */
import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { type Database, openDatabase, sql } from '@airlock/store';
import { testDatabase } from '../../tests/kit/database.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { createDagRun } from '../src/runs/index.ts';
import { startCrashableDatabase } from './kit/crash.ts';
import { dagDocument, ingest, mappedOver, withBundle } from './kit/dags.ts';
import { openHub, startLive, startSqlWorker } from './kit/live.ts';

const nowIso = () => new Date().toISOString();
const open = (url: string) =>
  openDatabase({ url, maxConnections: 4, applicationName: 'test', onError: () => undefined });
const trigger = (db: Database, dagId: string, over: object = {}) =>
  db.transaction((tx) =>
    createDagRun(tx, {
      dagId,
      runType: 'manual',
      triggeredBy: 'test',
      triggeringUserName: null,
      logicalDate: null,
      nowIso: nowIso(),
      ...over,
    }),
  );
const ended = (db: Database, ids: readonly number[], timeoutMs = 20_000) =>
  waitFor(
    'all runs have succeeded',
    async () =>
      (await db.query(sql`SELECT 1 FROM dag_run WHERE id = ANY(${ids}::bigint[]) AND state = 'success'`)).length ===
      ids.length,
    { timeoutMs, everyMs: 5 },
  );
const chain = (length: number) =>
  Array.from({ length }, (_, i) => ({ id: `t${i}`, after: i === 0 ? [] : [`t${i - 1}`] }));
const fan = (width: number) => [
  { id: 'first' },
  ...Array.from({ length: width }, (_, i) => ({ id: `t${i}`, after: ['first'] })),
  { id: 'last', after: Array.from({ length: width }, (_, i) => `t${i}`) },
];

test('events alone carry a chain of 40 and a fan of 100 to their ends, in few milliseconds per step', async () => {
  await using t = await testDatabase();
  await withBundle(t.db);
  await ingest(t.db, 'chain.ts', [dagDocument('chain', chain(40))], nowIso());
  await ingest(t.db, 'fan.ts', [dagDocument('fan', fan(100))], nowIso());
  await using live = await startLive(t.url);
  const worker = startSqlWorker(t.db, live.hub);
  const timed = async (dagId: string) => {
    const begin = performance.now();
    await ended(t.db, [(await trigger(t.db, dagId)).id]);
    return performance.now() - begin;
  };
  await timed('chain');
  const chainMs = await timed('chain');
  await timed('fan');
  const fanMs = await timed('fan');
  await worker.stop();
  process.stdout.write(
    `scheduler and database alone: chain of 40 ${chainMs.toFixed(0)} ms, fan of 100 ${fanMs.toFixed(0)} ms\n`,
  );
  // Generous: the machine may be busy. Unloaded it is 110 ms and 40 ms.
  ok(chainMs < 2000 && fanMs < 2000);
});

test('a run whose time comes, and a retry that is due, start at their instant and not at the next poll', async () => {
  await using t = await testDatabase();
  await withBundle(t.db);
  await ingest(t.db, 'a.ts', [dagDocument('a', [{ id: 't' }])], nowIso());
  await using live = await startLive(t.url);
  const worker = startSqlWorker(t.db, live.hub);
  const dueMs = Date.now() + 700;
  const { id } = await trigger(t.db, 'a', { runAfter: new Date(dueMs).toISOString() });
  await ended(t.db, [id]);
  await worker.stop();
  const [run] = await t.db.query<{ start_date: string }>(sql`SELECT start_date FROM dag_run WHERE id = ${id}`);
  const lateMs = Date.parse(run!.start_date) - dueMs;
  ok(lateMs >= 0 && lateMs < 500, `started ${lateMs} ms after its time`);
});

test('PostgreSQL is killed and started again while runs are under way: every run ends in success, no task twice', async () => {
  await using crash = await startCrashableDatabase();
  await using ends = new AsyncDisposableStack();
  const db = open(crash.url);
  ends.defer(() => db.close());
  const retrying = async <T>(work: () => Promise<T>): Promise<T> =>
    waitFor('the database answers', async () => [await work()], { timeoutMs: 10_000 }).then(([value]) => value as T);
  await withBundle(db);
  await ingest(
    db,
    'map.ts',
    [dagDocument('map', [...chain(10), { id: 'many', after: ['t9'], ...mappedOver('t0') }])],
    nowIso(),
  );
  const hub = await openHub(db);
  ends.defer(() => hub.close());
  ends.use(await startLive(crash.url));
  const worker = startSqlWorker(db, hub);
  ends.defer(() => worker.stop());
  const ids: number[] = [];
  for (let round = 0; round < 3; round++) {
    for (let i = 0; i < 3; i++) {
      const { id } = await retrying(() => trigger(db, 'map'));
      await retrying(() =>
        db.query(
          sql`INSERT INTO task_map (dag_run_id, task_id, map_index, length) VALUES (${id}, 't0', -1, 5) ON CONFLICT DO NOTHING`,
        ),
      );
      ids.push(id);
    }
    await crash.kill();
    await crash.start();
  }
  await retrying(() => ended(db, ids, 15_000));
  const rows = await db.query<{ try_number: number; state: string }>(sql`SELECT try_number, state FROM task_instance`);
  equal(rows.length, ids.length * 15);
  equal(
    rows.every((row) => row.try_number === 1 && row.state === 'success'),
    true,
  );
});

test('three schedulers on one database queue every try once and never exceed a pool', async () => {
  await using t = await testDatabase();
  await withBundle(t.db);
  await t.db.query(sql`INSERT INTO slot_pool (name, slots) VALUES ('three', 3)`);
  const tasks = fan(20).map((task) => ({ ...task, pool: 'three' }));
  await ingest(t.db, 'fan.ts', [dagDocument('fan', tasks)], nowIso());
  // Every move to queued, as the database saw it.
  const owner = open(t.ownerUrl);
  await owner.query(sql`CREATE TABLE moves (id uuid, try_number integer, occupied bigint)`);
  await owner.query(sql`CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
      INSERT INTO moves SELECT NEW.id, NEW.try_number,
        (SELECT sum(pool_slots) FROM task_instance WHERE state IN ('queued', 'running') AND pool = NEW.pool);
      RETURN NULL;
    END $$`);
  await owner.query(sql`CREATE TRIGGER note AFTER UPDATE ON task_instance FOR EACH ROW
    WHEN (NEW.state = 'queued' AND OLD.state IS DISTINCT FROM 'queued') EXECUTE FUNCTION note_move()`);
  const lives = await Promise.all([startLive(t.url), startLive(t.url), startLive(t.url)]);
  const hub = await openHub(t.db);
  const worker = startSqlWorker(t.db, hub);
  const runs = await Promise.all(Array.from({ length: 4 }, () => trigger(t.db, 'fan', { runId: `r${Math.random()}` })));
  await ended(
    t.db,
    runs.map((run) => run.id),
  );
  await worker.stop();
  const moves = await owner.query<{ id: string; occupied: number }>(sql`SELECT * FROM moves`);
  equal(moves.length, 4 * 22);
  equal(new Set(moves.map((move) => move.id)).size, moves.length);
  equal(Math.max(...moves.map((move) => Number(move.occupied))) <= 3, true);
  for (const live of lives) await live[Symbol.asyncDispose]();
  await hub.close();
  await owner.close();
});

test('a scheduler says that it is alive, and that it has ended', async () => {
  await using t = await testDatabase();
  const live = await startLive(t.url);
  const job = async () =>
    (await t.db.query<{ state: string }>(sql`SELECT state FROM job WHERE job_type = 'SchedulerJob'`))[0]?.state;
  await waitFor('its job is running', async () => (await job()) === 'running');
  await live[Symbol.asyncDispose]();
  equal(await job(), 'success');
});
