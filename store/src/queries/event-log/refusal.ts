import { type Db, sql } from '../../database.ts';

/**
 * Records that somebody whose token is right was refused. What the subject is, is read from its own row: a try brings its
 * Dag along. Locks nothing else.
 */
export async function insertRefusal(
  db: Db,
  refusal: {
    readonly nowIso: string;
    /** `sub` of the token: a try, a test of a connection, or a supervisor. */
    readonly sub: string;
    readonly kind: string;
    /** JSON text. */
    readonly extra: string;
  },
): Promise<void> {
  await db.query(
    sql`INSERT INTO event_log (at, event, owner, dag_id, task_id, run_id, map_index, try_number, extra)
      SELECT ${refusal.nowIso}::timestamptz, 'access_refused', ${refusal.kind}, t.dag_id, t.task_id, t.run_id, t.map_index,
        t.try_number, ${refusal.extra} FROM (SELECT 1) one LEFT JOIN task_instance t ON t.id = ${refusal.sub}::uuid`,
    'event_log_refusal',
  );
}
