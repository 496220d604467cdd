import { type Db, sql } from '../../database.ts';

/** The team of a try, by its own row. Null when it has none, or there is no such try. Locks nothing. */
export async function getTeamOfTry(db: Db, id: string): Promise<string | null> {
  const rows = await db.query<{ team: string | null }>(
    sql`SELECT team FROM task_instance WHERE id = ${id}::uuid`,
    'team_of_try',
  );
  return rows[0]?.team ?? null;
}
