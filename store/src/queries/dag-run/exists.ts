import { type Db, sql } from '../../database.ts';

/** True when a run of this name exists. Locks nothing. */
export async function runExists(db: Db, dagId: string, runId: string): Promise<boolean> {
  const rows = await db.query(sql`SELECT 1 FROM dag_run WHERE dag_id = ${dagId} AND run_id = ${runId}`, 'run_exists');
  return rows.length > 0;
}
