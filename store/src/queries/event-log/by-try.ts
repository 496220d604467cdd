import { type Sql, sql } from '../../database.ts';

/**
 * The audit row of what a try does, as the beginning of a part of the statement that does it: the caller's row is `c` there.
 * What follows may say when it is written, such as `JOIN w ON true`.
 */
export function auditOfTry(nowIso: string, event: string, extra: Sql = sql`NULL`): Sql {
  return sql`INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner, extra)
    SELECT ${nowIso}::timestamptz, ${event}, c.dag_id, c.task_id, c.run_id, c.map_index, c.try_number, 'task', ${extra} FROM c`;
}
