/** How deferred tries go on. @see scheduling semantics 7.4 */
import { type Db, sql } from '../../database.ts';

export type DeferredTry = {
  readonly id: string;
  readonly trigger_id: number;
  readonly dag_run_id: number;
  readonly task_id: string;
  readonly map_index: number;
  readonly dag_id: string;
  readonly run_id: string;
  /** JSON text. */
  readonly next_kwargs: string | null;
};

/**
 * The try that waits for a trigger which this triggerer runs. Locks: its row.
 * @returns null when it goes on already, or the trigger is another's: of all that is reported of a trigger one word counts.
 */
export async function lockDeferredBy(
  tx: Db,
  o: { readonly triggerId: number; readonly supervisorId: string },
): Promise<DeferredTry | null> {
  const rows = await tx.query<DeferredTry>(
    sql`SELECT t.id, t.trigger_id, t.dag_run_id, t.task_id, t.map_index, t.dag_id, t.run_id,
        t.next_kwargs::text AS next_kwargs
      FROM task_instance t JOIN trigger g ON g.id = t.trigger_id AND g.ti_id = t.id
      WHERE t.trigger_id = ${o.triggerId}::bigint AND t.state = 'deferred' AND g.supervisor_id = ${o.supervisorId}::uuid
      FOR NO KEY UPDATE OF t`,
    'trigger_lock',
  );
  return rows[0] ?? null;
}

/** Tries whose trigger has had its time. Locks: their rows; those that somebody else holds are skipped. */
export async function lockOverdueDeferred(tx: Db, o: { nowIso: string; limit: number }): Promise<DeferredTry[]> {
  return tx.query<DeferredTry>(
    sql`SELECT id, trigger_id, dag_run_id, task_id, map_index, dag_id, run_id, next_kwargs::text AS next_kwargs FROM task_instance
      WHERE state = 'deferred' AND trigger_timeout <= ${o.nowIso}::timestamptz
      ORDER BY trigger_timeout, id LIMIT ${o.limit} FOR NO KEY UPDATE SKIP LOCKED`,
    'trigger_overdue',
  );
}

/** Puts tries back to scheduled, in the same try, with what they go on with. Needs their rows locked. Sends the events. */
export async function resumeDeferred(
  tx: Db,
  tries: ReadonlyArray<{
    readonly id: string;
    /** Null = the method that the task named. */
    readonly method: string | null;
    readonly kwargs: object;
  }>,
  nowIso: string,
): Promise<void> {
  if (tries.length === 0) return;
  await tx.query(
    sql`WITH u AS (
        UPDATE task_instance t SET state = 'scheduled', next_method = COALESCE(x.method, t.next_method),
          next_kwargs = x.kwargs, trigger_id = NULL, trigger_timeout = NULL,
          scheduled_at = ${nowIso}::timestamptz, updated_at = ${nowIso}::timestamptz
        FROM json_to_recordset(${JSON.stringify(tries)}::json) AS x (id uuid, method text, kwargs json)
        WHERE t.id = x.id AND t.state = 'deferred'
        RETURNING t.id, t.dag_run_id, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number
      ), gone AS (
        DELETE FROM trigger g USING u WHERE g.ti_id = u.id AND g.dag_run_id = u.dag_run_id
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner)
        SELECT ${nowIso}::timestamptz, 'resumed', dag_id, task_id, run_id, map_index, try_number, 'trigger' FROM u
      )
      SELECT pg_notify('airlock', 'run ' || r.dag_run_id) FROM (SELECT DISTINCT dag_run_id FROM u) r`,
    'trigger_resume',
  );
}

/** Ends a deferred try that needs no worker any more. Needs its row locked. Sends the event of its run. */
export async function endDeferred(
  tx: Db,
  o: { readonly id: string; readonly state: 'success' | 'skipped'; readonly nowIso: string },
): Promise<void> {
  await tx.query(
    sql`WITH u AS (
        UPDATE task_instance t SET state = ${o.state}, end_date = ${o.nowIso}::timestamptz,
          duration = GREATEST(EXTRACT(EPOCH FROM ${o.nowIso}::timestamptz - t.start_date), 0),
          next_method = NULL, next_kwargs = NULL, trigger_id = NULL, trigger_timeout = NULL, updated_at = ${o.nowIso}::timestamptz
        WHERE t.id = ${o.id} AND t.state = 'deferred'
        RETURNING t.id, t.dag_run_id, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number
      ), gone AS (
        DELETE FROM trigger g USING u WHERE g.ti_id = u.id AND g.dag_run_id = u.dag_run_id
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner)
        SELECT ${o.nowIso}::timestamptz, ${o.state}, dag_id, task_id, run_id, map_index, try_number, 'trigger' FROM u
      )
      SELECT pg_notify('airlock', 'run ' || dag_run_id) FROM u`,
    'trigger_end',
  );
}

/** Removes triggers for which nobody waits any more, and those of assets that no Dag names. Locks: the rows. */
export async function sweepTriggers(db: Db, limit: number): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM trigger WHERE id IN (
        SELECT g.id FROM trigger g WHERE NOT EXISTS (SELECT 1 FROM task_instance t
          WHERE t.trigger_id = g.id AND t.id = g.ti_id AND t.state = 'deferred')
          AND NOT EXISTS (SELECT 1 FROM asset_watcher w WHERE w.trigger_id = g.id)
        ORDER BY g.id LIMIT ${limit} FOR UPDATE SKIP LOCKED) RETURNING id`,
    'trigger_sweep',
  );
  return rows.length;
}
