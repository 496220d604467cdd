import { type Db, type Sql, sql } from '../../database.ts';
import { listPage } from '../rest-list/compose.ts';
import { MAX_TASK_STATE_KEYS } from '../state-store/task.ts';

/** One task instance; `mapIndex` null = whichever indexes the task has. */
export type TaskPlace = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number | null;
};

/** `text`: the JSON text that was sent. */
export type TaskStateRow = {
  readonly key: string;
  readonly text: string;
  readonly updated_at: string;
  readonly expires_at: string | null;
};

const SELECT = sql`s.key, s.value::text AS text, s.updated_at, s.expires_at`;
const ofPlace = (place: TaskPlace): Sql => sql`s.dag_run_id = (SELECT id FROM dag_run WHERE dag_id = ${place.dagId}
    AND run_id = ${place.runId}) AND s.task_id = ${place.taskId}
  AND (${place.mapIndex}::integer IS NULL OR s.map_index = ${place.mapIndex}::integer)`;
const alive = (nowIso: string): Sql => sql`(s.expires_at IS NULL OR s.expires_at > ${nowIso}::timestamptz)`;

/** What a task instance keeps now, by key. Locks nothing. */
export async function listTaskState(
  db: Db,
  place: TaskPlace,
  page: { nowIso: string; limit: number; offset: number },
): Promise<{ rows: TaskStateRow[]; total: number }> {
  return listPage<TaskStateRow>(db, {
    select: SELECT,
    from: sql`task_state s`,
    where: [ofPlace(place), alive(page.nowIso)],
    order: [{ column: { expr: sql`s.key`, type: 'text' }, descending: false }],
    limit: page.limit,
    offset: page.offset,
  });
}

export async function getTaskState(
  db: Db,
  place: TaskPlace,
  key: string,
  nowIso: string,
): Promise<TaskStateRow | null> {
  const rows = await db.query<TaskStateRow>(
    sql`SELECT ${SELECT} FROM task_state s WHERE ${ofPlace(place)} AND s.key = ${key} AND ${alive(nowIso)}`,
    'rest_task_state_get',
  );
  return rows[0] ?? null;
}

/** Locks the row of the task instance against deletion, the first of them where no index is given. @returns whether there is one */
export async function lockTaskPlace(tx: Db, place: TaskPlace): Promise<boolean> {
  const rows = await tx.query(
    sql`SELECT 1 FROM task_instance WHERE dag_id = ${place.dagId} AND run_id = ${place.runId} AND task_id = ${place.taskId}
      AND (${place.mapIndex}::integer IS NULL OR map_index = ${place.mapIndex}::integer) ORDER BY map_index LIMIT 1
      FOR KEY SHARE`,
    'rest_task_state_place',
  );
  return rows.length > 0;
}

/** Stores one value. Needs the place locked. Locks: its row. @returns false = it has as many keys as it may */
export async function putTaskState(
  tx: Db,
  place: TaskPlace & { readonly mapIndex: number },
  entry: { readonly key: string; readonly text: string; readonly expiresAt: string | null; readonly nowIso: string },
): Promise<boolean> {
  const rows = await tx.query(
    sql`INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at, expires_at)
      SELECT r.id, ${place.taskId}, ${place.mapIndex}::integer, ${entry.key}, ${entry.text}::json,
        ${entry.nowIso}::timestamptz, ${entry.expiresAt}::timestamptz
      FROM dag_run r WHERE r.dag_id = ${place.dagId} AND r.run_id = ${place.runId}
        AND (SELECT count(*) FROM task_state s WHERE ${ofPlace(place)} AND s.key <> ${entry.key}) < ${MAX_TASK_STATE_KEYS}::integer
      ON CONFLICT (dag_run_id, task_id, map_index, key)
      DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at, expires_at = excluded.expires_at RETURNING 1`,
    'rest_task_state_put',
  );
  return rows.length > 0;
}

/** Removes one value, or with `key` null all of them; absent is fine. Locks: the rows. */
export async function removeTaskState(tx: Db, place: TaskPlace, key: string | null): Promise<void> {
  await tx.query(
    sql`DELETE FROM task_state s WHERE ${ofPlace(place)} AND (${key}::text IS NULL OR s.key = ${key}::text)`,
    'rest_task_state_remove',
  );
}
