import { type Db, join, sql } from '../../database.ts';
import { type DagFilters, dagConditions } from './list.ts';

/** Pauses or unpauses one Dag. @returns whether it exists. Locks: that row of `dag`. */
export async function setDagPaused(db: Db, dagId: string, paused: boolean): Promise<boolean> {
  const rows = await db.query(
    sql`UPDATE dag SET is_paused = ${paused} WHERE dag_id = ${dagId} RETURNING dag_id`,
    'rest_dag_pause',
  );
  return rows.length > 0;
}

/** Pauses or unpauses every Dag that the filters leave. @returns their ids. Locks: those rows of `dag`. */
export async function setDagsPaused(db: Db, filters: DagFilters, paused: boolean): Promise<string[]> {
  const where = join([sql`true`, ...dagConditions(filters)], ' AND ');
  const rows = await db.query<{ dag_id: string }>(
    sql`UPDATE dag SET is_paused = ${paused} WHERE dag_id IN (SELECT d.dag_id FROM dag d
      LEFT JOIN dag_bundle b ON b.name = d.bundle_name WHERE ${where} ORDER BY d.dag_id FOR UPDATE OF d) RETURNING dag_id`,
  );
  return rows.map((row) => row.dag_id);
}
