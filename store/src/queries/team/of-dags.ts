import { type Db, sql } from '../../database.ts';

/** The teams of several Dags; those that do not exist are left out. Locks nothing. */
export async function getTeamsOfDags(
  db: Db,
  dagIds: readonly string[],
): Promise<ReadonlyArray<{ readonly dag_id: string; readonly team: string | null }>> {
  return db.query(sql`SELECT dag_id, team FROM dag WHERE dag_id = ANY(${[...dagIds]})`, 'team_of_dags');
}
