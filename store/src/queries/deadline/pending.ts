/** Deadlines of runs whose instant is still to be found. */
import { type Db, sql } from '../../database.ts';

export type NewPendingDeadline = {
  readonly id: string;
  readonly position: number;
  /** Null = the average of past runs. */
  readonly reference_at: string | null;
};

/** Those of a run that was just made. Locks: none beyond the new rows. */
export async function insertPendingDeadlines(
  db: Db,
  of: { readonly dagRunId: number; readonly versionId: string; readonly nowIso: string },
  rows: readonly NewPendingDeadline[],
): Promise<void> {
  if (rows.length === 0) return;
  await db.query(
    sql`INSERT INTO pending_deadline (id, dag_run_id, dag_version_id, position, reference_at, created_at)
      SELECT x.id, ${of.dagRunId}::bigint, ${of.versionId}::uuid, x.position, x.reference_at, ${of.nowIso}::timestamptz
      FROM json_to_recordset(${JSON.stringify(rows)}::json) AS x (id uuid, position integer, reference_at timestamptz)`,
    'pending_deadline_insert',
  );
}

export type PendingDeadline = NewPendingDeadline & {
  readonly dag_run_id: number;
  readonly dag_version_id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly team: string | null;
  readonly created_at: string;
};

/** The oldest. Locks nothing. */
export async function listPendingDeadlines(db: Db, limit: number): Promise<PendingDeadline[]> {
  return await db.query<PendingDeadline>(
    sql`SELECT p.id, p.position, p.reference_at, p.dag_run_id, p.dag_version_id, r.dag_id, r.run_id, r.team, p.created_at
      FROM pending_deadline p JOIN dag_run r ON r.id = p.dag_run_id ORDER BY p.created_at, p.dag_run_id, p.position LIMIT ${limit}`,
    'pending_deadline_list',
  );
}

/** Takes one away, whose instant is known or never will be. Locks: the row. @returns false when another has */
export async function takePendingDeadline(db: Db, id: string): Promise<boolean> {
  const rows = await db.query(sql`DELETE FROM pending_deadline WHERE id = ${id} RETURNING id`, 'pending_deadline_take');
  return rows.length > 0;
}
