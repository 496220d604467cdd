import { type Db, sql } from '../../database.ts';
import { CONSUMED_EVENTS, type ConsumedEvent } from '../asset/consumed.ts';
import { RUN_FACTS, type RunFacts } from '../dag-run/facts.ts';
import { liveCondition } from '../token/caller.ts';

export type StartOptions = {
  readonly id: string;
  /** `jti` and kind of the token that asks. */
  readonly jti: string;
  readonly kind: 'workload' | 'execution';
  /** The workload token is another scheduler's: it takes a queued try that no worker of ours holds. */
  readonly adopts: boolean;
  /** Names the asking process: its proof key, or else host, user and pid. */
  readonly processKey: string;
  readonly hostname: string;
  readonly unixname: string;
  readonly pid: number;
  readonly startDate: string;
  readonly nowIso: string;
  /** Exchanges before this instant can't be repeated. */
  readonly repeatableSinceIso: string;
  /** `jti` of the execution token, if this is the exchange. */
  readonly executionJti: string;
  /** Grace on top of the task's own time limit, and the limit of every stretch, seconds. */
  readonly graceSeconds: number;
  readonly maxStretchSeconds: number;
};

export type StartRow = {
  /** `start`: bought now; `repeat`: the same process asks again; `again`: with its execution token; null = refused. */
  readonly outcome: 'start' | 'repeat' | 'again' | null;
  readonly previous_state: string | null;
  readonly execution_jti: string | null;
  readonly exchanged_at: string | null;
  readonly deadline_at: string | null;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly max_tries: number;
  readonly dag_run_id: number;
  readonly runtime: string;
  readonly next_method: string | null;
  /** JSON text. */
  readonly next_kwargs: string | null;
  readonly first_start_date: string | null;
  readonly reschedule_count: number;
  readonly xcom_keys: string[];
  readonly run: RunFacts;
  /** Asset events that made the run. */
  readonly consumed: ConsumedEvent[];
  readonly team: string | null;
};

/**
 * Moves a queued try to running and buys its execution token, or recognises a repeat, and reads all that the child is told:
 * one statement, one transaction. Values of an earlier try are removed where our own supervisor starts it, which would otherwise
 * ask for each and delete it. Locks: the task_instance row, then the values, then (insert) event_log.
 * @returns null when there is no live row of this id.
 * @see execution API 3.2; promise L5
 */
export async function startTask(db: Db, o: StartOptions): Promise<StartRow | null> {
  const rows = await db.query<StartRow>(
    sql`WITH t AS (
        SELECT * FROM task_instance WHERE id = ${o.id} FOR NO KEY UPDATE
      ), c AS (
        SELECT t.*, CASE
          WHEN ${o.kind} = 'workload' AND (t.workload_jti = ${o.jti} OR ${o.adopts} AND t.workload_jti IS NULL)
            AND t.state IN ('queued', 'restarting') AND t.exchanged_at IS NULL THEN 'start'
          WHEN ${o.kind} = 'workload' AND t.workload_jti = ${o.jti} AND t.state = 'running' AND NOT t.execution_confirmed
            AND t.exchange_key = ${o.processKey} AND t.exchanged_at > ${o.repeatableSinceIso}::timestamptz THEN 'repeat'
          WHEN ${o.kind} = 'execution' AND ${liveCondition(o)} AND t.hostname = ${o.hostname}
            AND t.unixname = ${o.unixname} AND t.pid = ${o.pid} THEN 'again'
        END AS outcome FROM t
      ), u AS (
        UPDATE task_instance x SET
          state = 'running', hostname = ${o.hostname}, unixname = ${o.unixname}, pid = ${o.pid}::integer,
          last_heartbeat_at = ${o.nowIso}::timestamptz, updated_at = ${o.nowIso}::timestamptz,
          end_date = NULL, duration = NULL, retry_at = NULL, retry_delay_override = NULL, retry_reason = NULL, queue_attempts = 0,
          start_date = CASE WHEN COALESCE(c.next_kwargs::text, '{}') IN ('{}', 'null') OR c.start_date IS NULL
            THEN ${o.startDate}::timestamptz ELSE c.start_date END,
          exchanged_at = CASE WHEN c.outcome = 'start' THEN ${o.nowIso}::timestamptz ELSE c.exchanged_at END,
          workload_jti = CASE WHEN c.outcome = 'start' THEN ${o.jti} ELSE c.workload_jti END,
          exchange_key = CASE WHEN c.outcome = 'start' THEN ${o.processKey} ELSE c.exchange_key END,
          execution_jti = CASE WHEN c.outcome = 'start' THEN ${o.executionJti} ELSE c.execution_jti END,
          execution_confirmed = c.outcome = 'again',
          execution_jti_next = CASE WHEN c.outcome = 'again' THEN c.execution_jti_next END,
          execution_jti_prev = CASE WHEN c.outcome = 'again' THEN c.execution_jti_prev END,
          log_base = CASE WHEN c.outcome = 'start' THEN c.log_bytes ELSE c.log_base END,
          deadline_at = CASE WHEN c.outcome = 'start' THEN ${o.nowIso}::timestamptz + make_interval(secs => LEAST(
            COALESCE(c.execution_timeout_seconds + ${o.graceSeconds}::double precision, ${o.maxStretchSeconds}::double precision),
            ${o.maxStretchSeconds}::double precision)) ELSE c.deadline_at END
        FROM c WHERE x.id = c.id AND c.outcome IS NOT NULL
        RETURNING x.execution_jti, x.exchanged_at, x.deadline_at
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner, extra)
        SELECT ${o.nowIso}::timestamptz, CASE c.outcome WHEN 'start' THEN 'running' ELSE 'running_repeated' END, c.dag_id,
          c.task_id, c.run_id, c.map_index, c.try_number, 'task', json_build_object('host_name', ${o.hostname}::text)::text
        FROM c WHERE c.outcome IS NOT NULL
      ), former AS (
        DELETE FROM xcom v USING c WHERE c.outcome = 'start' AND c.runtime = 'typescript' AND c.next_method IS NULL
          AND v.dag_run_id = c.dag_run_id AND v.task_id = c.task_id AND (c.map_index = -1 OR v.map_index = c.map_index)
      )
      SELECT c.outcome, c.state AS previous_state, u.execution_jti, u.exchanged_at, u.deadline_at,
        c.dag_id, c.run_id, c.task_id, c.map_index, c.try_number, c.max_tries, c.dag_run_id, c.runtime, c.team,
        c.next_method, c.next_kwargs::text AS next_kwargs, c.start_date AS first_start_date,
        (SELECT count(*)::integer FROM task_reschedule s WHERE s.ti_id = c.id) AS reschedule_count,
        CASE WHEN c.next_method IS NULL AND c.runtime <> 'typescript' THEN COALESCE((SELECT json_agg(v.key ORDER BY v.map_index, v.key) FROM xcom v
          WHERE v.dag_run_id = c.dag_run_id AND v.task_id = c.task_id AND (c.map_index = -1 OR v.map_index = c.map_index)),
          '[]') ELSE '[]' END AS xcom_keys,
        ${RUN_FACTS} AS run, ${CONSUMED_EVENTS} AS consumed
      FROM c JOIN dag_run r ON r.id = c.dag_run_id LEFT JOIN u ON true`,
    'ti_start',
  );
  return rows[0] ?? null;
}
