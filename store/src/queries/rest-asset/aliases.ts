import { type Db, type Sql, sql } from '../../database.ts';
import { type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleDags } from '../team/visible.ts';
import type { AliasRow } from './list.ts';
import { allOf } from './visible.ts';

const SELECT = sql`l.id, l.name, l.alias_group AS "group"`;
export const ALIAS_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`l.id`, type: 'int8' },
  name: { expr: sql`l.name`, type: 'text' },
};

/** Some Dag that names it is visible, or none does. */
function visibleAliases(visible: Visible): Sql[] {
  if (visible === 'all') return [];
  return [
    sql`(EXISTS (SELECT 1 FROM asset_reference v WHERE v.alias_id = l.id AND ${visibleDags(sql`v.dag_id`, visible)[0]!})
      OR NOT EXISTS (SELECT 1 FROM asset_reference v WHERE v.alias_id = l.id))`,
  ];
}

/** A page of aliases. Locks nothing. */
export async function listAliases(
  db: Db,
  query: {
    visible: Visible;
    pattern?: string;
    prefix?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: AliasRow[]; total: number }> {
  return listPage<AliasRow>(db, {
    select: SELECT,
    from: sql`asset_alias l`,
    where: [
      ...visibleAliases(query.visible),
      ...(query.pattern === undefined ? [] : [contains(sql`l.name`, query.pattern)]),
      ...(query.prefix === undefined ? [] : [startsWith(sql`l.name`, query.prefix)]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}

/** One alias. */
export async function getAlias(db: Db, visible: Visible, id: number): Promise<AliasRow | null> {
  const rows = await db.query<AliasRow>(
    sql`SELECT ${SELECT} FROM asset_alias l WHERE l.id = ${id} AND ${allOf(visibleAliases(visible))}`,
  );
  return rows[0] ?? null;
}
