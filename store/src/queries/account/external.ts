import { type Db, sql } from '../../database.ts';
import type { AccountRole } from './get.ts';

export type ExternalId = { readonly issuer: string; readonly subject: string };
export type ExternalAccount = {
  readonly name: string;
  readonly role: AccountRole;
  readonly disabled: boolean;
  /** Tokens issued before this instant are refused. */
  readonly tokens_valid_from: string;
  readonly teams: string[];
};

/** The account of a subject of an identity provider. Locks: that row of `account`, so that log-ins follow one another. */
export async function lockExternalAccount(tx: Db, id: ExternalId): Promise<ExternalAccount | null> {
  const rows = await tx.query<ExternalAccount>(
    sql`SELECT name, role, disabled, tokens_valid_from, ARRAY(SELECT t.team FROM account_team t WHERE t.account = account.name ORDER BY t.team) AS teams
      FROM account WHERE issuer = ${id.issuer} AND subject = ${id.subject} FOR UPDATE`,
  );
  return rows[0] ?? null;
}

/** Makes an account without a password. @returns false when the name or the subject is taken. Locks: that row. */
export async function insertExternalAccount(
  tx: Db,
  account: ExternalId & { name: string; role: AccountRole; validFromIso: string; nowIso: string },
): Promise<boolean> {
  const rows = await tx.query(
    sql`INSERT INTO account (name, role, password_hash, tokens_valid_from, created_at, issuer, subject)
      VALUES (${account.name}, ${account.role}, NULL, ${account.validFromIso}, ${account.nowIso}, ${account.issuer}, ${account.subject})
      ON CONFLICT DO NOTHING RETURNING name`,
  );
  return rows.length > 0;
}

/** Makes exactly these teams those of the account. Locks: rows of `account_team`. @throws 23503 there is no such team */
export async function replaceTeams(tx: Db, account: string, teams: readonly string[]): Promise<void> {
  await tx.query(sql`DELETE FROM account_team WHERE account = ${account} AND NOT team = ANY(${[...teams]})`);
  await tx.query(
    sql`INSERT INTO account_team (account, team) SELECT ${account}, unnest(${[...teams]}::text[]) ON CONFLICT DO NOTHING`,
  );
}

/** Removes all accounts that this issuer vouches for. Locks: those rows. */
export async function deleteExternalAccounts(tx: Db, issuer: string): Promise<void> {
  await tx.query(sql`DELETE FROM account WHERE issuer = ${issuer}`);
}
