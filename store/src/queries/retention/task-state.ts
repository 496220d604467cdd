import { type Db, sql } from '../../database.ts';

/** Removes values of tasks whose time is over; readers don't see them any more. Locks: the rows. @returns how many went */
export async function deleteExpiredState(
  db: Db,
  options: { readonly expiredBefore: string; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM task_state s USING (
        SELECT dag_run_id, task_id, map_index, key FROM task_state
        WHERE expires_at < ${options.expiredBefore}::timestamptz ORDER BY expires_at LIMIT ${options.limit}
        FOR UPDATE SKIP LOCKED) x
      WHERE s.dag_run_id = x.dag_run_id AND s.task_id = x.task_id AND s.map_index = x.map_index AND s.key = x.key
      RETURNING s.key`,
  );
  return rows.length;
}
