/** A scheduler as a process has it, on a database of its own, with a worker that answers each queue event at once by SQL. */
import { randomUUID } from 'node:crypto';
import { systemClock } from '@airlock/contract/clock';
import { resolveConfig } from '@airlock/contract/config/index';
import { type Database, decodeEvent, EVENT_CHANNEL, openDatabase, type StoreEvent, sql } from '@airlock/store';
import { pino } from 'pino';
import type { ControlDeps, EventHub } from '../../src/deps.ts';
import { startScheduler } from '../../src/scheduler/index.ts';

/** One LISTEN connection, as a control process has it. */
export async function openHub(db: Database): Promise<EventHub & { readonly close: () => Promise<void> }> {
  const listeners = new Set<(event: StoreEvent) => void>();
  const gaps = new Set<() => void>();
  const close = await db.listen(
    EVENT_CHANNEL,
    (payload) => {
      const event = decodeEvent(payload);
      if (event) for (const listener of listeners) listener(event);
    },
    () => {
      for (const gap of gaps) gap();
    },
  );
  return {
    on: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    onGap: (listener) => {
      gaps.add(listener);
      return () => gaps.delete(listener);
    },
    close,
  };
}

export type LiveScheduler = AsyncDisposable & { readonly db: Database; readonly hub: EventHub };

/** Starts a scheduler on `url`. Options as in the environment, `AIRLOCK__SCHEDULER__…`. */
export async function startLive(url: string, env: Readonly<Record<string, string>> = {}): Promise<LiveScheduler> {
  const db = openDatabase({ url, maxConnections: 4, applicationName: 'test-scheduler', onError: () => undefined });
  const hub = await openHub(db);
  const deps = {
    db,
    clock: systemClock,
    log: pino({ level: process.env.TEST_LOG ?? 'silent' }),
    config: resolveConfig({ env, ini: {}, expand: (text: string) => text } as never),
    events: hub,
    instanceId: randomUUID(),
  } as unknown as ControlDeps;
  const scheduler = startScheduler(deps);
  return {
    db,
    hub,
    [Symbol.asyncDispose]: async () => {
      await scheduler.stop();
      await hub.close();
      await db.close();
    },
  };
}

/** A worker that takes and succeeds whatever is queued, in the fewest statements. @returns what ends it */
export function startSqlWorker(
  db: Database,
  hub: EventHub,
  options: { readonly onError?: (error: unknown) => void } = {},
) {
  let working: Promise<void> | null = null;
  let again = true;
  let stopped = false;
  const work = async () => {
    while (again && !stopped) {
      again = false;
      const nowIso = new Date().toISOString();
      await db.query(
        sql`WITH done AS (
            UPDATE task_instance SET state = 'success', start_date = ${nowIso}::timestamptz, end_date = ${nowIso}::timestamptz
            WHERE state = 'queued' RETURNING dag_run_id)
          SELECT pg_notify('airlock', 'run ' || dag_run_id) FROM (SELECT DISTINCT dag_run_id FROM done) d`,
        'test_worker',
      );
    }
  };
  const kick = () => {
    again = true;
    working ??= work()
      .catch((error: unknown) => options.onError?.(error))
      .finally(() => {
        working = null;
      });
  };
  const off = hub.on((event) => {
    if (event.kind === 'queue') kick();
  });
  const poll = setInterval(kick, 500);
  kick();
  return {
    stop: async () => {
      stopped = true;
      off();
      clearInterval(poll);
      await working;
    },
  };
}
