import { type Db, sql } from '../../database.ts';

export type AccountRole = 'viewer' | 'user' | 'op' | 'admin';
export type AccountRow = {
  readonly name: string;
  readonly role: AccountRole;
  /** argon2id as a PHC string; null = no password is set. */
  readonly password_hash: string | null;
  readonly disabled: boolean;
  /** Tokens issued before this instant are refused. */
  readonly tokens_valid_from: string;
  readonly created_at: string;
};

/** One account by name. Locks nothing. */
export async function getAccount(db: Db, name: string): Promise<AccountRow | null> {
  const rows = await db.query<AccountRow>(
    sql`SELECT name, role, password_hash, disabled, tokens_valid_from, created_at FROM account WHERE name = ${name}`,
    'account_get',
  );
  return rows[0] ?? null;
}

/** All accounts by name. */
export async function listAccounts(db: Db): Promise<AccountRow[]> {
  return db.query<AccountRow>(
    sql`SELECT name, role, password_hash, disabled, tokens_valid_from, created_at FROM account ORDER BY name`,
  );
}

/** Whether there is any account. */
export async function hasAccounts(db: Db): Promise<boolean> {
  return (await db.query(sql`SELECT 1 FROM account LIMIT 1`)).length > 0;
}

export type Standing = {
  readonly role: AccountRole;
  /** By name. */
  readonly teams: string[];
  readonly disabled: boolean;
  /** Epoch seconds, possibly with a fraction. */
  readonly valid_from: number;
  readonly revoked: boolean;
};

/** What a token's holder may do now: $1 jti, $2 account name. Null when there is no such account. */
export async function getStanding(db: Db, token: { name: string; jti: string }): Promise<Standing | null> {
  const rows = await db.query<Standing>(
    sql`SELECT role, disabled, extract(epoch FROM tokens_valid_from)::float8 AS valid_from,
        EXISTS (SELECT 1 FROM revoked_token WHERE jti = ${token.jti}) AS revoked,
        ARRAY(SELECT t.team FROM account_team t WHERE t.account = account.name ORDER BY t.team) AS teams
      FROM account WHERE name = ${token.name}`,
    'account_standing',
  );
  return rows[0] ?? null;
}
