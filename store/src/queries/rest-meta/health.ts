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
