import { type Db, sql } from '../../database.ts';

/**
 * Moves due queued runs to running, those of backfills last, as many as each Dag, or backfill, allows. Needs the schedule lock, so that two
 * schedulers do not count the same room. Locks: the dag_run rows; rows that are locked are skipped.
 * @returns ids of the runs that run now.
 */
export async function startQueuedRuns(db: Db, o: { nowIso: string; limit: number }): Promise<number[]> {
  const rows = await db.query<{ id: number }>(
    sql`WITH waiting AS (
        -- A backfill counts its own runs; the other runs of its Dag are counted without them, and come first.
        SELECT r.id, r.dag_id, r.backfill_id, r.run_after, r.backfill_ordinal,
          COALESCE(b.max_active_runs, d.max_active_runs) AS max_active_runs,
          row_number() OVER (PARTITION BY r.dag_id, r.backfill_id ORDER BY r.backfill_ordinal, r.run_after, r.id) AS place
        FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id LEFT JOIN backfill b ON b.id = r.backfill_id
        WHERE r.state = 'queued' AND r.run_after <= ${o.nowIso}::timestamptz AND NOT d.is_paused AND NOT d.is_stale
          AND NOT COALESCE(b.is_paused, false)
      ), running AS (
        SELECT dag_id, backfill_id, count(*) AS n FROM dag_run
        WHERE state = 'running' AND dag_id IN (SELECT dag_id FROM waiting) GROUP BY dag_id, backfill_id
      ), due AS (
        SELECT r.id FROM dag_run r WHERE r.id IN (
          SELECT w.id FROM waiting w
            LEFT JOIN running n ON n.dag_id = w.dag_id AND n.backfill_id IS NOT DISTINCT FROM w.backfill_id
          WHERE w.place + COALESCE(n.n, 0) <= w.max_active_runs
          ORDER BY w.backfill_id IS NOT NULL, w.backfill_ordinal, w.run_after, w.id LIMIT ${o.limit}
        ) ORDER BY r.id FOR NO KEY UPDATE SKIP LOCKED
      )
      UPDATE dag_run r SET state = 'running', start_date = COALESCE(r.start_date, ${o.nowIso}::timestamptz), end_date = NULL,
        updated_at = ${o.nowIso}::timestamptz
      FROM due WHERE r.id = due.id AND r.state = 'queued'
      RETURNING r.id`,
    'schedule_start_runs',
  );
  return rows.map((row) => row.id);
}
