import { type Db, join, sql } from '../../database.ts';
import { type Named, namedIn } from '../team/visible.ts';

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

/** The variable that a REST caller means by this key. Locks nothing. */
export async function findVariable(db: Db, key: string, named: Named): Promise<VariableRow | null> {
  const where = join([sql`key = ${key}`, ...namedIn(sql`team`, named)], ' AND ');
  const rows = await db.query<VariableRow>(
    sql`SELECT id, team, key, val, description, is_encrypted FROM variable WHERE ${where} ORDER BY team NULLS LAST LIMIT 1`,
  );
  return rows[0] ?? null;
}
