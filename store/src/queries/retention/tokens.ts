import { type Db, sql } from '../../database.ts';

/**
 * Removes revocations of tokens that expired before `expiredBefore` (now minus the leeway, or earlier), and join tickets that
 * nobody can use any more. Neither changes what is accepted. Locks: the rows. @returns how many went
 */
export async function deleteExpiredTokens(
  db: Db,
  options: { readonly expiredBefore: string; readonly limit: number },
): Promise<number> {
  const revoked = await db.query(
    sql`DELETE FROM revoked_token WHERE jti IN (
      SELECT jti FROM revoked_token WHERE expires_at < ${options.expiredBefore}::timestamptz ORDER BY expires_at LIMIT ${options.limit}
    ) RETURNING jti`,
  );
  const tickets = await db.query(
    sql`DELETE FROM join_ticket WHERE digest IN (
      SELECT digest FROM join_ticket WHERE expires_at < ${options.expiredBefore}::timestamptz LIMIT ${options.limit}
    ) RETURNING digest`,
  );
  return revoked.length + tickets.length;
}
