/** What a task instance keeps over its tries: under run, task and map index, not under the try. @see execution API 3.15 */
import { type Db, type Sql, sql } from '../../database.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';

/** Keys that one task instance may have. */
export const MAX_TASK_STATE_KEYS = 1000;

/** One value as the JSON text that was sent; null = none, or its time is over. Locks nothing. */
export async function readTaskState(
  db: Db,
  key: CallerKey,
  name: string,
): Promise<With<{ readonly text: string } | null> | null> {
  return await readForCaller<{ readonly text: string } | null>(db, key, {
    name: 'task_state_get',
    value: sql`(SELECT json_build_object('text', s.value::text) FROM task_state s WHERE s.dag_run_id = c.dag_run_id
      AND s.task_id = c.task_id AND s.map_index = c.map_index AND s.key = ${name}
      AND (s.expires_at IS NULL OR s.expires_at > ${key.nowIso}::timestamptz))`,
  });
}

/**
 * Stores one value. Locks: the caller's row, so that nothing is stored after the end of its try; then the value.
 * @param entry.bodyJson an object whose `value` is what is kept, to the letter
 * @returns null when there is no live row of the caller; `stored` false = it has as many keys as it may
 */
export async function putTaskState(
  db: Db,
  key: CallerKey,
  entry: { readonly name: string; readonly bodyJson: string; readonly expiresAt: string | null },
): Promise<(CallerRow & { readonly stored: boolean }) | null> {
  const rows = await db.query<CallerRow & { stored: boolean }>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      w AS (
        INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at, expires_at)
        SELECT c.dag_run_id, c.task_id, c.map_index, ${entry.name}, ${entry.bodyJson}::json -> 'value',
          ${key.nowIso}::timestamptz, ${entry.expiresAt}::timestamptz
        FROM c WHERE c.live AND (SELECT count(*) FROM task_state s WHERE s.dag_run_id = c.dag_run_id
          AND s.task_id = c.task_id AND s.map_index = c.map_index AND s.key <> ${entry.name}) < ${MAX_TASK_STATE_KEYS}::integer
        ON CONFLICT (dag_run_id, task_id, map_index, key)
        DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, expires_at = excluded.expires_at
        RETURNING key
      ), audit AS (${auditOfTry(key.nowIso, 'set_task_state_store', keyOf(entry.name))} JOIN w ON true)
      SELECT c.*, EXISTS (SELECT 1 FROM w) AS stored FROM c`,
    'task_state_put',
  );
  return rows[0] ?? null;
}

/** Which key was written; never the value. */
const keyOf = (name: string | null): Sql =>
  name === null ? sql`NULL` : sql`json_build_object('key', ${name}::text)::text`;

/** Removes one value, or with `name` null all of them; absent is fine. Locks as above. @returns null when the caller is gone */
export async function deleteTaskState(db: Db, key: CallerKey, name: string | null): Promise<CallerRow | null> {
  const rows = await db.query<CallerRow>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      gone AS (DELETE FROM task_state s USING c WHERE c.live AND s.dag_run_id = c.dag_run_id AND s.task_id = c.task_id
        AND s.map_index = c.map_index AND (${name}::text IS NULL OR s.key = ${name}::text) RETURNING s.key),
      audit AS (${auditOfTry(key.nowIso, name === null ? 'clear_task_state_store' : 'delete_task_state_store', keyOf(name))}
        WHERE EXISTS (SELECT 1 FROM gone))
      SELECT c.* FROM c`,
    name === null ? 'task_state_clear_for_try' : 'task_state_delete',
  );
  return rows[0] ?? null;
}

/** Removes all that a task instance keeps, whoever asks. Locks: the values. */
export async function clearTaskState(
  tx: Db,
  of: { readonly dagRunId: number; readonly taskId: string; readonly mapIndex: number },
): Promise<void> {
  await tx.query(
    sql`DELETE FROM task_state WHERE dag_run_id = ${of.dagRunId} AND task_id = ${of.taskId}
      AND map_index = ${of.mapIndex}::integer`,
    'task_state_clear',
  );
}
