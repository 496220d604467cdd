import { type Db, sql } from '../../database.ts';

/** A scheduled task instance that could be queued, with the room that is left in each of its limits. */
export type Candidate = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_id: string;
  readonly task_id: string;
  readonly pool: string;
  readonly pool_slots: number;
  readonly max_active_per_dag: number | null;
  readonly max_active_per_run: number | null;
  /** Free slots of the pool, and tasks that may still become active: in the deployment, in the run, of the task. */
  readonly pool_free: number;
  readonly total_left: number;
  readonly run_left: number;
  readonly task_dag_left: number | null;
  readonly task_run_left: number | null;
};

/**
 * What may be queued next: highest priority weight first, then oldest run-after, then map index. Runs, tasks and pools that
 * are full are left out, so that they never hide others behind them. Needs the schedule lock. Locks nothing.
 * Its cost follows what is scheduled and active, never history: partial indexes ti_scheduled and ti_active.
 */
export async function findCandidates(db: Db, o: { parallelism: number; limit: number }): Promise<Candidate[]> {
  return db.query<Candidate>(
    sql`WITH active AS MATERIALIZED (
        SELECT dag_run_id, dag_id, task_id, pool, pool_slots, state FROM task_instance
        WHERE state IN ('queued', 'running', 'deferred', 'awaiting_input')
      ), total AS (
        SELECT ${o.parallelism}::integer - count(*)::integer AS room FROM active WHERE state IN ('queued', 'running')
      ), of_run AS (
        SELECT dag_run_id, count(*)::integer AS n FROM active WHERE state IN ('queued', 'running') GROUP BY dag_run_id
      ), of_task AS (
        SELECT dag_run_id, task_id, count(*)::integer AS n FROM active GROUP BY dag_run_id, task_id
      ), of_dag_task AS (
        SELECT dag_id, task_id, count(*)::integer AS n FROM active GROUP BY dag_id, task_id
      ), pools AS (
        SELECT p.name, p.team, CASE WHEN p.slots = -1 THEN 1000000000 ELSE p.slots END - COALESCE(sum(a.pool_slots)
          FILTER (WHERE a.state IN ('queued', 'running') OR (a.state = 'deferred' AND p.include_deferred)), 0)::integer AS free
        FROM slot_pool p LEFT JOIN active a ON a.pool = p.name GROUP BY p.id
      ), open AS (
        SELECT t.id, t.dag_run_id, t.dag_id, t.task_id, t.pool, t.pool_slots, t.map_index, t.priority_weight, r.run_after,
          t.max_active_per_dag, t.max_active_per_run, p.free AS pool_free, d.max_active_tasks - COALESCE(n.n, 0) AS run_left,
          t.max_active_per_dag - COALESCE(dt.n, 0) AS task_dag_left, t.max_active_per_run - COALESCE(rt.n, 0) AS task_run_left,
          row_number() OVER (PARTITION BY t.dag_run_id, t.task_id ORDER BY t.map_index) AS place_in_task
        FROM task_instance t
        JOIN dag_run r ON r.id = t.dag_run_id AND r.state = 'running'
        JOIN dag d ON d.dag_id = t.dag_id AND NOT d.is_paused AND NOT d.is_stale
        JOIN pools p ON p.name = t.pool AND (p.team IS NULL OR p.team = t.team) AND p.free >= t.pool_slots
        LEFT JOIN of_run n ON n.dag_run_id = t.dag_run_id
        LEFT JOIN of_task rt ON rt.dag_run_id = t.dag_run_id AND rt.task_id = t.task_id
        LEFT JOIN of_dag_task dt ON dt.dag_id = t.dag_id AND dt.task_id = t.task_id
        CROSS JOIN total
        WHERE t.state = 'scheduled' AND total.room > 0 AND d.max_active_tasks > COALESCE(n.n, 0)
      ), fitting AS (
        SELECT o.*, row_number() OVER (PARTITION BY o.dag_run_id ORDER BY o.priority_weight DESC, o.map_index, o.task_id) AS place_in_run
        FROM open o WHERE o.place_in_task <= LEAST(COALESCE(o.task_dag_left, 1000000000), COALESCE(o.task_run_left, 1000000000))
      )
      SELECT f.id, f.dag_run_id, f.dag_id, f.task_id, f.pool, f.pool_slots, f.max_active_per_dag, f.max_active_per_run,
        f.pool_free, total.room AS total_left, f.run_left, f.task_dag_left, f.task_run_left
      FROM fitting f, total WHERE f.place_in_run <= f.run_left
      ORDER BY f.priority_weight DESC, f.run_after, f.dag_run_id, f.map_index, f.task_id LIMIT ${o.limit}`,
    'schedule_candidates',
  );
}

/**
 * Moves scheduled rows to queued and wakes whoever hands out work when the transaction commits. Needs the schedule lock.
 * Locks: the task_instance rows. @returns how many were moved.
 */
export async function queueTaskInstances(
  db: Db,
  ids: readonly string[],
  o: { nowIso: string; queuedBy: string },
): Promise<number> {
  if (ids.length === 0) return 0;
  const rows = await db.query<{ n: number }>(
    sql`WITH moved AS (
        UPDATE task_instance t SET state = 'queued', queued_at = ${o.nowIso}::timestamptz, queued_by = ${o.queuedBy}::uuid,
          updated_at = ${o.nowIso}::timestamptz
        WHERE t.id = ANY(${ids}::uuid[]) AND t.state = 'scheduled' RETURNING 1
      ), counted AS (SELECT count(*)::integer AS n FROM moved)
      SELECT n, CASE WHEN n > 0 THEN pg_notify('airlock', 'queue') END AS notified FROM counted`,
    'schedule_queue',
  );
  return rows[0]!.n;
}
