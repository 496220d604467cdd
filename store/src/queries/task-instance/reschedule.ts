import { type Db, sql } from '../../database.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import { type CallerKey, type CallerRow, callerColumns, TOKENS_CLEARED } from '../token/caller.ts';

export type RescheduleOptions = CallerKey & { readonly endDate: string; readonly rescheduleDate: string };

/**
 * Ends a stretch of a rescheduling sensor: id and try number stay, its tokens go. One statement, one transaction.
 * Locks: the task_instance row, then (insert) task_reschedule, event_log.
 * @returns null when there is no live row of this id; `finished` false when nothing was changed.
 * @see execution API 3.3, up_for_reschedule
 */
export async function rescheduleTask(
  db: Db,
  o: RescheduleOptions,
): Promise<(CallerRow & { readonly finished: boolean }) | null> {
  const rows = await db.query<CallerRow & { finished: boolean }>(
    sql`WITH t AS (
        SELECT * FROM task_instance WHERE id = ${o.id} FOR NO KEY UPDATE
      ), c AS (
        SELECT ${callerColumns(o)} FROM t
      ), u AS (
        UPDATE task_instance x SET state = 'up_for_reschedule', end_date = ${o.endDate}::timestamptz,
          duration = GREATEST(EXTRACT(EPOCH FROM ${o.endDate}::timestamptz - x.start_date), 0),
          reschedule_at = ${o.rescheduleDate}::timestamptz, next_method = NULL, next_kwargs = NULL,
          reported_jti = ${o.jti}, reported_as = 'up_for_reschedule', updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
        FROM c WHERE x.id = c.id AND c.live
        RETURNING x.id, x.dag_run_id
      ), poke AS (
        INSERT INTO task_reschedule (ti_id, start_date, end_date, reschedule_at)
        SELECT u.id, ${o.nowIso}::timestamptz, ${o.endDate}::timestamptz, ${o.rescheduleDate}::timestamptz FROM u
      ), audit AS (
        ${auditOfTry(o.nowIso, 'up_for_reschedule')} JOIN u ON true
      )
      SELECT c.*, u.dag_run_id IS NOT NULL AS finished,
        CASE WHEN u.dag_run_id IS NOT NULL THEN pg_notify('airlock', 'run ' || u.dag_run_id) END AS notified
      FROM c LEFT JOIN u ON true`,
    'ti_reschedule',
  );
  return rows[0] ?? null;
}
