import { type Db, sql } from '../../database.ts';

/**
 * Moves due queued runs to running, oldest run-after first, as many as each Dag allows. Needs the schedule lock, so that two
 * schedulers do not count the same room. Locks: the dag_run rows; rows that are locked are skipped.
 * @returns ids of the runs that run now.
 */
export async function startQueuedRuns(db: Db, o: { nowIso: string; limit: number }): Promise<number[]> {
  const rows = await db.query<{ id: number }>(
    sql`WITH waiting AS (
        SELECT r.id, r.dag_id, r.run_after, d.max_active_runs,
          row_number() OVER (PARTITION BY r.dag_id ORDER BY r.run_after, r.id) AS place
        FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id
        WHERE r.state = 'queued' AND r.run_after <= ${o.nowIso}::timestamptz AND NOT d.is_paused AND NOT d.is_stale
      ), running AS (
        SELECT dag_id, count(*) AS n FROM dag_run
        WHERE state = 'running' AND dag_id IN (SELECT dag_id FROM waiting) GROUP BY dag_id
      ), due AS (
        SELECT r.id FROM dag_run r WHERE r.id IN (
          SELECT w.id FROM waiting w LEFT JOIN running n ON n.dag_id = w.dag_id
          WHERE w.place + COALESCE(n.n, 0) <= w.max_active_runs
          ORDER BY w.run_after, w.id LIMIT ${o.limit}
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
