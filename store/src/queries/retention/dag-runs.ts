import { type Db, sql } from '../../database.ts';

/**
 * Removes finished runs that ended before `endedBefore`, oldest first, with all that belongs to them: task instances, tries,
 * XComs, maps, reschedules. The newest run of each Dag stays whatever its age, since the next one is reckoned from it.
 * Locks: the dag_run rows, those that somebody holds are skipped; then their dependants by cascade.
 * @returns the removed runs, whose logs the caller removes
 */
export async function deleteOldDagRuns(
  db: Db,
  options: { readonly endedBefore: string; readonly limit: number },
): Promise<ReadonlyArray<{ readonly dag_id: string; readonly run_id: string }>> {
  return await db.query(
    sql`DELETE FROM dag_run WHERE id IN (
      SELECT r.id FROM dag_run r
      WHERE r.end_date < ${options.endedBefore}::timestamptz AND r.state IN ('success', 'failed')
        AND EXISTS (SELECT 1 FROM dag_run n WHERE n.dag_id = r.dag_id AND n.run_after > r.run_after)
      ORDER BY r.end_date LIMIT ${options.limit} FOR UPDATE SKIP LOCKED
    ) RETURNING dag_id, run_id`,
  );
}
