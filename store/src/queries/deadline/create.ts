import { type Db, sql } from '../../database.ts';

export type NewDeadline = {
  readonly id: string;
  readonly position: number;
  readonly name: string | null;
  readonly reference_type: string;
  /** Instant from which `interval_seconds` counts; null = the average of past runs from now on. */
  readonly reference_at: string | null;
  readonly interval_seconds: number;
  /** Of an average: at most and at least how many successful runs. */
  readonly max_runs: number | null;
  readonly min_runs: number | null;
};

/**
 * Deadlines of a run. One whose reference does not exist (too few past runs) is left out, and so is one that the run has met
 * already. The average is that of the newest successful runs. Locks: none beyond the new rows.
 * @param of.nowIso when the run was made, from which an average counts
 */
export async function insertDeadlines(
  db: Db,
  of: { readonly dagRunId: number; readonly versionId: string; readonly nowIso: string },
  rows: readonly NewDeadline[],
): Promise<void> {
  if (rows.length === 0) return;
  await db.query(
    sql`INSERT INTO deadline (id, dag_run_id, dag_version_id, position, name, reference_type, interval_seconds, due_at,
        created_at, updated_at)
      SELECT y.id, ${of.dagRunId}::bigint, ${of.versionId}::uuid, y.position, y.name, y.reference_type, y.interval_seconds,
        y.due_at, ${of.nowIso}::timestamptz, ${of.nowIso}::timestamptz
      FROM (
        SELECT x.*, r.state = 'success' AS succeeded, r.end_date,
          COALESCE(x.reference_at, ${of.nowIso}::timestamptz + past.average) + make_interval(secs => x.interval_seconds) AS due_at
        FROM json_to_recordset(${JSON.stringify(rows)}::json) AS x (id uuid, position integer, name text, reference_type text,
          reference_at timestamptz, interval_seconds double precision, max_runs integer, min_runs integer)
        JOIN dag_run r ON r.id = ${of.dagRunId}
        LEFT JOIN LATERAL (
          SELECT avg(p.took) AS average, count(*) AS runs FROM (
            SELECT d.end_date - d.start_date AS took FROM dag_run d
            WHERE d.dag_id = r.dag_id AND d.state = 'success' AND d.start_date IS NOT NULL AND d.end_date IS NOT NULL
            ORDER BY d.logical_date DESC NULLS LAST, d.run_after DESC LIMIT x.max_runs) p
        ) past ON x.reference_at IS NULL
        WHERE x.reference_at IS NOT NULL OR past.runs >= x.min_runs
      ) y WHERE NOT COALESCE(y.succeeded AND y.end_date <= y.due_at, false)`,
    'deadline_insert',
  );
}
