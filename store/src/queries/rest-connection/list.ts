import { type Db, sql } from '../../database.ts';
import type { ConnectionRow } from '../connection/get.ts';
import { type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

const text = (expr: Column['expr']): Column => ({ expr, type: 'text' });
export const CONNECTION_ORDER: Readonly<Record<string, Column>> = {
  conn_id: text(sql`c.conn_id`),
  connection_id: text(sql`c.conn_id`),
  conn_type: text(sql`c.conn_type`),
  description: text(sql`c.description`),
  host: text(sql`c.host`),
  port: { expr: sql`c.port`, type: 'int8' },
  id: { expr: sql`c.id`, type: 'int8' },
  team_name: text(sql`c.team`),
};

/** A page of connections. Locks nothing. */
export async function listConnections(
  db: Db,
  query: {
    visible: Visible;
    idPattern?: string;
    idPrefix?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: ConnectionRow[]; total: number }> {
  return listPage<ConnectionRow>(db, {
    select: sql`c.id, c.team, c.conn_id, c.conn_type, c.description, c.host, c.schema, c.login, c.password, c.port,
      c.extra, c.is_encrypted`,
    from: sql`connection c`,
    where: [
      ...visibleIn(sql`c.team`, query.visible),
      ...(query.idPattern === undefined ? [] : [contains(sql`c.conn_id`, query.idPattern)]),
      ...(query.idPrefix === undefined ? [] : [startsWith(sql`c.conn_id`, query.idPrefix)]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}
