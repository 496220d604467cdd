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
  readonly team: string | null;
  /** Epoch ms since which its task has been ready in its run. */
  readonly since_ms: number;
};

/**
 * What may be queued next, in the order of decision 27: teams in turn, by what each has active; in a team the highest priority
 * weight first, then Dags in turn, by what each has active, then oldest run-after, then map index. Runs, tasks and pools that
 * are full are left out, so that they never hide others behind them. Needs the schedule lock. Locks nothing.
 * Its cost follows what is scheduled and active, never history: partial indexes ti_scheduled and ti_active. Rows are counted in
 * groups of one task in one run, by windows, since the planner takes both sides for tiny and would compare each with each; rows
 * of a group are read only as far as they may be taken.
 * @param o.servedTeams teams that had a place, the latest last; '' = none. Of teams with equally much active, one not among them is first.
 * @param o.everyDag behind the first `limit` rows, the first row of every other Dag in every pool.
 */
export async function findCandidates(
  db: Db,
  o: { parallelism: number; limit: number; servedTeams: readonly string[]; everyDag: boolean },
): Promise<Candidate[]> {
  return db.query<Candidate>(
    sql`WITH active AS MATERIALIZED (
        SELECT dag_run_id, dag_id, team, task_id, pool, state, count(*)::integer AS n, sum(pool_slots)::integer AS slots
        FROM task_instance WHERE state IN ('queued', 'running', 'deferred', 'awaiting_input')
        GROUP BY dag_run_id, dag_id, team, task_id, pool, state
      ), total AS (
        SELECT ${o.parallelism}::integer - COALESCE(sum(n) FILTER (WHERE state IN ('queued', 'running')), 0)::integer AS room FROM active
      ), active_dags AS (SELECT dag_id, sum(n)::integer AS n FROM active WHERE state IN ('queued', 'running') GROUP BY dag_id
      ), active_teams AS (
        SELECT COALESCE(team, '') AS name, sum(n)::integer AS n FROM active WHERE state IN ('queued', 'running') GROUP BY name
      ), pools AS MATERIALIZED (
        SELECT p.name, p.team, CASE WHEN p.slots = -1 THEN 1000000000 ELSE p.slots END - COALESCE(sum(a.slots)
          FILTER (WHERE a.state IN ('queued', 'running') OR (a.state = 'deferred' AND p.include_deferred)), 0)::integer AS free
        FROM slot_pool p LEFT JOIN active a ON a.pool = p.name GROUP BY p.id
      ), both_kinds AS (
        SELECT t.dag_run_id, t.dag_id, t.team, t.task_id, t.pool, t.pool_slots, t.priority_weight, t.max_active_per_dag,
          t.max_active_per_run, true AS waits, min(t.scheduled_at) AS since, 0 AS in_run, 0 AS in_task
        FROM task_instance t, total WHERE t.state = 'scheduled' AND total.room > 0 AND t.pool IN (SELECT name FROM pools WHERE free > 0)
        GROUP BY t.dag_run_id, t.dag_id, t.team, t.task_id, t.pool, t.pool_slots, t.priority_weight, t.max_active_per_dag,
          t.max_active_per_run
        UNION ALL
        SELECT dag_run_id, dag_id, team, task_id, pool, 0, 0, NULL, NULL, false, NULL,
          CASE WHEN state IN ('queued', 'running') THEN n ELSE 0 END, n FROM active
      ), counted AS (
        SELECT b.*, sum(in_run) OVER (PARTITION BY dag_run_id)::integer AS of_run,
          max_active_per_dag - sum(in_task) OVER (PARTITION BY dag_id, task_id)::integer AS task_dag_left,
          max_active_per_run - sum(in_task) OVER (PARTITION BY dag_run_id, task_id)::integer AS task_run_left
        FROM both_kinds b
      ), open AS (
        SELECT c.*, r.run_after, p.free AS pool_free, d.max_active_tasks - c.of_run AS run_left,
          row_number() OVER (PARTITION BY c.dag_run_id ORDER BY c.priority_weight DESC, c.task_id) AS place_in_run
        FROM counted c
        -- By its key: the planner would go through all running runs for each group.
        CROSS JOIN LATERAL (SELECT state, run_after FROM dag_run WHERE id = c.dag_run_id OFFSET 0) r
        JOIN dag d ON d.dag_id = c.dag_id AND NOT d.is_paused AND NOT d.is_stale
        JOIN pools p ON p.name = c.pool AND (p.team IS NULL OR p.team = c.team) AND p.free >= c.pool_slots
        WHERE c.waits AND r.state = 'running' AND d.max_active_tasks > c.of_run AND COALESCE(c.task_dag_left, 1) > 0 AND COALESCE(c.task_run_left, 1) > 0
      ), of_dag AS (
        SELECT o.*, row_number() OVER (PARTITION BY dag_id, pool ORDER BY priority_weight DESC, run_after, dag_run_id, task_id) AS group_of_dag
        FROM open o WHERE place_in_run <= run_left
      ), of_team AS (
        SELECT d.*, row_number() OVER
          (PARTITION BY team ORDER BY priority_weight DESC, group_of_dag, run_after, dag_run_id, task_id, pool) AS group_of_team
        FROM of_dag d
      ), groups AS (
        SELECT t.*, row_number() OVER (ORDER BY group_of_team, priority_weight DESC, run_after, dag_run_id, task_id, pool) AS group_number
        FROM of_team t
      ), fitting AS (
        -- Each group has a row at least, so no more of them than rows can be needed.
        SELECT g.*, t.id, t.map_index, row_number() OVER
            (PARTITION BY g.dag_run_id ORDER BY g.priority_weight DESC, t.map_index, g.task_id) AS row_in_run
        FROM groups g CROSS JOIN LATERAL (
          SELECT t.id, t.map_index FROM task_instance t
          WHERE t.dag_run_id = g.dag_run_id AND t.task_id = g.task_id AND t.state = 'scheduled' AND t.pool = g.pool
            AND t.pool_slots = g.pool_slots AND t.priority_weight = g.priority_weight
          ORDER BY t.map_index
          LIMIT CASE WHEN g.group_number > ${o.limit} THEN 1
            ELSE LEAST(g.run_left, ${o.limit}::integer, COALESCE(g.task_dag_left, g.run_left), COALESCE(g.task_run_left, g.run_left)) END
        ) t
        WHERE g.group_number <= ${o.limit} OR (${o.everyDag}::boolean AND g.group_of_dag = 1)
      ), turn_of_dag AS (
        SELECT f.*, COALESCE(a.n, 0) + row_number() OVER
          (PARTITION BY f.dag_id ORDER BY priority_weight DESC, run_after, dag_run_id, map_index, task_id) AS dag_turn
        FROM fitting f LEFT JOIN active_dags a ON a.dag_id = f.dag_id WHERE row_in_run <= run_left
      ), turn_of_team AS (
        SELECT d.*, COALESCE(a.n, 0) + row_number() OVER
          (PARTITION BY d.team ORDER BY priority_weight DESC, dag_turn, run_after, dag_run_id, map_index, task_id) AS team_turn
        FROM turn_of_dag d LEFT JOIN active_teams a ON a.name = COALESCE(d.team, '')
      ), placed AS (
        SELECT t.*, row_number() OVER (ORDER BY team_turn, array_position(${o.servedTeams}::text[], COALESCE(team, '')) NULLS FIRST,
            priority_weight DESC, dag_turn, run_after, dag_run_id, map_index, task_id) AS place,
          row_number() OVER (PARTITION BY dag_id, pool ORDER BY dag_turn) AS place_for_pool
        FROM turn_of_team t
      )
      SELECT f.id, f.dag_run_id, f.dag_id, f.team, f.task_id, f.pool, f.pool_slots, f.max_active_per_dag, f.max_active_per_run,
        f.pool_free, total.room AS total_left, f.run_left, f.task_dag_left, f.task_run_left,
        (extract(epoch FROM f.since) * 1000)::float8 AS since_ms
      FROM placed f, total WHERE f.place <= ${o.limit} OR (${o.everyDag}::boolean AND f.place_for_pool = 1)
      ORDER BY f.place`,
    'schedule_candidates',
  );
}
