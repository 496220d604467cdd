import { type Db, sql } from '../../database.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

/**
 * Tries that the server gave to a supervisor before `givenBeforeIso` and that it no longer has. Locks nothing.
 * @returns ids with their states: `queued` ones were claimed and never started.
 */
export async function findMissingTries(
  db: Db,
  o: { supervisorId: string; holds: readonly string[]; givenBeforeIso: string },
): Promise<{ id: string; state: string; workload_jti: string | null }[]> {
  return db.query(
    sql`SELECT id, state, workload_jti FROM task_instance
      WHERE supervisor_id = ${o.supervisorId}::uuid AND state IN ('queued', 'running')
        AND COALESCE(exchanged_at, claimed_at) < ${o.givenBeforeIso}::timestamptz AND id <> ALL(${o.holds}::uuid[])
      ORDER BY id`,
    'ti_missing',
  );
}

/** Puts tries that this supervisor has claimed back into the queue, for another worker. Locks: the rows. Wakes the queue. */
export async function unclaimTries(
  db: Db,
  { ids, supervisorId, nowIso }: { ids: readonly string[]; supervisorId: string; nowIso: string },
): Promise<void> {
  if (ids.length === 0) return;
  await db.query(
    sql`WITH back AS (
        UPDATE task_instance t SET updated_at = ${nowIso}::timestamptz, ${TOKENS_CLEARED}
        WHERE t.id = ANY(${ids}::uuid[]) AND t.state = 'queued' AND t.supervisor_id = ${supervisorId}::uuid RETURNING 1
      ) SELECT CASE WHEN EXISTS (SELECT 1 FROM back) THEN pg_notify('airlock', 'queue') END`,
    'ti_unclaim',
  );
}

/** The supervisor that held a cleared try says that its process has ended: the task instance that waited for that may go on. Locks: the row. */
export async function endRestartOf(
  db: Db,
  o: { oldTryId: string; supervisorId: string; nowIso: string },
): Promise<number | null> {
  const rows = await db.query<{ dag_run_id: number }>(
    sql`UPDATE task_instance t SET state = NULL, updated_at = ${o.nowIso}::timestamptz
      FROM task_instance_history h
      WHERE h.id = ${o.oldTryId} AND h.supervisor_id = ${o.supervisorId} AND t.dag_run_id = h.dag_run_id AND t.task_id = h.task_id AND t.map_index = h.map_index
        AND t.state = 'restarting' AND t.try_number = h.try_number
      RETURNING t.dag_run_id`,
    'ti_end_restart',
  );
  return rows[0]?.dag_run_id ?? null;
}
