import { type Db, sql } from '../../database.ts';

/**
 * Marks something that counts only once, such as the state of a log-in, as used up to that instant.
 * @returns false when it was used before. Locks: one row of `revoked_token`, whose rows are forgotten when their time is over.
 */
export async function useOnce(db: Db, id: string, expiresIso: string): Promise<boolean> {
  const rows = await db.query(
    sql`INSERT INTO revoked_token (jti, expires_at) VALUES (${id}, ${expiresIso}) ON CONFLICT DO NOTHING RETURNING jti`,
  );
  return rows.length > 0;
}
