import { type Db, sql } from '../../database.ts';
import type { JobType } from './heartbeat.ts';

/** Says that a role of a registered supervisor is alive: its row among the jobs, as health and /jobs show it. Locks: that row. */
export async function heartbeatSupervisorJob(
  db: Db,
  o: { readonly jobType: JobType; readonly supervisorId: string; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
      SELECT ${o.jobType}, id, 'running', hostname, unixname, registered_at, ${o.nowIso}::timestamptz
      FROM supervisor WHERE id = ${o.supervisorId}::uuid AND ended_at IS NULL
      ON CONFLICT (instance_id, job_type) DO UPDATE SET latest_heartbeat = EXCLUDED.latest_heartbeat, state = 'running', end_date = NULL`,
    'job_supervisor_heartbeat',
  );
}
