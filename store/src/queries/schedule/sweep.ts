import { type Db, sql } from '../../database.ts';
import { EMITTED_WAITS } from '../asset/ingest.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

/**
 * Whether there is anything at all that a sweep could find: a try that is neither waiting nor over, a callback, a test of a
 * connection, a deadline to come, a trigger, a backfill, or an asset to activate. Answered by partial indexes that are empty on an idle
 * installation, in place of a dozen statements. A part of the sweep that looks at anything else needs a line here. Locks nothing.
 */
export async function isAnythingInFlight(db: Db): Promise<boolean> {
  const rows = await db.query<{ found: boolean }>(
    sql`SELECT EXISTS (SELECT 1 FROM task_instance
          WHERE state IN ('queued', 'running', 'restarting', 'deferred', 'awaiting_input'))
        OR EXISTS (SELECT 1 FROM callback WHERE state IN ('claimed', 'running'))
        OR EXISTS (SELECT 1 FROM callback WHERE state = 'pending')
        OR EXISTS (SELECT 1 FROM connection_test WHERE state IN ('pending', 'queued', 'running'))
        OR EXISTS (SELECT 1 FROM deadline WHERE NOT missed)
        OR EXISTS (SELECT 1 FROM pending_deadline)
        OR EXISTS (SELECT 1 FROM trigger g WHERE g.digest IS NULL
          OR NOT EXISTS (SELECT 1 FROM asset_watcher w WHERE w.trigger_id = g.id))
        OR EXISTS (SELECT 1 FROM backfill WHERE completed_at IS NULL) OR ${EMITTED_WAITS} AS found`,
    'sweep_anything',
  );
  return rows[0]!.found;
}

/** A try that someone must end or take back. */
export type Suspect = {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly state: string;
};

/**
 * Takes back claims of workers that did not start the try in time, or that are gone: same id, same try, for another worker.
 * Workers of other languages may start when they like within the queue's timeout: their supervisor says which they hold.
 * The wait in the queue goes on. Wakes the queue when the transaction commits. Locks: the rows.
 */
export async function takeBackClaims(
  db: Db,
  o: { claimedBeforeIso: string; seenBeforeIso: string | null; nowIso: string },
): Promise<Suspect[]> {
  return db.query<Suspect>(
    sql`WITH back AS (
        UPDATE task_instance t SET updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
        WHERE t.id IN (
          SELECT q.id FROM task_instance q LEFT JOIN supervisor s ON s.id = q.supervisor_id
          WHERE q.state = 'queued' AND q.supervisor_id IS NOT NULL AND (
            (q.runtime = 'typescript' AND q.claimed_at < ${o.claimedBeforeIso}::timestamptz)
            OR s.ended_at IS NOT NULL OR s.last_seen_at < ${o.seenBeforeIso}::timestamptz)
          FOR NO KEY UPDATE OF q SKIP LOCKED
        ) AND t.state = 'queued'
        RETURNING t.id, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number, t.state
      ), woken AS (SELECT CASE WHEN EXISTS (SELECT 1 FROM back) THEN pg_notify('airlock', 'queue') END)
      SELECT back.* FROM back, woken`,
    'sweep_claims',
  );
}

/**
 * Returns tries that waited too long to `scheduled`, if they have returned fewer than `maxReturns` times. Locks: the rows.
 * @returns those that had no return left: their try has failed.
 */
export async function returnStuckTries(
  db: Db,
  o: { queuedBeforeIso: string; maxReturns: number; nowIso: string },
): Promise<{ returned: Suspect[]; exhausted: Suspect[] }> {
  const rows = await db.query<Suspect & { exhausted: boolean; dag_run_id: number }>(
    sql`WITH stuck AS (
        SELECT id, queue_attempts >= ${o.maxReturns} AS exhausted FROM task_instance
        WHERE state = 'queued' AND queued_at < ${o.queuedBeforeIso}::timestamptz
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED
      ), returned AS (
        UPDATE task_instance t SET state = CASE WHEN s.exhausted THEN t.state ELSE 'scheduled' END,
          queue_attempts = t.queue_attempts + 1, updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
        FROM stuck s WHERE t.id = s.id
        RETURNING t.id, t.dag_run_id, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number, t.state, s.exhausted
      )
      SELECT r.*, pg_notify('airlock', 'run ' || r.dag_run_id) AS notified FROM returned r`,
    'sweep_stuck',
  );
  return { returned: rows.filter((row) => !row.exhausted), exhausted: rows.filter((row) => row.exhausted) };
}

export type DeadTry = Suspect & {
  readonly why: 'heartbeat' | 'supervisor' | 'deadline';
  /** Names the stretch that was found dead. */
  readonly workload_jti: string | null;
};

/**
 * Running tries that are dead: silent too long, past their deadline, or on a host that has ended or is silent. Reads running
 * rows only. Locks nothing. `seenBeforeIso` null = silence of hosts is not judged now.
 */
export async function findDeadTries(
  db: Db,
  o: { heartbeatBeforeIso: string; seenBeforeIso: string | null; deadlineBeforeIso: string },
): Promise<DeadTry[]> {
  return db.query<DeadTry>(
    sql`SELECT t.id, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number, t.state, t.workload_jti,
        CASE WHEN s.ended_at IS NOT NULL OR s.last_seen_at < ${o.seenBeforeIso}::timestamptz THEN 'supervisor'
          WHEN t.deadline_at < ${o.deadlineBeforeIso}::timestamptz THEN 'deadline' ELSE 'heartbeat' END AS why
      FROM task_instance t LEFT JOIN supervisor s ON s.id = t.supervisor_id
      WHERE t.state IN ('running', 'restarting') AND t.state = 'running' AND (
        COALESCE(t.last_heartbeat_at, t.start_date, t.updated_at) < ${o.heartbeatBeforeIso}::timestamptz
        OR t.deadline_at < ${o.deadlineBeforeIso}::timestamptz
        OR s.ended_at IS NOT NULL OR s.last_seen_at < ${o.seenBeforeIso}::timestamptz)
      ORDER BY t.id`,
    'sweep_dead',
  );
}

/** Tries that were cleared while running, and whose old process has had its time to go: the next try may begin. Locks: the rows. */
export async function endRestarts(db: Db, o: { sinceIso: string; nowIso: string }): Promise<number> {
  const rows = await db.query<{ dag_run_id: number }>(
    sql`WITH over AS (
        UPDATE task_instance t SET state = NULL, updated_at = ${o.nowIso}::timestamptz
        WHERE t.state IN ('running', 'restarting') AND t.state = 'restarting' AND t.updated_at < ${o.sinceIso}::timestamptz
        RETURNING t.dag_run_id
      )
      SELECT o.dag_run_id, pg_notify('airlock', 'run ' || o.dag_run_id) AS notified FROM over o`,
    'sweep_restarts',
  );
  return rows.length;
}

/** Runs in which a retry or poke is due, or anything is running in silence: the safety net under lost events. Locks nothing. */
export async function findOverdueRuns(db: Db, nowIso: string): Promise<number[]> {
  const rows = await db.query<{ dag_run_id: number }>(
    sql`SELECT dag_run_id FROM task_instance WHERE state = 'up_for_retry' AND retry_at <= ${nowIso}::timestamptz
      UNION
      SELECT dag_run_id FROM task_instance WHERE state = 'up_for_reschedule' AND reschedule_at <= ${nowIso}::timestamptz`,
    'sweep_overdue',
  );
  return rows.map((row) => row.dag_run_id);
}
