import { type Db, sql } from '../../database.ts';

/** Dags of which a run ended at or after `since`: the only ones whose rendered fields can have become too many. No locks. */
export async function dagsWithEndedRuns(db: Db, since: string): Promise<readonly string[]> {
  const rows = await db.query<{ dag_id: string }>(
    sql`SELECT DISTINCT dag_id FROM dag_run WHERE end_date >= ${since}::timestamptz`,
  );
  return rows.map((row) => row.dag_id);
}

/**
 * Clears what tasks were called with in all but the newest `keepRuns` runs of a Dag; looks at the next `limit` runs only, which
 * is enough when it is called more often than that many runs end. Locks: the task_instance rows. @returns how many were cleared
 */
export async function clearRenderedFields(
  db: Db,
  options: { readonly dagId: string; readonly keepRuns: number; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    sql`UPDATE task_instance SET rendered_fields = NULL
      WHERE rendered_fields IS NOT NULL AND dag_run_id IN (
        SELECT id FROM dag_run WHERE dag_id = ${options.dagId} ORDER BY run_after DESC, id DESC
        OFFSET ${options.keepRuns} LIMIT ${options.limit}
      ) AND state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
      RETURNING id`,
  );
  return rows.length;
}
