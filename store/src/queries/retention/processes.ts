import { type Db, sql } from '../../database.ts';

/**
 * Forgets schedulers, dag-processors, triggerers and supervisors that were last heard of before `silentSince`. A supervisor
 * that a task instance still names stays. Locks: the rows. @returns how many went
 */
export async function deleteOldProcesses(
  db: Db,
  options: { readonly silentSince: string; readonly limit: number },
): Promise<number> {
  const jobs = await db.query(
    sql`DELETE FROM job WHERE id IN (
      SELECT id FROM job WHERE latest_heartbeat < ${options.silentSince}::timestamptz LIMIT ${options.limit}
    ) RETURNING id`,
  );
  const supervisors = await db.query(
    sql`DELETE FROM supervisor WHERE id IN (
      SELECT s.id FROM supervisor s WHERE s.last_seen_at < ${options.silentSince}::timestamptz
        AND NOT EXISTS (SELECT 1 FROM task_instance t WHERE t.supervisor_id = s.id)
      LIMIT ${options.limit}
    ) RETURNING id`,
  );
  return jobs.length + supervisors.length;
}
