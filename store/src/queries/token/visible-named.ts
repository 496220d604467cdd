/** What a caller `c`, a row with its team, sees under a name: its team's own, else the shared one. */
import { type Sql, sql } from '../../database.ts';

/** The variable as JSON, or null. */
export const visibleVariable = (name: Sql): Sql => sql`(SELECT to_json(v) FROM variable v
  WHERE COALESCE(v.team, '') IN (COALESCE(c.team, ''), '') AND v.key = ${name} ORDER BY v.team NULLS LAST LIMIT 1)`;

/** The connection as JSON, or null. */
export const visibleConnection = (name: Sql): Sql => sql`(SELECT to_json(v) FROM connection v
  WHERE COALESCE(v.team, '') IN (COALESCE(c.team, ''), '') AND v.conn_id = ${name} ORDER BY v.team NULLS LAST LIMIT 1)`;
