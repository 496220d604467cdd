import { type Db, sql } from '../../database.ts';
import type { VariableRow } from './get.ts';

export type VariableValues = Pick<VariableRow, 'team' | 'key' | 'val' | 'description' | 'is_encrypted'>;

/** Inserts one variable. @returns null when the key exists already (nothing changed). Locks: that row of `variable`. */
export async function insertVariable(db: Db, values: VariableValues): Promise<VariableRow | null> {
  const rows = await db.query<VariableRow>(
    sql`INSERT INTO variable (team, key, val, description, is_encrypted)
      VALUES (${values.team}, ${values.key}, ${values.val}, ${values.description}, ${values.is_encrypted})
      ON CONFLICT (COALESCE(team, ''), key) DO NOTHING
      RETURNING id, team, key, val, description, is_encrypted`,
    'variable_insert',
  );
  return rows[0] ?? null;
}

/** Replaces all but the key of the variable with this id. Locks: that row. @throws 23505 the new team has that key */
export async function updateVariable(
  db: Db,
  id: number,
  values: Omit<VariableValues, 'key'>,
): Promise<VariableRow | null> {
  const rows = await db.query<VariableRow>(
    sql`UPDATE variable SET team = ${values.team}, val = ${values.val}, description = ${values.description},
        is_encrypted = ${values.is_encrypted}
      WHERE id = ${id} RETURNING id, team, key, val, description, is_encrypted`,
    'variable_update',
  );
  return rows[0] ?? null;
}

/** @returns whether there was one. Locks: that row. */
export async function deleteVariable(db: Db, id: number): Promise<boolean> {
  const rows = await db.query(sql`DELETE FROM variable WHERE id = ${id} RETURNING id`, 'variable_delete');
  return rows.length > 0;
}
