/** What happens to the deadlines of a run with the run. */
import { type Db, sql } from '../../database.ts';

/** Drops what is open of runs that have ended with success in time. Locks: the rows. */
export async function dropMetDeadlines(
  db: Db,
  of: { readonly dagRunIds: readonly number[]; readonly nowIso: string },
): Promise<void> {
  if (of.dagRunIds.length === 0) return;
  await db.query(
    sql`DELETE FROM deadline WHERE dag_run_id = ANY(${of.dagRunIds}::bigint[]) AND NOT missed
      AND due_at >= ${of.nowIso}::timestamptz`,
    'deadline_drop_met',
  );
}

/** Deadlines that count from the queueing move with runs that are queued again; missed ones stay. Locks: the rows. */
export async function moveQueuedDeadlines(
  db: Db,
  of: { readonly dagRunIds: readonly number[]; readonly nowIso: string },
): Promise<void> {
  if (of.dagRunIds.length === 0) return;
  await db.query(
    sql`UPDATE deadline SET due_at = ${of.nowIso}::timestamptz + make_interval(secs => interval_seconds),
        updated_at = ${of.nowIso}::timestamptz
      WHERE dag_run_id = ANY(${of.dagRunIds}::bigint[]) AND reference_type = 'DagRunQueuedAtDeadline' AND NOT missed`,
    'deadline_move',
  );
}

export type MissedDeadline = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_version_id: string;
  readonly position: number;
  readonly name: string | null;
  readonly due_at: string;
};

/** Marks deadlines that have passed, oldest first. Locks: the rows; those that another holds are skipped. */
export async function missDeadlines(
  db: Db,
  o: { readonly nowIso: string; readonly limit: number },
): Promise<MissedDeadline[]> {
  return await db.query<MissedDeadline>(
    sql`WITH due AS (
        SELECT id FROM deadline WHERE NOT missed AND due_at < ${o.nowIso}::timestamptz
        ORDER BY due_at LIMIT ${o.limit} FOR NO KEY UPDATE SKIP LOCKED)
      UPDATE deadline d SET missed = true, updated_at = ${o.nowIso}::timestamptz FROM due WHERE d.id = due.id
      RETURNING d.id, d.dag_run_id, d.dag_version_id, d.position, d.name, d.due_at`,
    'deadline_miss',
  );
}

/** Says which callback tells of which deadline. Locks: the rows. */
export async function linkDeadlines(
  db: Db,
  links: ReadonlyArray<{ readonly id: string; readonly callback_id: string }>,
): Promise<void> {
  if (links.length === 0) return;
  await db.query(
    sql`UPDATE deadline d SET callback_id = x.callback_id
      FROM json_to_recordset(${JSON.stringify(links)}::json) AS x (id uuid, callback_id uuid) WHERE d.id = x.id`,
    'deadline_link',
  );
}
