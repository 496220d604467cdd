import { type Db, sql } from '../../database.ts';
import type { AccountRole } from './get.ts';

/** Makes an account. @returns false when the name is taken. Locks: that row of `account`. */
export async function insertAccount(
  db: Db,
  account: { name: string; role: AccountRole; passwordHash: string | null; validFromIso: string; nowIso: string },
): Promise<boolean> {
  const rows = await db.query(
    sql`INSERT INTO account (name, role, password_hash, tokens_valid_from, created_at)
      VALUES (${account.name}, ${account.role}, ${account.passwordHash}, ${account.validFromIso}, ${account.nowIso})
      ON CONFLICT (name) DO NOTHING RETURNING name`,
  );
  return rows.length > 0;
}

/**
 * Makes the first account, only while there is none; several processes may try at once.
 * @returns whether this call made it. Locks: `account` against other writers, until the transaction ends.
 */
export async function insertFirstAccount(
  tx: Db,
  account: { name: string; role: AccountRole; passwordHash: string | null; validFromIso: string; nowIso: string },
): Promise<boolean> {
  await tx.query(sql`SELECT pg_advisory_xact_lock(hashtext('airlock first account'))`);
  const rows = await tx.query(
    sql`INSERT INTO account (name, role, password_hash, tokens_valid_from, created_at)
      SELECT ${account.name}, ${account.role}, ${account.passwordHash}, ${account.validFromIso}, ${account.nowIso}
      WHERE NOT EXISTS (SELECT 1 FROM account) RETURNING name`,
  );
  return rows.length > 0;
}

/** Changes the parts that are given. @returns whether there is such an account. Locks: that row. */
export async function updateAccount(
  db: Db,
  name: string,
  change: { role?: AccountRole; passwordHash?: string | null; disabled?: boolean; validFromIso?: string },
): Promise<boolean> {
  const rows = await db.query(
    sql`UPDATE account SET role = COALESCE(${change.role ?? null}, role),
        password_hash = CASE WHEN ${change.passwordHash !== undefined}::boolean THEN ${change.passwordHash ?? null}
          ELSE password_hash END,
        disabled = COALESCE(${change.disabled ?? null}, disabled),
        tokens_valid_from = COALESCE(${change.validFromIso ?? null}::timestamptz, tokens_valid_from)
      WHERE name = ${name} RETURNING name`,
  );
  return rows.length > 0;
}

/** @returns whether there was one. Locks: that row. */
export async function deleteAccount(db: Db, name: string): Promise<boolean> {
  const rows = await db.query(sql`DELETE FROM account WHERE name = ${name} RETURNING name`);
  return rows.length > 0;
}
