import { type Db, sql } from '../../database.ts';

/** Refuses the token with this `jti` from the commit on. Repeating it changes nothing. Locks: one row of `revoked_token`. */
export async function revokeToken(db: Db, token: { jti: string; expiresIso: string }): Promise<void> {
  await db.query(
    sql`INSERT INTO revoked_token (jti, expires_at) VALUES (${token.jti}, ${token.expiresIso}) ON CONFLICT DO NOTHING`,
  );
}
