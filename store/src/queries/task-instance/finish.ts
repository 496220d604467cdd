import { type Db, sql } from '../../database.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import { type CallerKey, type CallerRow, callerColumns, TOKENS_CLEARED } from '../token/caller.ts';

export type FinishOptions = CallerKey & {
  readonly state: 'success' | 'failed' | 'skipped' | 'removed' | 'upstream_failed';
  readonly endDate: string;
  /** Null leaves the label as it is. */
  readonly renderedMapIndex: string | null;
};
export type FinishRow = CallerRow & { readonly finished: boolean };

/**
 * Ends a running try with a final state: row, tokens, audit record and event in one statement and one transaction.
 * Locks: the task_instance row, then (insert) event_log.
 * @returns null when there is no live row of this id; `finished` false when nothing was changed.
 * @see execution API 3.3; promise L1
 */
export async function finishTask(db: Db, o: FinishOptions): Promise<FinishRow | null> {
  const rows = await db.query<FinishRow>(
    sql`WITH t AS (
        SELECT * FROM task_instance WHERE id = ${o.id} FOR NO KEY UPDATE
      ), c AS (
        SELECT ${callerColumns(o)} FROM t
      ), u AS (
        UPDATE task_instance x SET state = ${o.state}, end_date = ${o.endDate}::timestamptz,
          duration = GREATEST(EXTRACT(EPOCH FROM ${o.endDate}::timestamptz - x.start_date), 0),
          rendered_map_index = COALESCE(${o.renderedMapIndex}::text, x.rendered_map_index),
          next_method = NULL, next_kwargs = NULL, reported_jti = ${o.jti}, reported_as = ${o.state}, updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
        FROM c WHERE x.id = c.id AND c.live
        RETURNING x.dag_run_id
      ), audit AS (
        ${auditOfTry(o.nowIso, o.state)} JOIN u ON true
      )
      SELECT c.*, u.dag_run_id IS NOT NULL AS finished,
        CASE WHEN u.dag_run_id IS NOT NULL THEN pg_notify('airlock', 'run ' || u.dag_run_id) END AS notified
      FROM c LEFT JOIN u ON true`,
    'ti_finish',
  );
  return rows[0] ?? null;
}
