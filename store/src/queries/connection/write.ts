import { type Db, sql } from '../../database.ts';
import type { ConnectionRow } from './get.ts';

export type ConnectionValues = Omit<ConnectionRow, 'id'>;

const COLUMNS = sql`id, team, conn_id, conn_type, description, host, schema, login, password, port, extra, is_encrypted`;

/** Inserts one connection. @returns null when the id exists already (nothing changed). Locks: that row of `connection`. */
export async function insertConnection(db: Db, values: ConnectionValues): Promise<ConnectionRow | null> {
  const rows = await db.query<ConnectionRow>(
    sql`INSERT INTO connection (team, conn_id, conn_type, description, host, schema, login, password, port, extra, is_encrypted)
      VALUES (${values.team}, ${values.conn_id}, ${values.conn_type}, ${values.description}, ${values.host},
        ${values.schema}, ${values.login}, ${values.password}, ${values.port}, ${values.extra}, ${values.is_encrypted})
      ON CONFLICT (COALESCE(team, ''), conn_id) DO NOTHING
      RETURNING ${COLUMNS}`,
    'connection_insert',
  );
  return rows[0] ?? null;
}

/** Replaces every field but id and name. Locks: that row. @throws 23505 the new team has that name */
export async function updateConnection(db: Db, id: number, values: ConnectionValues): Promise<ConnectionRow | null> {
  const rows = await db.query<ConnectionRow>(
    sql`UPDATE connection SET team = ${values.team}, conn_type = ${values.conn_type}, description = ${values.description}, host = ${values.host},
        schema = ${values.schema}, login = ${values.login}, password = ${values.password}, port = ${values.port},
        extra = ${values.extra}, is_encrypted = ${values.is_encrypted}
      WHERE id = ${id} RETURNING ${COLUMNS}`,
    'connection_update',
  );
  return rows[0] ?? null;
}

/** @returns whether there was one. Locks: that row. */
export async function deleteConnection(db: Db, id: number): Promise<boolean> {
  const rows = await db.query(sql`DELETE FROM connection WHERE id = ${id} RETURNING id`, 'connection_delete');
  return rows.length > 0;
}
