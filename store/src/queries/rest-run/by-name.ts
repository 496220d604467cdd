import { type Db, sql } from '../../database.ts';

export type RunName = { readonly dag_id: string; readonly run_id: string };

/** Those of the runs that exist, oldest id first. Locks nothing. */
export async function getRunsByName(
  db: Db,
  names: readonly RunName[],
): Promise<ReadonlyArray<RunName & { readonly id: number }>> {
  if (names.length === 0) return [];
  return db.query(
    sql`SELECT r.id, r.dag_id, r.run_id
      FROM unnest(${names.map((run) => run.dag_id)}::text[], ${names.map((run) => run.run_id)}::text[]) AS n (dag_id, run_id)
      JOIN dag_run r ON r.dag_id = n.dag_id AND r.run_id = n.run_id ORDER BY r.id`,
    'rest_runs_by_name',
  );
}
