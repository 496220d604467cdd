import { type Db, sql } from '../../database.ts';

/** Ends a run by hand; its end is stamped if it had not ended. Needs the run locked. */
export async function markRun(db: Db, o: { id: number; state: 'success' | 'failed'; nowIso: string }): Promise<void> {
  await db.query(
    sql`UPDATE dag_run SET state = ${o.state}, end_date = CASE WHEN state IN ('success', 'failed') THEN end_date
        ELSE ${o.nowIso}::timestamptz END, updated_at = ${o.nowIso}::timestamptz WHERE id = ${o.id}`,
    'run_mark',
  );
}

/** Puts a run back to queued, as if it had just been made. Needs the run locked. */
export async function requeueRun(db: Db, o: { id: number; nowIso: string }): Promise<void> {
  await db.query(
    sql`UPDATE dag_run SET state = 'queued', queued_at = ${o.nowIso}::timestamptz, start_date = NULL, end_date = NULL,
        last_scheduling_decision = NULL, updated_at = ${o.nowIso}::timestamptz WHERE id = ${o.id}`,
    'run_requeue',
  );
}

/**
 * What a clear does to runs: each is counted; a finished one is queued again, an unfinished one goes on. Needs them locked.
 * `versionId` not null: pinned runs move to that version, and to the version of the bundle that it was read at.
 */
export async function resetClearedRuns(
  db: Db,
  o: { ids: readonly number[]; versionId: string | null; nowIso: string },
): Promise<void> {
  await db.query(
    sql`UPDATE dag_run SET clear_number = clear_number + 1, clear_try = NULL, queued_at = ${o.nowIso}::timestamptz,
        start_date = CASE WHEN state IN ('success', 'failed') THEN NULL ELSE start_date END,
        end_date = CASE WHEN state IN ('success', 'failed') THEN NULL ELSE end_date END,
        last_scheduling_decision = CASE WHEN state IN ('success', 'failed') THEN NULL ELSE last_scheduling_decision END,
        created_version_id = CASE WHEN created_version_id IS NOT NULL AND ${o.versionId}::uuid IS NOT NULL
          THEN ${o.versionId}::uuid ELSE created_version_id END,
        bundle_version = CASE WHEN created_version_id IS NOT NULL AND ${o.versionId}::uuid IS NOT NULL
          THEN (SELECT v.bundle_version FROM dag_version v WHERE v.id = ${o.versionId}::uuid) ELSE bundle_version END,
        state = CASE WHEN state IN ('success', 'failed') THEN 'queued' ELSE state END,
        updated_at = ${o.nowIso}::timestamptz
      WHERE id = ANY(${o.ids}::bigint[])`,
    'run_reset_cleared',
  );
}
