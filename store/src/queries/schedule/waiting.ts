import { type Db, sql } from '../../database.ts';
import { OWN_LIMITS, OWN_POOL, type OwnLimits } from './room.ts';

/** All that decides why one task instance of a run does not go on. Instants are text. */
export type WaitingFacts = OwnLimits & {
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly try_number: number;
  readonly queue: string;
  readonly retry_at: string | null;
  readonly reschedule_at: string | null;
  readonly trigger_timeout: string | null;
  /** Class of the trigger that it waits for, and the host whose living triggerer runs it. */
  readonly trigger_class: string | null;
  readonly triggered_by: string | null;
  /** Since when there is that trigger, and the queue of the triggerers that may run it; null = of none. */
  readonly trigger_since: string | null;
  readonly trigger_queue: string | null;
  /** Triggerers that live. */
  readonly triggerers: number;
  /** The worker that holds it; null = none. */
  readonly held_by: string | null;
  /** Workers that live, and those of them that serve its queue. */
  readonly workers: number;
  readonly workers_of_queue: number;
};

/** What holds for every task instance of the run. */
export type RunFacts = {
  readonly state: string;
  readonly run_after: string;
  readonly is_paused: boolean;
  readonly is_stale: boolean;
  readonly backfill_paused: boolean;
  /** Of the Dag, or of the backfill. */
  readonly max_active_runs: number;
  readonly running_runs: number;
  readonly max_active_tasks: number;
  readonly active_in_run: number;
  readonly active_in_deployment: number;
  readonly schedulers: number;
};

/** @param o.aliveSinceIso schedulers heard of since then are alive */
export async function findRunFacts(db: Db, o: { id: number; aliveSinceIso: string }): Promise<RunFacts> {
  const rows = await db.query<RunFacts>(
    sql`SELECT r.state, r.run_after, d.is_paused, d.is_stale, COALESCE(b.is_paused, false) AS backfill_paused,
        COALESCE(b.max_active_runs, d.max_active_runs) AS max_active_runs,
        (SELECT count(*) FROM dag_run o WHERE o.dag_id = r.dag_id AND o.state = 'running'
          AND o.backfill_id IS NOT DISTINCT FROM r.backfill_id)::integer AS running_runs,
        d.max_active_tasks,
        (SELECT count(*) FROM task_instance a WHERE a.dag_run_id = r.id AND a.state IN ('queued', 'running'))::integer
          AS active_in_run,
        (SELECT count(*) FROM task_instance a WHERE a.state IN ('queued', 'running'))::integer AS active_in_deployment,
        (SELECT count(*) FROM job j WHERE j.job_type = 'SchedulerJob' AND j.state = 'running'
          AND j.latest_heartbeat >= ${o.aliveSinceIso}::timestamptz)::integer AS schedulers
      FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id LEFT JOIN backfill b ON b.id = r.backfill_id WHERE r.id = ${o.id}`,
    'waiting_run',
  );
  return rows[0]!;
}

/** The task instances of a run that have not ended and do not run, by name. Locks nothing. */
export async function listWaiting(
  db: Db,
  o: { id: number; aliveSinceIso: string; taskId: string | null; limit: number; offset: number },
): Promise<{ rows: WaitingFacts[]; total: number }> {
  const rows = await db.query<WaitingFacts & { total: number }>(
    sql`WITH waiting AS (
        SELECT t.*, count(*) OVER ()::integer AS total FROM task_instance t
        WHERE t.dag_run_id = ${o.id} AND (${o.taskId}::text IS NULL OR t.task_id = ${o.taskId})
          AND (t.state IS NULL OR t.state NOT IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed', 'running'))
        ORDER BY t.task_id, t.map_index LIMIT ${o.limit} OFFSET ${o.offset}
      ), workers AS (
        SELECT queues, has_claimed FROM supervisor
        WHERE ended_at IS NULL AND last_seen_at >= ${o.aliveSinceIso}::timestamptz AND 'worker' = ANY(roles)
      )
      SELECT t.task_id, t.map_index, t.state, t.try_number, t.queue, ${OWN_LIMITS},
        t.retry_at, t.reschedule_at, t.trigger_timeout, s.hostname AS held_by, g.classpath AS trigger_class,
        g.created_at AS trigger_since, g.queue AS trigger_queue,
        r.hostname AS triggered_by, (SELECT count(*) FROM supervisor x WHERE x.ended_at IS NULL
          AND x.last_seen_at >= ${o.aliveSinceIso}::timestamptz AND 'trigger' = ANY(x.roles))::integer AS triggerers,
        (SELECT count(*) FROM workers)::integer AS workers,
        (SELECT count(*) FROM workers w WHERE w.has_claimed AND (w.queues IS NULL OR t.queue = ANY(w.queues)))::integer
          AS workers_of_queue,
        t.total
      FROM waiting t
      LEFT JOIN ${OWN_POOL}
      LEFT JOIN supervisor s ON s.id = t.supervisor_id AND s.ended_at IS NULL
      LEFT JOIN trigger g ON t.state = 'deferred' AND g.id = t.trigger_id AND g.ti_id = t.id
      LEFT JOIN supervisor r ON r.id = g.supervisor_id AND r.ended_at IS NULL AND r.last_seen_at >= ${o.aliveSinceIso}::timestamptz
      ORDER BY t.task_id, t.map_index`,
    'waiting_list',
  );
  return { rows, total: rows[0]?.total ?? 0 };
}
