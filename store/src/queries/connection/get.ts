import { type Db, join, sql } from '../../database.ts';
import { type Named, namedIn } from '../team/visible.ts';

export type ConnectionRow = {
  readonly id: number;
  readonly team: string | null;
  readonly conn_id: string;
  readonly conn_type: string;
  readonly description: string | null;
  readonly host: string | null;
  readonly schema: string | null;
  readonly login: string | null;
  /** Sealed when `is_encrypted`. */
  readonly password: string | null;
  readonly port: number | null;
  /** JSON text; sealed when `is_encrypted`. */
  readonly extra: string | null;
  readonly is_encrypted: boolean;
};

/** $1 team ('' = none), $2 connection id. A team's own connection wins over a shared one. Locks nothing. */
export async function getConnection(
  db: Db,
  which: { team: string | null; connId: string },
): Promise<ConnectionRow | null> {
  const rows = await db.query<ConnectionRow>(
    sql`SELECT id, team, conn_id, conn_type, description, host, schema, login, password, port, extra, is_encrypted
      FROM connection WHERE COALESCE(team, '') IN (${which.team ?? ''}, '') AND conn_id = ${which.connId}
      ORDER BY team NULLS LAST LIMIT 1`,
    'connection_get',
  );
  return rows[0] ?? null;
}

/** The connection that a REST caller means by this id. Locks nothing. */
export async function findConnection(db: Db, connId: string, named: Named): Promise<ConnectionRow | null> {
  const where = join([sql`conn_id = ${connId}`, ...namedIn(sql`team`, named)], ' AND ');
  const rows = await db.query<ConnectionRow>(
    sql`SELECT id, team, conn_id, conn_type, description, host, schema, login, password, port, extra, is_encrypted
      FROM connection WHERE ${where} ORDER BY team NULLS LAST LIMIT 1`,
  );
  return rows[0] ?? null;
}
