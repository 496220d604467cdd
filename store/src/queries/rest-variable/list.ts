import { type Db, sql } from '../../database.ts';
import { type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleIn } from '../team/visible.ts';
import type { VariableRow } from '../variable/get.ts';

const column = (expr: Column['expr'], type: Column['type'] = 'text'): Column => ({ expr, type });
export const VARIABLE_ORDER: Readonly<Record<string, Column>> = {
  key: column(sql`v.key`),
  id: column(sql`v.id`, 'int8'),
  _val: column(sql`v.val`),
  description: column(sql`v.description`),
  is_encrypted: column(sql`v.is_encrypted`, 'bool'),
  team_name: column(sql`v.team`),
};

/** A page of variables. Locks nothing. */
export async function listVariables(
  db: Db,
  query: {
    visible: Visible;
    keyPattern?: string;
    keyPrefix?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: VariableRow[]; total: number }> {
  return listPage<VariableRow>(db, {
    select: sql`v.id, v.team, v.key, v.val, v.description, v.is_encrypted`,
    from: sql`variable v`,
    where: [
      ...visibleIn(sql`v.team`, query.visible),
      ...(query.keyPattern === undefined ? [] : [contains(sql`v.key`, query.keyPattern)]),
      ...(query.keyPrefix === undefined ? [] : [startsWith(sql`v.key`, query.keyPrefix)]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}
