import { type Db, sql } from '../../database.ts';

export type SessionToken = { readonly jti: string; readonly issued_at: string; readonly ends_at: string };

/** Begins a session with its first token. Locks: that row; the account against being removed meanwhile. */
export async function insertSession(
  db: Db,
  session: { readonly jti: string; readonly account: string; readonly issuedIso: string; readonly endsIso: string },
): Promise<void> {
  await db.query(
    sql`INSERT INTO user_session (jti, account, issued_at, ends_at)
      VALUES (${session.jti}, ${session.account}, ${session.issuedIso}::timestamptz, ${session.endsIso}::timestamptz)`,
  );
}

/**
 * Makes `newJti` the successor of `jti`, and refuses the token before that from now on. Of several calls for the same token one
 * does it; see `successorOf` for the others. Not when the session ends before `endsAfterIso`. Locks: the row of the session. @returns null when there is nothing to succeed
 */
export async function renewSession(
  tx: Db,
  change: { readonly jti: string; readonly newJti: string; readonly nowIso: string; readonly endsAfterIso: string },
): Promise<SessionToken | null> {
  const rows = await tx.query<SessionToken>(
    sql`WITH old AS (
        SELECT jti, previous_jti, ends_at FROM user_session
        WHERE jti = ${change.jti} AND ends_at > ${change.endsAfterIso}::timestamptz FOR UPDATE
      ), gone AS (
        INSERT INTO revoked_token (jti, expires_at)
        SELECT previous_jti, ends_at FROM old WHERE previous_jti IS NOT NULL ON CONFLICT DO NOTHING
      )
      UPDATE user_session SET previous_jti = old.jti, jti = ${change.newJti}, issued_at = ${change.nowIso}::timestamptz
      FROM old WHERE user_session.jti = old.jti
      RETURNING user_session.jti, user_session.issued_at, user_session.ends_at`,
  );
  return rows[0] ?? null;
}

/** The token that came after `jti`, when it was issued since `sinceIso`. Locks nothing. */
export async function successorOf(db: Db, jti: string, sinceIso: string): Promise<SessionToken | null> {
  const rows = await db.query<SessionToken>(
    sql`SELECT jti, issued_at, ends_at FROM user_session
      WHERE previous_jti = ${jti} AND issued_at > ${sinceIso}::timestamptz`,
  );
  return rows[0] ?? null;
}

/** Refuses both tokens of the session that `jti` belongs to, if there is one. Locks: its row, and those of the revocations. */
export async function endSession(tx: Db, jti: string): Promise<void> {
  await tx.query(
    sql`WITH ended AS (
        DELETE FROM user_session WHERE jti = ${jti} OR previous_jti = ${jti} RETURNING jti, previous_jti, ends_at
      )
      INSERT INTO revoked_token (jti, expires_at)
      SELECT token, ends_at FROM ended, unnest(ARRAY[jti, previous_jti]) AS token WHERE token IS NOT NULL
      ON CONFLICT DO NOTHING`,
  );
}
