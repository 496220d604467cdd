import { type Db, sql } from '../../database.ts';

/**
 * Moves scheduled rows to queued and wakes whoever hands out work when the transaction commits. Needs the schedule lock.
 * Locks: the task_instance rows. @returns how many were moved.
 */
export async function queueTaskInstances(
  db: Db,
  ids: readonly string[],
  o: { nowIso: string; queuedBy: string },
): Promise<number> {
  if (ids.length === 0) return 0;
  const rows = await db.query<{ n: number }>(
    sql`WITH moved AS (
        UPDATE task_instance t SET state = 'queued', queued_at = ${o.nowIso}::timestamptz, queued_by = ${o.queuedBy}::uuid,
          updated_at = ${o.nowIso}::timestamptz
        WHERE t.id = ANY(${ids}::uuid[]) AND t.state = 'scheduled' RETURNING 1
      ), counted AS (SELECT count(*)::integer AS n FROM moved)
      SELECT n, CASE WHEN n > 0 THEN pg_notify('airlock', 'queue') END AS notified FROM counted`,
    'schedule_queue',
  );
  return rows[0]!.n;
}
