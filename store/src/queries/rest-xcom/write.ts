import { type Db, sql } from '../../database.ts';

export type XComPlace = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly key: string;
};

/**
 * Adds one value, as JSON text. Locks: the task instance's row against deletion, then the new row.
 * @returns false when there is no such task instance. @throws 23505 the key is there already
 */
export async function insertXCom(db: Db, place: XComPlace, valueJson: string, nowIso: string): Promise<boolean> {
  const rows = await db.query(
    sql`WITH t AS (SELECT dag_run_id FROM task_instance WHERE dag_id = ${place.dagId} AND run_id = ${place.runId}
        AND task_id = ${place.taskId} AND map_index = ${place.mapIndex} FOR KEY SHARE)
      INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      SELECT t.dag_run_id, ${place.taskId}, ${place.mapIndex}::integer, ${place.key}, ${place.dagId}, ${place.runId},
        ${valueJson}::json, ${nowIso}::timestamptz FROM t RETURNING 1`,
    'rest_xcom_insert',
  );
  return rows.length > 0;
}

/** Replaces one value. Locks: its row. @returns whether it is there */
export async function updateXCom(db: Db, place: XComPlace, valueJson: string, nowIso: string): Promise<boolean> {
  const rows = await db.query(
    sql`UPDATE xcom x SET value = ${valueJson}::json, at = ${nowIso}::timestamptz FROM dag_run r
      WHERE r.dag_id = ${place.dagId} AND r.run_id = ${place.runId} AND x.dag_run_id = r.id AND x.task_id = ${place.taskId}
        AND x.map_index = ${place.mapIndex} AND x.key = ${place.key} RETURNING 1`,
    'rest_xcom_update',
  );
  return rows.length > 0;
}

/** Removes one value. Locks: its row. @returns whether it was there */
export async function removeXCom(db: Db, place: XComPlace): Promise<boolean> {
  const rows = await db.query(
    sql`DELETE FROM xcom x USING dag_run r
      WHERE r.dag_id = ${place.dagId} AND r.run_id = ${place.runId} AND x.dag_run_id = r.id AND x.task_id = ${place.taskId}
        AND x.map_index = ${place.mapIndex} AND x.key = ${place.key} RETURNING 1`,
    'rest_xcom_remove',
  );
  return rows.length > 0;
}
