/**
 * The scheduler alone, with an executor that succeeds at once by one SQL statement: what it decides in a second, what it costs
 * when idle, how one wide run and a long history bear on it. Each case has a database of its own.
 */
import { setTimeout as pause } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { type Database, openDatabase, sql } from '@airlock/store';
import { createDagRun } from '../../control/src/runs/index.ts';
import { dagDocument, ingest, mappedOver, withBundle } from '../../control/test/kit/dags.ts';
import { openHub, startSqlWorker } from '../../control/test/kit/live.ts';
import { type TestDatabase, testDatabase } from '../kit/database.ts';
import { waitFor } from '../kit/wait.ts';
import { quantile } from './drive.ts';

const ENV = { AIRLOCK__CORE__PARALLELISM: '10000' };
const OPEN_ENDED = { timeoutMs: 600_000, everyMs: 10 };
const nowIso = () => new Date().toISOString();
const chain = (length: number) =>
  Array.from({ length }, (_, n) => ({ id: `t${n}`, after: n === 0 ? [] : [`t${n - 1}`] }));

async function startSchedulers(url: string, count: number): Promise<AsyncDisposable> {
  const threads = Array.from(
    { length: count },
    () => new Worker(new URL('scheduler-thread.ts', import.meta.url), { workerData: { url, env: ENV } }),
  );
  await Promise.all(threads.map((thread) => new Promise((resolve) => thread.once('message', resolve))));
  return {
    [Symbol.asyncDispose]: async () => {
      await Promise.all(
        threads.map(async (thread) => {
          const ended = new Promise((resolve) => thread.once('exit', resolve));
          thread.postMessage('end');
          await ended;
        }),
      );
    },
  };
}

async function startExecutor(url: string): Promise<AsyncDisposable> {
  const db = openDatabase({ url, maxConnections: 2, applicationName: 'executor', onError: () => undefined });
  const hub = await openHub(db);
  const worker = startSqlWorker(db, hub);
  return {
    [Symbol.asyncDispose]: async () => {
      await worker.stop();
      await hub.close();
      await db.close();
    },
  };
}

const trigger = (db: Database, dagId: string) =>
  db.transaction((tx) =>
    createDagRun(tx, {
      dagId,
      runType: 'manual',
      triggeredBy: 'test',
      triggeringUserName: null,
      logicalDate: null,
      runId: `run-${crypto.randomUUID()}`,
      nowIso: nowIso(),
    }),
  );

async function unfinished(db: Database): Promise<number> {
  const [row] = await db.query<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM dag_run WHERE state IN ('queued', 'running')`,
  );
  return row!.n;
}

/** Counts every entry of a row into `queued`, so that one which is queued twice shows. */
async function countQueued(t: TestDatabase): Promise<Database> {
  const owner = openDatabase({
    url: t.ownerUrl,
    maxConnections: 1,
    applicationName: 'owner',
    onError: () => undefined,
  });
  await owner.query(sql`CREATE TABLE was_queued (id uuid NOT NULL)`);
  await owner.query(sql`GRANT INSERT ON was_queued TO airlock_control`);
  await owner.query(sql`CREATE FUNCTION note_queued() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN INSERT INTO was_queued VALUES (NEW.id); RETURN NULL; END $$`);
  await owner.query(sql`CREATE TRIGGER note_queued AFTER UPDATE OF state ON task_instance FOR EACH ROW
    WHEN (NEW.state = 'queued' AND OLD.state IS DISTINCT FROM 'queued') EXECUTE FUNCTION note_queued()`);
  return owner;
}

/**
 * Chains, so that each task is a decision of its own, after the one before. A transition is one state that the scheduler gives:
 * scheduled and queued to each task, running and its end to each run.
 */
export async function throughput(
  schedulers: number,
  size: { dags: number; runs: number; tasks: number },
): Promise<string> {
  await using t = await testDatabase();
  await withBundle(t.db);
  for (let dag = 0; dag < size.dags; dag++)
    await ingest(t.db, `d${dag}.ts`, [dagDocument(`d${dag}`, chain(size.tasks))], nowIso());
  for (let run = 0; run < size.runs; run++) for (let dag = 0; dag < size.dags; dag++) await trigger(t.db, `d${dag}`);
  const owner = schedulers > 1 ? await countQueued(t) : null;
  await using _executor = await startExecutor(t.url);
  const begin = performance.now();
  const [cpu, postgres] = [process.cpuUsage(), await postgresSeconds(t.db)];
  await using _schedulers = await startSchedulers(t.url, schedulers);
  await waitFor('every run has ended', async () => (await unfinished(t.db)) === 0, OPEN_ENDED);
  const seconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  const ours = (user + system) / 1e6;
  const theirs = (await postgresSeconds(t.db)) - postgres;
  const [tasks] = await t.db.query<{ n: number; good: number; tries: number }>(
    sql`SELECT count(*)::integer AS n, count(*) FILTER (WHERE state = 'success')::integer AS good, sum(try_number)::integer AS tries FROM task_instance`,
  );
  let double = '';
  if (owner) {
    const [row] = await owner.query<{ n: number; ids: number }>(
      sql`SELECT count(*)::integer AS n, count(DISTINCT id)::integer AS ids FROM was_queued`,
    );
    double = `; queued ${row!.n} times for ${row!.ids} tasks`;
    await owner.close();
  }
  const transitions = 2 * tasks!.n + 2 * size.dags * size.runs;
  return `${schedulers} scheduler(s), ${size.dags} Dags × ${size.runs} runs × ${size.tasks} tasks: ${(transitions / seconds).toFixed(0)} transitions/s (${transitions} in ${seconds.toFixed(1)} s; processor ${ours.toFixed(1)} s here, ${theirs.toFixed(1)} s PostgreSQL, with the executor); ${tasks!.good} of ${tasks!.n} tasks succeeded in ${tasks!.tries} tries${double}`;
}

/** Processor time that all of this cluster's processes have used, those that have ended too, seconds. */
async function postgresSeconds(db: Database): Promise<number> {
  const { processTree } = await import('./processes.ts');
  const [row] = await db.query<{ pid: number }>(sql`SELECT pg_backend_pid() AS pid`);
  const { readFileSync } = await import('node:fs');
  const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${row!.pid}/status`, 'utf8'))![1]);
  return processTree(parent).reduce((sum, { ticks, endedTicks }) => sum + ticks + endedTicks, 0) / 100;
}

export async function idle(dags: number, seconds: number): Promise<string> {
  await using t = await testDatabase();
  await withBundle(t.db);
  const daily = {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 0 1 1 *', timezone: 'UTC' },
  };
  for (let dag = 0; dag < dags; dag++)
    await ingest(t.db, `d${dag}.ts`, [dagDocument(`d${dag}`, chain(3), { timetable: daily })], nowIso());
  await using _schedulers = await startSchedulers(t.url, 1);
  await pause(3000);
  const [cpu, postgres] = [process.cpuUsage(), await postgresSeconds(t.db)];
  await pause(seconds * 1000);
  const { user, system } = process.cpuUsage(cpu);
  const theirs = (await postgresSeconds(t.db)) - postgres;
  const share = (used: number) => `${((used / seconds) * 100).toFixed(2)} %`;
  return `${dags} Dags idle: ${share((user + system) / 1e6)} of a core here, ${share(theirs)} PostgreSQL, over ${seconds} s`;
}

export async function mapped(length: number): Promise<string> {
  await using t = await testDatabase();
  await withBundle(t.db);
  const tasks = [
    { id: 'list' },
    { id: 'each', after: ['list'], ...mappedOver('list') },
    { id: 'last', after: ['each'] },
  ];
  await ingest(t.db, 'm.ts', [dagDocument('m', tasks, { max_active_tasks: 100_000 })], nowIso());
  const [row] = await t.db.query<{ name: string }>(
    sql`UPDATE slot_pool SET slots = -1 WHERE name = 'default_pool' RETURNING name`,
  );
  if (!row) throw new Error('there is no default pool');
  const { id } = await trigger(t.db, 'm');
  await t.db.query(
    sql`INSERT INTO task_map (dag_run_id, task_id, map_index, length) VALUES (${id}, 'list', -1, ${length})`,
  );
  await using _executor = await startExecutor(t.url);
  const begin = performance.now();
  await using _schedulers = await startSchedulers(t.url, 1);
  await waitFor('the run has ended', async () => (await unfinished(t.db)) === 0, OPEN_ENDED);
  const seconds = (performance.now() - begin) / 1000;
  return `one run of ${length} mapped tasks: ${seconds.toFixed(1)} s, ${((2 * length) / seconds).toFixed(0)} transitions/s`;
}

/** From the commit that ends a task to the notification that its successor is queued. */
export async function latency(history: number, samples: number): Promise<string> {
  await using t = await testDatabase();
  await withBundle(t.db);
  await ingest(t.db, 'c.ts', [dagDocument('c', chain(20))], nowIso());
  const owner = openDatabase({
    url: t.ownerUrl,
    maxConnections: 1,
    applicationName: 'owner',
    onError: () => undefined,
  });
  await owner.query(sql`
    INSERT INTO dag_run (dag_id, run_id, state, run_type, triggered_by, logical_date, run_after, updated_at, start_date, end_date)
    SELECT 'c', 'old' || i, 'success', 'scheduled', 'timetable', at, at, at, at, at
    FROM generate_series(1, ${Math.floor(history / 20)}) i, LATERAL (SELECT '2000-01-01'::timestamptz + i * interval '1 hour' AS at) x`);
  await owner.query(sql`
    INSERT INTO task_instance (id, dag_run_id, dag_id, run_id, task_id, dag_version_id, state, try_number, task_display_name, pool, queue, updated_at)
    SELECT gen_random_uuid(), r.id, r.dag_id, r.run_id, 't' || j, d.current_version_id, 'success', 1, 't', 'default_pool', 'q', r.updated_at
    FROM dag_run r, dag d, generate_series(0, 19) j`);
  await owner.query(sql`ANALYZE`);
  await owner.close();
  const hub = await openHub(t.db);
  await using _schedulers = await startSchedulers(t.url, 1);
  const times: number[] = [];
  while (times.length < samples) {
    const queued = Promise.withResolvers<void>();
    let next = queued;
    const off = hub.on((event) => {
      if (event.kind === 'queue') next.resolve();
    });
    const { id } = await trigger(t.db, 'c');
    await next.promise;
    for (let step = 1; step < 20; step++) {
      next = Promise.withResolvers();
      await t.db.query(
        sql`WITH done AS (UPDATE task_instance SET state = 'success', start_date = ${nowIso()}::timestamptz, end_date = ${nowIso()}::timestamptz
            WHERE dag_run_id = ${id} AND state = 'queued' RETURNING dag_run_id)
          SELECT pg_notify('airlock', 'run ' || dag_run_id) FROM done`,
        'bench_end',
      );
      const begin = performance.now();
      await next.promise;
      times.push(performance.now() - begin);
    }
    off();
    await t.db.query(sql`UPDATE task_instance SET state = 'success' WHERE dag_run_id = ${id} AND state = 'queued'`);
  }
  await hub.close();
  const at = (share: number) => quantile(times, share).toFixed(1);
  return `decisions with ${history} finished task instances: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${at(1)} ms, of ${times.length}`;
}

const CASES: Readonly<Record<string, (quick: boolean) => Promise<string>>> = {
  throughput: (quick) => throughput(1, { dags: quick ? 20 : 100, runs: 10, tasks: 10 }),
  three: (quick) => throughput(3, { dags: quick ? 20 : 100, runs: 10, tasks: 10 }),
  idle: (quick) => idle(quick ? 500 : 5000, quick ? 5 : 20),
  mapped: (quick) => mapped(quick ? 1000 : 10_000),
  latency: (quick) => latency(quick ? 10_000 : 1_000_000, quick ? 100 : 1000),
};

/** @param only names of cases; none = all of them */
export async function* schedulerLines(quick: boolean, only: readonly string[]): AsyncIterable<string> {
  for (const name of only)
    if (!Object.hasOwn(CASES, name))
      throw new Error(`there is no case ${name}; there are ${Object.keys(CASES).join(', ')}`);
  for (const [name, run] of Object.entries(CASES)) if (only.length === 0 || only.includes(name)) yield await run(quick);
}
