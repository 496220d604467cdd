import { type Db, sql } from '../../database.ts';

/**
 * Gives everything that belongs to these Dags the team that the Dag has now. Locks: rows of `dag_run`, then of `task_instance`,
 * then of `task_instance_history`.
 */
export async function followTeam(tx: Db, dagIds: readonly string[]): Promise<void> {
  if (dagIds.length === 0) return;
  const ids = [...dagIds];
  await tx.query(
    sql`UPDATE dag_run r SET team = d.team FROM dag d
      WHERE d.dag_id = r.dag_id AND r.dag_id = ANY(${ids}) AND r.team IS DISTINCT FROM d.team`,
  );
  await tx.query(
    sql`UPDATE task_instance t SET team = d.team FROM dag d
      WHERE d.dag_id = t.dag_id AND t.dag_id = ANY(${ids}) AND t.team IS DISTINCT FROM d.team`,
  );
  await tx.query(
    sql`UPDATE task_instance_history h SET team = d.team FROM dag d
      WHERE d.dag_id = h.dag_id AND h.dag_id = ANY(${ids}) AND h.team IS DISTINCT FROM d.team`,
  );
}
