import { type Db, sql } from '../../database.ts';

/**
 * Removes versions of Dags beyond the newest `keep` of each, unless one is current or a run or task instance still uses it.
 * Only versions older than `createdBefore` are looked at, so that one which is just being used for the first time is safe.
 * Locks: the dag_version rows; those that somebody holds are skipped. @returns how many went
 */
export async function deleteOldDagVersions(
  db: Db,
  options: { readonly keep: number; readonly createdBefore: string; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM dag_version WHERE id IN (
      SELECT v.id FROM dag_version v JOIN dag d ON d.dag_id = v.dag_id
      WHERE v.created_at < ${options.createdBefore}::timestamptz AND v.id IS DISTINCT FROM d.current_version_id
        AND v.version_number <= (SELECT max(n.version_number) FROM dag_version n WHERE n.dag_id = v.dag_id) - ${options.keep}::int
        AND NOT EXISTS (SELECT 1 FROM task_instance t WHERE t.dag_version_id = v.id)
        AND NOT EXISTS (SELECT 1 FROM dag_run r WHERE r.created_version_id = v.id)
      LIMIT ${options.limit} FOR UPDATE OF v SKIP LOCKED
    ) RETURNING id`,
  );
  return rows.length;
}

/**
 * Removes bundled modules that no version names any more. The age keeps away from a report that is being stored.
 * Locks: the dag_module rows. @returns how many went
 */
export async function deleteUnusedModules(
  db: Db,
  options: { readonly createdBefore: string; readonly limit: number },
): Promise<number> {
  const rows = await db.query(
    sql`DELETE FROM dag_module WHERE hash IN (
      SELECT m.hash FROM dag_module m
      WHERE m.created_at < ${options.createdBefore}::timestamptz
        AND NOT EXISTS (SELECT 1 FROM dag_version v WHERE v.module_hash = m.hash)
      LIMIT ${options.limit}
    ) RETURNING hash`,
  );
  return rows.length;
}
