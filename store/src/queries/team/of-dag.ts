import { type Db, sql } from '../../database.ts';

/** The team of a Dag. Null when there is no such Dag. Locks nothing. */
export async function getTeamOfDag(db: Db, dagId: string): Promise<{ readonly team: string | null } | null> {
  const rows = await db.query<{ team: string | null }>(
    sql`SELECT team FROM dag WHERE dag_id = ${dagId}`,
    'team_of_dag',
  );
  return rows[0] ?? null;
}
