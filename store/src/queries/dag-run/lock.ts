import { type Db, sql } from '../../database.ts';

export type LockedRun = {
  readonly id: number;
  readonly dag_id: string;
  readonly run_id: string;
  readonly team: string | null;
  readonly state: string;
  readonly run_type: string;
  readonly logical_date: string | null;
  /** The try that cleared it last; null = none did, or a user did since. */
  readonly clear_try: string | null;
  readonly created_version_id: string | null;
  readonly current_version_id: string | null;
};

/**
 * Locks one run against other changes of the run as a whole. FOR NO KEY UPDATE, so that XComs and logs of its tasks, which
 * refer to it, are still written. @returns null when there is no such run.
 */
export async function lockRun(db: Db, dagId: string, runId: string): Promise<LockedRun | null> {
  const rows = await db.query<LockedRun>(
    sql`SELECT r.id, r.dag_id, r.run_id, r.team, r.state, r.run_type, r.logical_date, r.clear_try, r.created_version_id,
        (SELECT d.current_version_id FROM dag d WHERE d.dag_id = r.dag_id) AS current_version_id
      FROM dag_run r WHERE r.dag_id = ${dagId} AND r.run_id = ${runId} FOR NO KEY UPDATE OF r`,
    'run_lock',
  );
  return rows[0] ?? null;
}

/** The same for several, in the order of their ids. Runs that are gone are not in the answer. */
export async function lockRunsById(db: Db, ids: readonly number[]): Promise<LockedRun[]> {
  return db.query<LockedRun>(
    sql`SELECT r.id, r.dag_id, r.run_id, r.team, r.state, r.run_type, r.logical_date, r.clear_try, r.created_version_id,
        (SELECT d.current_version_id FROM dag d WHERE d.dag_id = r.dag_id) AS current_version_id
      FROM dag_run r WHERE r.id = ANY(${ids}::bigint[]) ORDER BY r.id FOR NO KEY UPDATE OF r`,
    'run_lock_ids',
  );
}

/** Deletes a run and all that belongs to it. Locks: the run and its rows. */
export async function deleteRun(db: Db, id: number): Promise<void> {
  await db.query(sql`DELETE FROM dag_run WHERE id = ${id}`, 'run_delete');
}
