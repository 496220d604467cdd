import { type Db, sql } from '../../database.ts';
import { RELAXED } from '../token/relaxed.ts';

export type JobType = 'SchedulerJob' | 'TriggererJob' | 'DagProcessorJob';

/** Says that a process of a kind is alive. Creates its row at the first call. Locks: the row. */
export async function heartbeatJob(
  db: Db,
  o: { jobType: JobType; instanceId: string; hostname: string; unixname: string; nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH ${RELAXED}
      INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
      SELECT ${o.jobType}, ${o.instanceId}::uuid, 'running', ${o.hostname}, ${o.unixname}, ${o.nowIso}::timestamptz, ${o.nowIso}::timestamptz FROM relaxed
      ON CONFLICT (instance_id, job_type) DO UPDATE SET latest_heartbeat = EXCLUDED.latest_heartbeat, state = 'running', end_date = NULL`,
    'job_heartbeat',
  );
}

/** Says that a process has ended in good order. Locks: the row. */
export async function endJob(db: Db, o: { instanceId: string; nowIso: string }): Promise<void> {
  await db.query(
    sql`UPDATE job SET state = 'success', end_date = ${o.nowIso}::timestamptz, latest_heartbeat = ${o.nowIso}::timestamptz
      WHERE instance_id = ${o.instanceId}::uuid`,
    'job_end',
  );
}

/** Marks jobs of processes that died without a word as failed. Locks: the rows. */
export async function failSilentJobs(db: Db, o: { beforeIso: string; nowIso: string }): Promise<void> {
  await db.query(
    sql`UPDATE job SET state = 'failed', end_date = ${o.nowIso}::timestamptz
      WHERE state = 'running' AND latest_heartbeat < ${o.beforeIso}::timestamptz`,
    'job_fail_silent',
  );
}
