import { type Db, sql } from '../../database.ts';

/** Removes audit entries from before `before`, oldest first. Locks: the rows. @returns how many went */
export async function deleteOldEvents(
  db: Db,
  options: { readonly before: string; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM event_log WHERE id IN (
      SELECT id FROM event_log WHERE at < ${options.before}::timestamptz ORDER BY at LIMIT ${options.limit}
    ) RETURNING id`,
  );
  return rows.length;
}
