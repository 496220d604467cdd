import { type Db, sql } from '../../database.ts';

/**
 * Removes revocations of tokens that expired before `expiredBefore` (now minus the leeway, or earlier), join tickets that
 * nobody can use any more, log-ins that count no longer, and sessions that are over. None of it changes what is accepted. Locks: the rows. @returns how many went
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
  const attempts = await db.query(
    sql`DELETE FROM login_attempt WHERE (id, key) IN (
      SELECT id, key FROM login_attempt WHERE at < ${options.expiredBefore}::timestamptz ORDER BY at LIMIT ${options.limit}
    ) RETURNING id`,
  );
  const sessions = await db.query(
    sql`DELETE FROM user_session WHERE jti IN (
      SELECT jti FROM user_session WHERE ends_at < ${options.expiredBefore}::timestamptz ORDER BY ends_at LIMIT ${options.limit}
    ) RETURNING jti`,
  );
  return revoked.length + tickets.length + attempts.length + sessions.length;
}
