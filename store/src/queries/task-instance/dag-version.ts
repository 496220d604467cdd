import { type Db, sql } from '../../database.ts';

/** The current version of a Dag, for a caller that was found entitled to it; null when there is none. Locks nothing. */
export async function currentVersionOf(db: Db, dagId: string): Promise<string | null> {
  const rows = await db.query<{ current_version_id: string | null }>(
    sql`SELECT current_version_id FROM dag WHERE dag_id = ${dagId}`,
    'ti_dag_version',
  );
  return rows[0]?.current_version_id ?? null;
}
