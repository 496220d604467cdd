import { type Db, sql } from '../../database.ts';
import type { TaskInstanceKey } from './list.ts';

/**
 * Removes one task instance of a locked run with its earlier tries and what it has published; its tokens name nothing from
 * then on. Locks: the rows that go. @returns whether it was there
 */
export async function removeTaskInstance(
  db: Db,
  dagRunId: number,
  { taskId, mapIndex }: Pick<TaskInstanceKey, 'taskId' | 'mapIndex'>,
): Promise<boolean> {
  const rows = await db.query<{ id: string }>(
    sql`WITH t AS (DELETE FROM task_instance WHERE dag_run_id = ${dagRunId} AND task_id = ${taskId}
        AND map_index = ${mapIndex} RETURNING id),
      h AS (DELETE FROM task_instance_history x USING t WHERE x.dag_run_id = ${dagRunId} AND x.task_id = ${taskId}
        AND x.map_index = ${mapIndex}),
      v AS (DELETE FROM xcom x USING t WHERE x.dag_run_id = ${dagRunId} AND x.task_id = ${taskId}
        AND x.map_index = ${mapIndex}),
      m AS (DELETE FROM task_map x USING t WHERE x.dag_run_id = ${dagRunId} AND x.task_id = ${taskId}
        AND x.map_index = ${mapIndex})
      SELECT id FROM t`,
    'rest_ti_remove',
  );
  return rows.length > 0;
}
