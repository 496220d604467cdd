import { type Db, sql } from '../../database.ts';
import { type CallerKey, type CallerRow, callerColumns, TOKENS_CLEARED } from '../token/caller.ts';

export type DeferOptions = CallerKey & {
  readonly classpath: string;
  /** As it is stored: sealed when `encrypted`. */
  readonly kwargs: string;
  readonly encrypted: boolean;
  readonly queue: string | null;
  readonly nextMethod: string;
  /** JSON text. */
  readonly nextKwargs: string;
  /** Null = it waits for as long as it takes. */
  readonly timeoutAt: string | null;
};

/**
 * Ends a stretch: the try waits for a trigger, its id and number stay, its tokens go. What its triggerer logs begins where
 * the log ends now. One statement, one transaction. Locks: the task_instance row, then (insert) trigger, event_log.
 * @returns null when there is no live row of this id; `finished` false when nothing was changed.
 * @see execution API 3.3, deferred
 */
export async function deferTask(db: Db, o: DeferOptions): Promise<(CallerRow & { readonly finished: boolean }) | null> {
  const rows = await db.query<CallerRow & { finished: boolean }>(
    sql`WITH t AS (
        SELECT * FROM task_instance WHERE id = ${o.id} FOR NO KEY UPDATE
      ), c AS (
        SELECT ${callerColumns(o)} FROM t
      ), g AS (
        INSERT INTO trigger (ti_id, dag_run_id, classpath, kwargs, is_encrypted, queue, created_at)
        SELECT c.id, c.dag_run_id, ${o.classpath}, ${o.kwargs}, ${o.encrypted}::boolean, ${o.queue}::text, ${o.nowIso}::timestamptz
        FROM c WHERE c.live RETURNING id
      ), u AS (
        UPDATE task_instance x SET state = 'deferred', trigger_id = g.id, next_method = ${o.nextMethod},
          next_kwargs = ${o.nextKwargs}::json, trigger_timeout = ${o.timeoutAt}::timestamptz, log_base = x.log_bytes,
          reported_jti = ${o.jti}, reported_as = 'deferred', updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
        FROM c, g WHERE x.id = c.id
        RETURNING x.id, x.dag_run_id
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner)
        SELECT ${o.nowIso}::timestamptz, 'deferred', c.dag_id, c.task_id, c.run_id, c.map_index, c.try_number, 'task'
        FROM c JOIN u ON true
      )
      SELECT c.*, u.dag_run_id IS NOT NULL AS finished,
        CASE WHEN u.dag_run_id IS NOT NULL THEN pg_notify('airlock', 'run ' || u.dag_run_id) END AS notified,
        CASE WHEN u.dag_run_id IS NOT NULL THEN pg_notify('airlock', 'trigger') END AS offered
      FROM c LEFT JOIN u ON true`,
    'trigger_defer',
  );
  return rows[0] ?? null;
}
