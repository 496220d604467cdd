import { type Db, sql } from '../../database.ts';
import type { TaskInstanceKey, TaskInstanceRow } from './list.ts';

/** A try as history shows it: without id, note, rendered fields and dates of the run. */
export type TryRow = Omit<
  TaskInstanceRow,
  'id' | 'note' | 'rendered_fields' | 'rendered_map_index' | 'logical_date' | 'run_after'
>;

/**
 * All tries, ended ones first, then the current one; the latter is left out while it waits for a retry, and while it is the
 * same try as the newest ended one. Locks nothing.
 */
export async function listTries(db: Db, key: TaskInstanceKey): Promise<TryRow[]> {
  return db.query<TryRow>(
    sql`SELECT h.dag_id, d.display_name AS dag_display_name, h.run_id, h.task_id, h.map_index, h.start_date, h.end_date,
        h.duration, h.state, h.try_number, h.max_tries, h.task_display_name, h.hostname, h.unixname, h.pool, h.pool_slots,
        h.queue, h.priority_weight, h.operator, h.queued_at, h.scheduled_at, h.pid, h.executor, h.executor_config,
        h.dag_version_id
      FROM (
        SELECT 0 AS live, dag_id, run_id, task_id, map_index, start_date, end_date, duration, state, try_number, max_tries,
          task_display_name, hostname, unixname, pool, pool_slots, queue, priority_weight, operator, queued_at,
          scheduled_at, pid, executor, executor_config, dag_version_id
        FROM task_instance_history
        WHERE dag_run_id = (SELECT id FROM dag_run WHERE dag_id = ${key.dagId} AND run_id = ${key.runId})
          AND task_id = ${key.taskId} AND map_index = ${key.mapIndex}
        UNION ALL
        SELECT 1, dag_id, run_id, task_id, map_index, start_date, end_date, duration, state, try_number, max_tries,
          task_display_name, hostname, unixname, pool, pool_slots, queue, priority_weight, operator, queued_at,
          scheduled_at, pid, executor, executor_config, dag_version_id
        FROM task_instance
        WHERE dag_id = ${key.dagId} AND run_id = ${key.runId} AND task_id = ${key.taskId} AND map_index = ${key.mapIndex}
          AND state IS DISTINCT FROM 'up_for_retry'
      ) h JOIN dag d ON d.dag_id = h.dag_id
      ORDER BY h.try_number, h.live`,
    'rest_tries',
  );
}
