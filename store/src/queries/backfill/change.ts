import { type Db, sql } from '../../database.ts';

export type NewBackfill = {
  readonly dagId: string;
  readonly fromDate: string;
  readonly toDate: string;
  /** JSON text, or null. */
  readonly conf: string | null;
  readonly reprocess: 'none' | 'failed' | 'completed';
  readonly maxActiveRuns: number;
  readonly user: string | null;
  readonly nowIso: string;
};

/** @returns null when the Dag has one that is not complete. Waits for a concurrent insert for the same Dag. */
export async function insertBackfill(db: Db, o: NewBackfill): Promise<number | null> {
  const rows = await db.query<{ id: number }>(
    sql`INSERT INTO backfill (dag_id, from_date, to_date, dag_run_conf, reprocess_behavior, max_active_runs,
        triggering_user_name, created_at, updated_at)
      VALUES (${o.dagId}, ${o.fromDate}::timestamptz, ${o.toDate}::timestamptz, ${o.conf}::json, ${o.reprocess},
        ${o.maxActiveRuns}, ${o.user}, ${o.nowIso}::timestamptz, ${o.nowIso}::timestamptz)
      ON CONFLICT (dag_id) WHERE completed_at IS NULL DO NOTHING RETURNING id`,
    'backfill_insert',
  );
  return rows[0]?.id ?? null;
}

export type BackfillPoint = {
  readonly sort_ordinal: number;
  readonly dag_run_id: number | null;
  readonly logical_date: string | null;
  readonly partition_key: string | null;
  readonly exception_reason: 'in flight' | 'already exists' | null;
};

/** Writes what became of each point, and makes its runs the backfill's. Locks: the dag_run rows. */
export async function recordPoints(db: Db, backfillId: number, points: readonly BackfillPoint[]): Promise<void> {
  const text = JSON.stringify(points);
  await db.query(
    sql`INSERT INTO backfill_dag_run (backfill_id, sort_ordinal, dag_run_id, logical_date, partition_key, exception_reason)
      SELECT ${backfillId}, p.sort_ordinal, p.dag_run_id, p.logical_date, p.partition_key, p.exception_reason
      FROM json_to_recordset(${text}::json) AS p (sort_ordinal int, dag_run_id bigint, logical_date timestamptz,
        partition_key text, exception_reason text)`,
    'backfill_points',
  );
  await db.query(
    sql`UPDATE dag_run r SET backfill_id = ${backfillId}, backfill_ordinal = p.sort_ordinal
      FROM backfill_dag_run p WHERE p.backfill_id = ${backfillId} AND r.id = p.dag_run_id`,
    'backfill_own_runs',
  );
}

/** Turns a run that is run again into one of a backfill. `conf` null = it keeps its own. Needs the run locked. */
export async function takeOverRun(db: Db, o: { id: number; conf: string | null; user: string | null }): Promise<void> {
  await db.query(
    sql`UPDATE dag_run SET run_type = 'backfill', triggered_by = 'backfill', triggering_user_name = ${o.user},
        conf = COALESCE(${o.conf}::json, conf) WHERE id = ${o.id}`,
    'backfill_take_over',
  );
}

/** @returns false when it is complete already. Locks: the backfill row. */
export async function setBackfillPaused(db: Db, o: { id: number; paused: boolean; nowIso: string }): Promise<boolean> {
  const rows = await db.query(
    sql`UPDATE backfill SET is_paused = ${o.paused},
        updated_at = CASE WHEN is_paused = ${o.paused} THEN updated_at ELSE ${o.nowIso}::timestamptz END
      WHERE id = ${o.id} AND completed_at IS NULL RETURNING id`,
    'backfill_pause',
  );
  return rows.length > 0;
}

/**
 * Ends a backfill: what waits in it fails, what runs goes on. Locks: the backfill row, then its queued runs.
 * @returns false when it is complete already.
 */
export async function cancelBackfill(db: Db, o: { id: number; nowIso: string }): Promise<boolean> {
  const rows = await db.query(
    sql`UPDATE backfill SET is_paused = true, completed_at = ${o.nowIso}::timestamptz, updated_at = ${o.nowIso}::timestamptz
      WHERE id = ${o.id} AND completed_at IS NULL RETURNING id`,
    'backfill_cancel',
  );
  if (rows.length === 0) return false;
  await db.query(
    sql`UPDATE dag_run SET state = 'failed', end_date = ${o.nowIso}::timestamptz, updated_at = ${o.nowIso}::timestamptz
      WHERE backfill_id = ${o.id} AND state = 'queued'`,
    'backfill_fail_queued',
  );
  return true;
}

/** Marks backfills complete of which no run is left to do. Locks: their rows. @returns ids */
export async function completeBackfills(db: Db, nowIso: string): Promise<number[]> {
  const rows = await db.query<{ id: number }>(
    sql`UPDATE backfill b SET completed_at = ${nowIso}::timestamptz, updated_at = ${nowIso}::timestamptz
      WHERE b.completed_at IS NULL AND NOT EXISTS (
        SELECT 1 FROM dag_run r WHERE r.backfill_id = b.id AND r.state IN ('queued', 'running'))
      RETURNING b.id`,
    'backfill_complete',
  );
  return rows.map((row) => row.id);
}
