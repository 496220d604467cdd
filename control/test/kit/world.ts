/** A database, a clock and a scheduler core that move only when the test says so, and a worker played by SQL. */
import { randomUUID } from 'node:crypto';
import { type Database, sql } from '@airlock/store';
import { type TestDatabase, testDatabase } from '../../../tests/kit/database.ts';
import { createDagRun, failTry } from '../../src/runs/index.ts';
import { createSchedulerCore, type SchedulerCore, type SchedulerLog } from '../../src/scheduler/core.ts';
import { dagDocument, ingest, type TaskSpec, withBundle } from './dags.ts';

const silent: SchedulerLog = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  debug: () => undefined,
};

export type Ti = {
  readonly dag_id: string;
  id: string;
  task_id: string;
  map_index: number;
  state: string | null;
  try_number: number;
  max_tries: number;
  dag_version_id: string;
  priority_weight: number;
};

export type World = AsyncDisposable & {
  readonly db: Database;
  /** Addresses for the role `airlock_control` and for the one that owns the tables. */
  readonly url: string;
  readonly ownerUrl: string;
  readonly clock: { nowMs: () => number; advance: (seconds: number) => void; iso: () => string };
  readonly core: SchedulerCore;
  readonly errors: unknown[];
  readonly newCore: (over?: { parallelism?: number; maxQueued?: number; db?: Database }) => SchedulerCore;
  /** What the scheduler reads of variables: by `team/key`, else by key. An error is thrown. */
  readonly variables: Map<string, string | Error>;
  readonly dag: (dagId: string, tasks: readonly TaskSpec[], dag?: Readonly<Record<string, unknown>>) => Promise<void>;
  readonly trigger: (dagId: string, over?: object) => Promise<{ id: number; runId: string }>;
  /** Runs the scheduler until nothing is left to do. */
  readonly settle: () => Promise<void>;
  readonly tis: (run: { id: number }) => Promise<Ti[]>;
  /** `task` or `task[index]` → state. */
  readonly states: (run: { id: number }) => Promise<Record<string, string | null>>;
  readonly run: (run: {
    id: number;
  }) => Promise<{ state: string; start_date: string | null; end_date: string | null; clear_number: number }>;
  /** Takes queued tries as a worker would: `running`. */
  readonly take: (limit?: number) => Promise<Ti[]>;
  readonly succeed: (ti: Ti, length?: number) => Promise<void>;
  readonly fail: (ti: Ti) => Promise<void>;
  /** Takes and succeeds whatever is queued until nothing is. */
  readonly work: () => Promise<number>;
};

export async function makeWorld(): Promise<World> {
  const test: TestDatabase = await testDatabase();
  const { db } = test;
  let now = Date.parse('2026-06-10T09:30:00Z');
  const clock = {
    nowMs: () => now,
    advance: (seconds: number) => {
      now += seconds * 1000;
    },
    iso: () => new Date(now).toISOString(),
  };
  const errors: unknown[] = [];
  const variables: World['variables'] = new Map();
  const newCore: World['newCore'] = (over = {}) =>
    createSchedulerCore({
      db: over.db ?? db,
      clock,
      log: { ...silent, error: (fields) => errors.push(fields) },
      instanceId: randomUUID(),
      parallelism: over.parallelism ?? 1000,
      maxQueued: over.maxQueued ?? 256,
      maxRunsToCreate: 10,
      maxPartitionKeys: 1000,
      createsRuns: true,
      readVariable: async (key, { team }) => {
        const found = variables.get(`${team}/${key}`) ?? variables.get(key) ?? null;
        if (found instanceof Error) throw found;
        return found;
      },
    });
  const core = newCore();
  await withBundle(db);

  const settle = async () => {
    await core.resync();
    await core.lookForOverdue();
    await core.settle();
    if (errors.length > 0) throw (errors[0] as { err?: unknown }).err ?? errors[0];
  };
  const tis = (run: { id: number }) =>
    db.query<Ti>(sql`SELECT * FROM task_instance WHERE dag_run_id = ${run.id} ORDER BY task_id, map_index`);
  const take = (limit = 1000) =>
    db.query<Ti>(
      sql`UPDATE task_instance SET state = 'running', start_date = ${clock.iso()}::timestamptz,
          last_heartbeat_at = ${clock.iso()}::timestamptz, hostname = 'test', queue_attempts = 0
        WHERE id IN (SELECT id FROM task_instance WHERE state = 'queued' ORDER BY priority_weight DESC, queued_at, map_index LIMIT ${limit})
        RETURNING *`,
    );
  const succeed = async (ti: Ti, length?: number) => {
    const rows = await db.query<{ dag_run_id: number }>(
      sql`UPDATE task_instance SET state = 'success', end_date = ${clock.iso()}::timestamptz WHERE id = ${ti.id} AND state = 'running' RETURNING dag_run_id`,
    );
    if (rows.length === 0) throw new Error(`${ti.task_id} was not running`);
    if (length !== undefined) {
      await db.query(
        sql`INSERT INTO task_map (dag_run_id, task_id, map_index, length) VALUES (${rows[0]!.dag_run_id}, ${ti.task_id}, ${ti.map_index}, ${length})
          ON CONFLICT (dag_run_id, task_id, map_index) DO UPDATE SET length = EXCLUDED.length`,
      );
    }
  };
  return {
    db,
    url: test.url,
    ownerUrl: test.ownerUrl,
    clock,
    core,
    errors,
    variables,
    newCore,
    dag: async (dagId, tasks, dag) => {
      const answer = await ingest(db, `${dagId}.ts`, [dagDocument(dagId, tasks, dag)], clock.iso());
      if (answer.import_error) throw new Error(answer.import_error);
    },
    trigger: (dagId, over = {}) =>
      db.transaction((tx) =>
        createDagRun(tx, {
          dagId,
          runType: 'manual',
          triggeredBy: 'test',
          triggeringUserName: null,
          logicalDate: null,
          nowIso: clock.iso(),
          runId: `run-${randomUUID()}`,
          ...over,
        }),
      ),
    settle,
    tis,
    states: async (run) =>
      Object.fromEntries(
        (await tis(run)).map((ti) => [ti.map_index < 0 ? ti.task_id : `${ti.task_id}[${ti.map_index}]`, ti.state]),
      ),
    run: async (run) => (await db.query<never>(sql`SELECT * FROM dag_run WHERE id = ${run.id}`))[0]!,
    take,
    succeed,
    fail: async (ti) => {
      await db.transaction((tx) => failTry(tx, { id: ti.id, reason: 'test', nowIso: clock.iso(), from: ['running'] }));
    },
    work: async () => {
      let done = 0;
      for (;;) {
        await settle();
        const taken = await take();
        if (taken.length === 0) return done;
        for (const ti of taken) await succeed(ti);
        done += taken.length;
      }
    },
    [Symbol.asyncDispose]: () => test.close(),
  };
}
