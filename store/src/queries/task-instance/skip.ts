import { type Db, sql } from '../../database.ts';
import { type CallerKey, type CallerRow, callerColumns, TOKENS_CLEARED } from '../token/caller.ts';

/**
 * Marks named task instances of the caller's own run as skipped, unless they run or have run. Unknown names are ignored.
 * Locks: the caller's row, then the named rows in the order of their ids, then (insert) event_log.
 * @returns null when there is no live row of the caller.
 * @see execution API 3.6
 */
export async function skipDownstream(
  db: Db,
  key: CallerKey,
  tasks: ReadonlyArray<{ readonly taskId: string; readonly mapIndex: number }>,
): Promise<CallerRow | null> {
  const rows = await db.query<CallerRow>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      wanted AS (
        SELECT s.id FROM c JOIN task_instance s ON s.dag_run_id = c.dag_run_id
        JOIN unnest(${tasks.map((task) => task.taskId)}::text[], ${tasks.map((task) => task.mapIndex)}::integer[])
          AS w (task_id, map_index) ON w.task_id = s.task_id AND w.map_index = s.map_index
        WHERE c.live AND s.id <> c.id AND (s.state IS NULL OR s.state NOT IN ('running', 'success', 'failed'))
        ORDER BY s.id FOR NO KEY UPDATE OF s
      ), u AS (
        UPDATE task_instance x SET state = 'skipped', start_date = ${key.nowIso}::timestamptz,
          end_date = ${key.nowIso}::timestamptz, duration = 0, updated_at = ${key.nowIso}::timestamptz, ${TOKENS_CLEARED}
        FROM wanted w WHERE x.id = w.id AND (x.state IS NULL OR x.state NOT IN ('running', 'success', 'failed'))
        RETURNING x.dag_run_id, x.dag_id, x.task_id, x.run_id, x.map_index, x.try_number
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner)
        SELECT ${key.nowIso}::timestamptz, 'skipped', u.dag_id, u.task_id, u.run_id, u.map_index, u.try_number, 'task' FROM u
      )
      SELECT c.*, (SELECT pg_notify('airlock', 'run ' || u.dag_run_id) FROM u LIMIT 1) AS notified FROM c`,
    'ti_skip_downstream',
  );
  return rows[0] ?? null;
}
