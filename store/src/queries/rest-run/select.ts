import { type Db, sql } from '../../database.ts';

/** Which runs of a Dag a clear or a state is about. */
export type RunSelector =
  | { readonly kind: 'run'; readonly runId: string }
  /** Logical dates, inclusive; a bound leaves runs without a logical date out. */
  | { readonly kind: 'range'; readonly from: string | null; readonly to: string | null };

export type SelectedRun = { readonly id: number; readonly run_id: string };

/** Runs of one Dag, oldest id first. Locks nothing. */
export async function selectRuns(db: Db, dagId: string, runs: RunSelector): Promise<SelectedRun[]> {
  if (runs.kind === 'run') {
    return db.query<SelectedRun>(
      sql`SELECT id, run_id FROM dag_run WHERE dag_id = ${dagId} AND run_id = ${runs.runId}`,
      'rest_run_select',
    );
  }
  return db.query<SelectedRun>(
    sql`SELECT id, run_id FROM dag_run WHERE dag_id = ${dagId}
      AND (${runs.from}::timestamptz IS NULL OR logical_date >= ${runs.from})
      AND (${runs.to}::timestamptz IS NULL OR logical_date <= ${runs.to}) ORDER BY id`,
  );
}
