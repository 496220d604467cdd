import { type Db, sql } from '../../database.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

export type TryToEnd = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly try_number: number;
  readonly max_tries: number;
  readonly dag_version_id: string;
  readonly logical_date: string | null;
  readonly workload_jti: string | null;
};

/** Reads a live try that is about to be ended, and locks its row. @returns null when no row has this id any more. */
export async function lockTryToEnd(db: Db, id: string): Promise<TryToEnd | null> {
  const rows = await db.query<TryToEnd>(
    sql`SELECT t.id, t.dag_run_id, t.dag_id, t.run_id, t.task_id, t.map_index, t.state, t.try_number, t.max_tries,
        t.dag_version_id, t.workload_jti, r.logical_date
      FROM task_instance t JOIN dag_run r ON r.id = t.dag_run_id
      WHERE t.id = ${id} FOR NO KEY UPDATE OF t`,
    'ti_lock_to_end',
  );
  return rows[0] ?? null;
}

/** Ends a try as failed, for good. Locks: the row. */
export async function failForGood(
  db: Db,
  o: { id: string; endDate: string; reason: string; nowIso: string },
): Promise<void> {
  await db.query(
    sql`UPDATE task_instance t SET state = 'failed', end_date = ${o.endDate}::timestamptz,
        start_date = COALESCE(t.start_date, ${o.endDate}::timestamptz),
        duration = GREATEST(EXTRACT(EPOCH FROM ${o.endDate}::timestamptz - COALESCE(t.start_date, ${o.endDate}::timestamptz)), 0),
        retry_at = NULL, retry_reason = ${o.reason}, next_method = NULL, next_kwargs = NULL,
        updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
      WHERE t.id = ${o.id}`,
    'ti_fail_for_good',
  );
}

/** Records in the audit log why the server ended or took back tries. */
export async function logTries(
  db: Db,
  entries: ReadonlyArray<{
    event: string;
    reason: string;
    dag_id: string;
    task_id: string;
    run_id: string;
    map_index: number;
    try_number: number;
  }>,
  nowIso: string,
): Promise<void> {
  if (entries.length === 0) return;
  await db.query(
    sql`INSERT INTO event_log (at, event, owner, dag_id, task_id, run_id, map_index, try_number, extra)
      SELECT ${nowIso}::timestamptz, x.event, 'scheduler', x.dag_id, x.task_id, x.run_id, x.map_index, x.try_number, x.reason
      FROM json_to_recordset(${JSON.stringify(entries)}::json) AS x (event text, reason text, dag_id text, task_id text,
        run_id text, map_index integer, try_number integer)`,
    'ti_log',
  );
}
