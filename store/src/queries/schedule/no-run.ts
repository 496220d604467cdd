import { type Db, sql } from '../../database.ts';

/** What decides whether a Dag may make its next scheduled run, and so why it makes none. */
export type ScheduleFacts = {
  readonly is_stale: boolean;
  readonly is_paused: boolean;
  readonly has_import_errors: boolean;
  readonly max_active_runs: number;
  /** Queued and running, without those of backfills. */
  readonly active_runs: number;
  /** 0 = failures never pause the Dag. */
  readonly max_failed: number;
  /** Of the newest `max_failed` runs, those that have failed. */
  readonly failed: number;
  /** Schedulers that live. */
  readonly schedulers: number;
  /** Assets of the schedule of which no event waits for the Dag, by name. */
  readonly missing_assets: readonly string[];
};

/** @param o.aliveSinceIso schedulers heard of since then are alive. Locks nothing. @returns null when there is no such Dag */
export async function findScheduleFacts(
  db: Db,
  o: { readonly dagId: string; readonly aliveSinceIso: string },
): Promise<ScheduleFacts | null> {
  const rows = await db.query<ScheduleFacts>(
    sql`SELECT d.is_stale, d.is_paused, d.has_import_errors, d.max_active_runs,
        (SELECT count(*) FROM dag_run r WHERE r.dag_id = d.dag_id AND r.state IN ('queued', 'running')
          AND r.run_type <> 'backfill')::integer AS active_runs,
        d.max_consecutive_failed_dag_runs AS max_failed,
        (SELECT count(*) FROM (SELECT r.state FROM dag_run r WHERE r.dag_id = d.dag_id
          ORDER BY r.run_after DESC LIMIT d.max_consecutive_failed_dag_runs) n WHERE n.state = 'failed')::integer AS failed,
        (SELECT count(*) FROM job j WHERE j.job_type = 'SchedulerJob' AND j.state = 'running'
          AND j.latest_heartbeat >= ${o.aliveSinceIso}::timestamptz)::integer AS schedulers,
        ARRAY(SELECT a.name FROM asset_reference x JOIN asset a ON a.id = x.asset_id
          WHERE x.dag_id = d.dag_id AND x.role = 'schedule'
            AND NOT EXISTS (SELECT 1 FROM asset_queued q WHERE q.dag_id = d.dag_id AND q.asset_id = a.id)
          ORDER BY a.name) AS missing_assets
      FROM dag d WHERE d.dag_id = ${o.dagId}`,
    'schedule_facts',
  );
  return rows[0] ?? null;
}
