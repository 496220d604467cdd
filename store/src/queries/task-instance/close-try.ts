import { type Db, sql } from '../../database.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

/** A try that ends without success and whose row goes on under a new id. */
export type ClosedTry = {
  readonly id: string;
  /** UUIDv7 of what follows. */
  readonly new_id: string;
  /** State of the row from now on: null, `restarting` or `up_for_retry`. */
  readonly to_state: string | null;
  readonly retry_at: string | null;
  /** New budget; null = as it is. */
  readonly max_tries: number | null;
  /** What its worker reported; null = the server or a user ended it. */
  readonly reported_state: string | null;
  readonly end_date: string;
  readonly retry_delay_override: number | null;
  readonly retry_reason: string | null;
};

/**
 * Archives tries under their ids and gives their rows new ones, so that every token of theirs names nothing that is alive.
 * An unfinished try is recorded as failed; one that is recorded already, because its row waited for the next, stays as it is. The archived row remembers who held it, who may still be
 * running it (restarting) and will say when it has ended. Locks: the task_instance rows.
 * @returns the rows that were closed: old and new id, run.
 */
export async function closeTries(
  db: Db,
  tries: readonly ClosedTry[],
  nowIso: string,
): Promise<{ id: string; new_id: string; dag_run_id: number }[]> {
  if (tries.length === 0) return [];
  // As a parameter, and not only as rows of the JSON text: its length is known to the planner, which then uses the indexes.
  const ids = tries.map((closed) => closed.id);
  return db.query(
    sql`WITH c AS (
        SELECT * FROM json_to_recordset(${JSON.stringify(tries)}::json) AS x (id uuid, new_id uuid, to_state text,
          retry_at timestamptz, max_tries integer, reported_state text, end_date timestamptz,
          retry_delay_override double precision, retry_reason text)
      ), old AS (
        SELECT t.* FROM task_instance t WHERE t.id = ANY(${ids}::uuid[]) ORDER BY t.id FOR UPDATE
      ), archived AS (
        INSERT INTO task_instance_history (id, dag_run_id, dag_id, run_id, task_id, map_index, team, dag_version_id, state,
          try_number, max_tries, operator, task_display_name, pool, pool_slots, queue, priority_weight, executor,
          executor_config, scheduled_at, queued_at, start_date, end_date, duration, hostname, unixname, pid,
          retry_delay_override, retry_reason, reported_state, supervisor_id, rendered_map_index)
        SELECT o.id, o.dag_run_id, o.dag_id, o.run_id, o.task_id, o.map_index, o.team, o.dag_version_id,
          CASE WHEN o.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed') THEN o.state ELSE 'failed' END,
          o.try_number, o.max_tries, o.operator, o.task_display_name, o.pool, o.pool_slots, o.queue, o.priority_weight,
          o.executor, o.executor_config, o.scheduled_at, o.queued_at, o.start_date, COALESCE(o.end_date, c.end_date),
          COALESCE(o.duration, GREATEST(EXTRACT(EPOCH FROM c.end_date - o.start_date), 0)), o.hostname, o.unixname, o.pid,
          c.retry_delay_override, c.retry_reason, c.reported_state, o.supervisor_id, o.rendered_map_index
        FROM old o JOIN c ON c.id = o.id
        WHERE NOT EXISTS (SELECT 1 FROM task_instance_history h WHERE h.dag_run_id = o.dag_run_id AND h.task_id = o.task_id
          AND h.map_index = o.map_index AND h.try_number = o.try_number)
      ), pokes AS (
        DELETE FROM task_reschedule WHERE ti_id = ANY(${ids}::uuid[])
      )
      UPDATE task_instance t SET id = c.new_id, state = c.to_state, retry_at = c.retry_at, reschedule_at = NULL,
        max_tries = COALESCE(c.max_tries, t.max_tries), retry_delay_override = c.retry_delay_override,
        retry_reason = c.retry_reason, queue_attempts = 0, log_bytes = 0, log_base = 0,
        next_method = NULL, next_kwargs = NULL, trigger_id = NULL, trigger_timeout = NULL,
        start_date = CASE WHEN c.to_state = 'up_for_retry' THEN t.start_date END,
        end_date = CASE WHEN c.to_state = 'up_for_retry' THEN c.end_date END,
        duration = CASE WHEN c.to_state = 'up_for_retry'
          THEN GREATEST(EXTRACT(EPOCH FROM c.end_date - t.start_date), 0) END,
        scheduled_at = NULL, queued_at = NULL, queued_by = NULL, last_heartbeat_at = NULL,
        updated_at = ${nowIso}::timestamptz, ${TOKENS_CLEARED}
      FROM c JOIN old o ON o.id = c.id WHERE t.id = c.id
      RETURNING c.id, c.new_id, t.dag_run_id`,
    'ti_close_tries',
  );
}
