import { type Db, sql } from '../../database.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

/** A decided change of one row; takes effect only where the row is still in the state that it was decided on. */
export type RowChange = {
  readonly id: string;
  readonly from: string | null;
  readonly to: string | null;
  readonly tryNumber: number;
  readonly mapIndex: number;
  readonly versionId: string;
};

/**
 * Applies decided changes in one statement. A row that goes on to `scheduled` loses what its last try left; one that ends
 * gets its missing dates. Locks: the task_instance rows.
 * @returns ids that were changed.
 */
export async function applyChanges(db: Db, changes: readonly RowChange[], nowIso: string): Promise<string[]> {
  if (changes.length === 0) return [];
  const rows = await db.query<{ id: string }>(
    sql`UPDATE task_instance t SET state = c.to_state, try_number = c.try_number, map_index = c.map_index,
        dag_version_id = c.version_id, retry_at = NULL, reschedule_at = NULL,
        scheduled_at = CASE WHEN c.to_state = 'scheduled' THEN ${nowIso}::timestamptz ELSE t.scheduled_at END,
        start_date = CASE WHEN c.to_state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
          THEN COALESCE(t.start_date, ${nowIso}::timestamptz) ELSE t.start_date END,
        end_date = CASE WHEN c.to_state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
          THEN ${nowIso}::timestamptz WHEN c.to_state = 'scheduled' THEN NULL ELSE t.end_date END,
        duration = CASE WHEN c.to_state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed')
          THEN GREATEST(EXTRACT(EPOCH FROM ${nowIso}::timestamptz - COALESCE(t.start_date, ${nowIso}::timestamptz)), 0)
          WHEN c.to_state = 'scheduled' THEN NULL ELSE t.duration END,
        updated_at = ${nowIso}::timestamptz, ${TOKENS_CLEARED}
      FROM unnest(${changes.map((c) => c.id)}::uuid[], ${changes.map((c) => c.from)}::text[],
        ${changes.map((c) => c.to)}::text[], ${changes.map((c) => c.tryNumber)}::integer[],
        ${changes.map((c) => c.mapIndex)}::integer[], ${changes.map((c) => c.versionId)}::uuid[])
        AS c (id, from_state, to_state, try_number, map_index, version_id)
      WHERE t.id = c.id AND t.state IS NOT DISTINCT FROM c.from_state
      RETURNING t.id`,
    'schedule_apply',
  );
  return rows.map((row) => row.id);
}

/** Ends running runs. Locks: the dag_run rows. */
export async function endRuns(
  db: Db,
  ends: ReadonlyArray<{ readonly id: number; readonly state: 'success' | 'failed' }>,
  nowIso: string,
): Promise<void> {
  if (ends.length === 0) return;
  await db.query(
    sql`UPDATE dag_run r SET state = e.state, end_date = ${nowIso}::timestamptz, updated_at = ${nowIso}::timestamptz,
        last_scheduling_decision = ${nowIso}::timestamptz
      FROM unnest(${ends.map((end) => end.id)}::bigint[], ${ends.map((end) => end.state)}::text[]) AS e (id, state)
      WHERE r.id = e.id AND r.state = 'running'`,
    'schedule_end_runs',
  );
}

/** Pauses Dags whose newest runs have all failed, as many in a row as each says. Locks: the dag rows. @returns their ids */
export async function pauseFailingDags(db: Db, dagIds: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ dag_id: string }>(
    sql`UPDATE dag d SET is_paused = true
      WHERE d.dag_id = ANY(${dagIds}::text[]) AND d.max_consecutive_failed_dag_runs > 0 AND NOT d.is_paused
        AND d.max_consecutive_failed_dag_runs = (SELECT count(*) FROM (
          SELECT r.state FROM dag_run r WHERE r.dag_id = d.dag_id
          ORDER BY r.run_after DESC LIMIT d.max_consecutive_failed_dag_runs) newest WHERE newest.state = 'failed')
      RETURNING d.dag_id`,
    'schedule_pause_failing',
  );
  return rows.map((row) => row.dag_id);
}
