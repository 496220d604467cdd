import { type Db, sql } from '../../database.ts';

export type VariableRow = {
  readonly id: number;
  readonly team: string | null;
  readonly key: string;
  /** Sealed when `is_encrypted`. */
  readonly val: string;
  readonly description: string | null;
  readonly is_encrypted: boolean;
};

/** $1 team ('' = none), $2 key. A team's own variable wins over a shared one. Locks nothing. */
export async function getVariable(db: Db, which: { team: string | null; key: string }): Promise<VariableRow | null> {
  const rows = await db.query<VariableRow>(
    sql`SELECT id, team, key, val, description, is_encrypted FROM variable
      WHERE COALESCE(team, '') IN (${which.team ?? ''}, '') AND key = ${which.key}
      ORDER BY team NULLS LAST LIMIT 1`,
    'variable_get',
  );
  return rows[0] ?? null;
}
