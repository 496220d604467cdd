import { BUNDLE_ITSELF } from '@airlock/contract/bundles';
import { type Db, sql } from '../../database.ts';

export type JobType = 'SchedulerJob' | 'TriggererJob' | 'DagProcessorJob';
export type NewestJob = {
  readonly job_type: JobType;
  readonly state: string;
  readonly latest_heartbeat: string;
  /** Seconds since the last heartbeat, by the caller's instant. */
  readonly age: number;
};

/** The newest job of each type, running ones first. $1 now. Locks nothing. */
export async function newestJobs(db: Db, nowIso: string): Promise<NewestJob[]> {
  return db.query<NewestJob>(
    sql`SELECT DISTINCT ON (job_type) job_type, state, latest_heartbeat,
        extract(epoch FROM ${nowIso}::timestamptz - latest_heartbeat)::float8 AS age
      FROM job ORDER BY job_type, (state = 'running') DESC, latest_heartbeat DESC`,
    'rest_health',
  );
}

/** Misuse of tokens since that instant, counted up to `limit`. By an index of its own: everybody may ask for the health. */
export async function countTokenAlarms(db: Db, sinceIso: string, limit: number): Promise<number> {
  const rows = await db.query<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM (SELECT 1 FROM event_log
      WHERE event IN ('run_refused', 'token_reuse_refused', 'token_family_ended') AND at > ${sinceIso}::timestamptz
      LIMIT ${limit}) alarms`,
    'rest_health_token_alarms',
  );
  return rows[0]!.n;
}

/** Sandbox tiers of the supervisors that were heard of since that instant. */
export async function liveTiers(db: Db, sinceIso: string): Promise<string[]> {
  const rows = await db.query<{ sandbox_tier: string }>(
    sql`SELECT DISTINCT sandbox_tier FROM supervisor WHERE ended_at IS NULL AND last_seen_at > ${sinceIso}::timestamptz`,
    'rest_health_tiers',
  );
  return rows.map((row) => row.sandbox_tier);
}

/** Bundles that can't be read just now. Which they are is for those who may see them. */
export async function countFailingBundles(db: Db): Promise<number> {
  const rows = await db.query<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM dag_bundle b
      JOIN import_error e ON e.bundle_name = b.name AND e.filename = ${BUNDLE_ITSELF} WHERE b.active`,
    'rest_health_bundles',
  );
  return rows[0]!.n;
}
