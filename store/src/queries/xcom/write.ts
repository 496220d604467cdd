import { type Db, type Sql, sql } from '../../database.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';
import { mayWriteXCom, type RightsContext, type XComTarget } from '../token/rights.ts';

type Place = XComTarget & { readonly mapIndex: number; readonly key: string };

export type XComWriteRow = CallerRow & {
  readonly allowed: boolean;
  readonly run_found: boolean;
  readonly written: boolean;
};

/**
 * Stores one value, replacing what was there, and, with `mappedLength`, how far a downstream task expands over it.
 * Locks: the caller's row, so that no write commits after the end of its try; then the xcom and task_map rows,
 * then (insert) event_log.
 * @param options.valueJson JSON text, kept as it is.
 * @returns null when there is no live row of the caller.
 */
export async function setXCom(
  db: Db,
  key: CallerKey,
  place: Place,
  options: { readonly valueJson: string; readonly dagResult: boolean; readonly mappedLength: number | null },
  rights: RightsContext,
): Promise<XComWriteRow | null> {
  const rows = await db.query<XComWriteRow>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      k AS (SELECT ${callerColumns(key)} FROM t),
      c AS (SELECT c.*, c.live AND ${mayWriteXCom(rights, place)} AS allowed FROM k c),
      r AS (SELECT d.id FROM c JOIN dag_run d ON d.dag_id = ${place.dagId} AND d.run_id = ${place.runId} WHERE c.allowed),
      i AS (SELECT r.id FROM r JOIN task_instance o ON o.dag_run_id = r.id AND o.task_id = ${place.taskId}
        AND o.map_index = ${place.mapIndex}::integer),
      w AS (
        INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, dag_result, at)
        SELECT i.id, ${place.taskId}, ${place.mapIndex}::integer, ${place.key}, ${place.dagId}, ${place.runId},
          ${options.valueJson}::json, ${options.dagResult}::boolean, ${key.nowIso}::timestamptz FROM i
        ON CONFLICT (dag_run_id, task_id, map_index, key)
        DO UPDATE SET value = excluded.value, dag_result = excluded.dag_result, at = excluded.at
        RETURNING dag_run_id
      ), m AS (
        INSERT INTO task_map (dag_run_id, task_id, map_index, length)
        SELECT i.id, ${place.taskId}, ${place.mapIndex}::integer, ${options.mappedLength}::integer FROM i
        WHERE ${options.mappedLength}::integer IS NOT NULL
        ON CONFLICT (dag_run_id, task_id, map_index) DO UPDATE SET length = excluded.length
      ), audit AS (${auditOfTry(key.nowIso, 'set_xcom', audited(place))} JOIN w ON true)
      SELECT c.*, r.id IS NOT NULL AS run_found, w.dag_run_id IS NOT NULL AS written
      FROM c LEFT JOIN r ON true LEFT JOIN w ON true`,
    'xcom_set',
  );
  return rows[0] ?? null;
}

/**
 * Removes one value; absent is fine. Locks: the caller's row, then the xcom row.
 * @returns null when there is no live row of the caller.
 */
export async function deleteXCom(
  db: Db,
  key: CallerKey,
  place: Place,
  rights: RightsContext,
): Promise<(CallerRow & { readonly allowed: boolean }) | null> {
  const rows = await db.query<CallerRow & { allowed: boolean }>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      k AS (SELECT ${callerColumns(key)} FROM t),
      c AS (SELECT c.*, c.live AND ${mayWriteXCom(rights, place)} AS allowed FROM k c),
      gone AS (DELETE FROM xcom v USING c, dag_run d WHERE c.allowed AND d.dag_id = ${place.dagId}
        AND d.run_id = ${place.runId} AND v.dag_run_id = d.id AND v.task_id = ${place.taskId}
        AND v.map_index = ${place.mapIndex}::integer AND v.key = ${place.key} RETURNING v.key),
      audit AS (${auditOfTry(key.nowIso, 'delete_xcom', audited(place))} JOIN gone ON true)
      SELECT c.* FROM c`,
    'xcom_delete',
  );
  return rows[0] ?? null;
}

/** What the audit log keeps of a write: where and under which key, not the value. */
const audited = (
  place: Place,
): Sql => sql`json_build_object('dag_id', ${place.dagId}::text, 'run_id', ${place.runId}::text,
  'task_id', ${place.taskId}::text, 'map_index', ${place.mapIndex}::integer, 'key', ${place.key}::text)::text`;

/** Stores several values of one task instance, as the server itself says. Needs its row locked. Locks: the xcom rows. @param values JSON texts */
export async function putXComsOf(
  tx: Db,
  of: {
    readonly dag_run_id: number;
    readonly dag_id: string;
    readonly run_id: string;
    readonly task_id: string;
    readonly map_index: number;
  },
  values: Readonly<Record<string, string>>,
  nowIso: string,
): Promise<void> {
  if (Object.keys(values).length === 0) return;
  await tx.query(
    sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      SELECT ${of.dag_run_id}::bigint, ${of.task_id}, ${of.map_index}::integer, v.key, ${of.dag_id}, ${of.run_id}, v.value::json,
        ${nowIso}::timestamptz FROM json_each_text(${JSON.stringify(values)}::json) v
      ON CONFLICT (dag_run_id, task_id, map_index, key) DO UPDATE SET value = excluded.value, at = excluded.at`,
    'xcom_put_all',
  );
}
