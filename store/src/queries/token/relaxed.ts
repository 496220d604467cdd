import { type Sql, sql } from '../../database.ts';

/**
 * A CTE `relaxed` that makes the commit of its own statement not wait for the disk; join it (`FROM relaxed`) so that it
 * runs. For what is worth nothing after a crash of the database: heartbeats, uses of tokens, log sizes. Order and
 * visibility stay as always. @see PostgreSQL, synchronous_commit
 */
export const RELAXED: Sql = sql`relaxed AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true))`;

/** The same, but with `durable` the commit waits after all: the caller hands out what the statement stores. */
export function relaxedUnless(durable: boolean): Sql {
  return sql`relaxed AS MATERIALIZED (
    SELECT CASE WHEN NOT ${durable}::boolean THEN set_config('synchronous_commit', 'off', true) END)`;
}
