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

/** Sandbox tiers of the supervisors that were heard of since that instant. */
export async function liveTiers(db: Db, sinceIso: string): Promise<string[]> {
  const rows = await db.query<{ sandbox_tier: string }>(
    sql`SELECT DISTINCT sandbox_tier FROM supervisor WHERE ended_at IS NULL AND last_seen_at > ${sinceIso}::timestamptz`,
    'rest_health_tiers',
  );
  return rows.map((row) => row.sandbox_tier);
}
