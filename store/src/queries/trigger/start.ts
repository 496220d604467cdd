import { type Db, sql } from '../../database.ts';

/** A try that begins with a wait. */
export type TriggerStart = {
  readonly dag_run_id: number;
  readonly task_id: string;
  readonly map_index: number;
  readonly classpath: string;
  /** As the document has them, where everybody who may see the Dag sees them: not sealed. */
  readonly kwargs: string;
  readonly next_method: string;
  readonly next_kwargs: object;
  /** Null = it waits for as long as it takes. */
  readonly timeout_seconds: number | null;
};

/**
 * Gives tries that were moved to `deferred` in this transaction what they wait for, and tells triggerers at its commit.
 * Locks: the task_instance rows, then (insert) trigger, event_log.
 */
export async function startTriggers(tx: Db, starts: readonly TriggerStart[], nowIso: string): Promise<void> {
  if (starts.length === 0) return;
  await tx.query(
    sql`WITH c AS (
        SELECT t.id, x.* FROM json_to_recordset(${JSON.stringify(starts)}::json) AS x (dag_run_id bigint, task_id text,
          map_index integer, classpath text, kwargs text, next_method text, next_kwargs json, timeout_seconds double precision)
        JOIN task_instance t ON t.dag_run_id = x.dag_run_id AND t.task_id = x.task_id AND t.map_index = x.map_index
          AND t.state = 'deferred' AND t.trigger_id IS NULL
      ), g AS (
        INSERT INTO trigger (ti_id, dag_run_id, classpath, kwargs, is_encrypted, from_document, created_at)
        SELECT c.id, c.dag_run_id, c.classpath, c.kwargs, false, true, ${nowIso}::timestamptz FROM c
        RETURNING id, ti_id
      ), u AS (
        UPDATE task_instance t SET trigger_id = g.id, next_method = c.next_method, next_kwargs = c.next_kwargs,
          trigger_timeout = ${nowIso}::timestamptz + make_interval(secs => c.timeout_seconds), start_date = ${nowIso}::timestamptz,
          end_date = NULL, duration = NULL, log_base = t.log_bytes
        FROM c JOIN g ON g.ti_id = c.id WHERE t.id = c.id
        RETURNING t.dag_id, t.task_id, t.run_id, t.map_index, t.try_number
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner)
        SELECT ${nowIso}::timestamptz, 'deferred', dag_id, task_id, run_id, map_index, try_number, 'scheduler' FROM u
      )
      SELECT pg_notify('airlock', 'trigger') FROM g LIMIT 1`,
    'trigger_start',
  );
}
