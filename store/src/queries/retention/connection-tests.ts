import { type Db, sql } from '../../database.ts';

/** Removes old tests of connections, with the values that were tested. Locks: the rows. @returns how many went */
export async function deleteOldConnectionTests(
  db: Db,
  options: { readonly createdBefore: string; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM connection_test WHERE id IN (SELECT id FROM connection_test
        WHERE created_at < ${options.createdBefore}::timestamptz ORDER BY created_at LIMIT ${options.limit}
        FOR UPDATE SKIP LOCKED) RETURNING id`,
  );
  return rows.length;
}
