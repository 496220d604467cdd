import { type Db, sql } from '../../database.ts';

/**
 * Accounts that may administer now. Locks: these rows of `account`, by name, so that of two changes which would each leave the
 * other's admin as the last, the second one sees the first.
 */
export async function lockAdmins(tx: Db): Promise<Array<{ readonly name: string; readonly has_password: boolean }>> {
  return tx.query(
    sql`SELECT name, password_hash IS NOT NULL AS has_password FROM account
      WHERE role = 'admin' AND NOT disabled ORDER BY name FOR UPDATE`,
  );
}
