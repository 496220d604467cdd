import { type Db, sql } from '../../database.ts';

export type HeldTry = {
  readonly id: string;
  readonly state: string;
  readonly dag_run_id: number;
};

/**
 * The stretch that a workload token stands for, while this supervisor holds it. Locks: the row.
 * @returns null when it has ended, was taken back, or belongs to another.
 */
export async function lockHeldTry(
  tx: Db,
  which: { readonly id: string; readonly supervisorId: string; readonly workloadJti: string },
): Promise<HeldTry | null> {
  const rows = await tx.query<HeldTry>(
    sql`SELECT id, state, dag_run_id FROM task_instance
      WHERE id = ${which.id} AND supervisor_id = ${which.supervisorId} AND workload_jti = ${which.workloadJti}
        AND state IN ('queued', 'running', 'restarting') FOR NO KEY UPDATE`,
    'ti_lock_held',
  );
  return rows[0] ?? null;
}
