import { type Db, sql } from '../../database.ts';
import { RELAXED } from '../token/relaxed.ts';
import type { JobType } from './heartbeat.ts';

/** Says that roles of a registered supervisor are alive: their rows among the jobs, as health and /jobs show them. Locks: these rows. */
export async function heartbeatSupervisorJobs(
  db: Db,
  o: { readonly jobTypes: readonly JobType[]; readonly supervisorId: string; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH ${RELAXED}
      INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
      SELECT j.type, id, 'running', hostname, unixname, registered_at, ${o.nowIso}::timestamptz
      FROM relaxed, unnest(${o.jobTypes}::text[]) AS j (type), supervisor WHERE id = ${o.supervisorId}::uuid AND ended_at IS NULL
      ON CONFLICT (instance_id, job_type) DO UPDATE SET latest_heartbeat = EXCLUDED.latest_heartbeat, state = 'running', end_date = NULL`,
    'job_supervisor_heartbeat',
  );
}
