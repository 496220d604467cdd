import { type Db, sql } from '../../database.ts';

export type DagToRemove = { readonly dag_id: string; readonly bundle_name: string; readonly relative_fileloc: string };

/**
 * Locks a Dag and its runs, so that no run is made, decided about or started meanwhile. Locks: dag_run rows by id, then the
 * dag row: the order of a scheduler's pass. @returns null when there is no such Dag
 */
export async function lockDagToRemove(db: Db, dagId: string): Promise<DagToRemove | null> {
  await db.query(sql`SELECT 1 FROM dag_run WHERE dag_id = ${dagId} ORDER BY id FOR UPDATE`, 'dag_remove_lock_runs');
  const rows = await db.query<DagToRemove>(
    sql`SELECT dag_id, bundle_name, relative_fileloc FROM dag WHERE dag_id = ${dagId} FOR UPDATE`,
    'dag_remove_lock',
  );
  return rows[0] ?? null;
}

/** Whether a task instance of the Dag runs now. Locks nothing. */
export async function hasRunningTasks(db: Db, dagId: string): Promise<boolean> {
  const rows = await db.query(
    sql`SELECT 1 FROM task_instance t JOIN dag_run r ON r.id = t.dag_run_id
      WHERE r.dag_id = ${dagId} AND t.state IN ('running', 'restarting') LIMIT 1`,
    'dag_remove_running',
  );
  return rows.length > 0;
}

/**
 * Removes a locked Dag with everything that belongs to it; the audit log stays. Its file counts as never parsed, so that the
 * Dag comes back if the file still has it. Locks: the rows that go.
 * @returns run ids, whose logs the caller removes
 */
export async function removeDag(db: Db, dag: DagToRemove): Promise<string[]> {
  // Runs first: their task instances refer to versions, which go with the Dag.
  const runs = await db.query<{ run_id: string }>(
    sql`DELETE FROM dag_run WHERE dag_id = ${dag.dag_id} RETURNING run_id`,
    'dag_remove_runs',
  );
  await db.query(
    sql`WITH e AS (DELETE FROM import_error
        WHERE bundle_name = ${dag.bundle_name} AND filename = ${dag.relative_fileloc})
      DELETE FROM dag_file WHERE bundle_name = ${dag.bundle_name} AND relative_fileloc = ${dag.relative_fileloc}`,
    'dag_remove_file',
  );
  await db.query(sql`DELETE FROM dag WHERE dag_id = ${dag.dag_id}`, 'dag_remove');
  return runs.map((run) => run.run_id);
}
