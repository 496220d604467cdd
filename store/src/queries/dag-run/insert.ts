import { type Db, sql } from '../../database.ts';

export type NewDagRun = {
  readonly dagId: string;
  readonly runId: string;
  readonly team: string | null;
  readonly runType: string;
  readonly triggeredBy: string;
  readonly triggeringUserName: string | null;
  /** The try that made it; null = no task did. */
  readonly triggerTry: string | null;
  readonly logicalDate: string | null;
  readonly intervalStart: string | null;
  readonly intervalEnd: string | null;
  readonly runAfter: string;
  readonly conf: unknown;
  readonly note: string | null;
  readonly noteUser: string | null;
  readonly createdVersionId: string | null;
  readonly bundleVersion: string | null;
  readonly partitionKey: string | null;
  readonly partitionDate: string | null;
  readonly nowIso: string;
};

/**
 * Creates a queued run. Locks: the new row; waits for a concurrent insert of the same run id or logical date.
 * @returns null when the run id, or the logical date, is taken.
 */
export async function insertDagRun(db: Db, run: NewDagRun): Promise<number | null> {
  const rows = await db.query<{ id: number }>(
    sql`INSERT INTO dag_run (dag_id, run_id, team, state, run_type, triggered_by, triggering_user_name, trigger_try, logical_date,
        data_interval_start, data_interval_end, run_after, queued_at, updated_at, conf, note, note_user,
        created_version_id, bundle_version, partition_key, partition_date)
      VALUES (${run.dagId}, ${run.runId}, ${run.team}, 'queued', ${run.runType}, ${run.triggeredBy},
        ${run.triggeringUserName}, ${run.triggerTry}::uuid, ${run.logicalDate}::timestamptz, ${run.intervalStart}::timestamptz,
        ${run.intervalEnd}::timestamptz, ${run.runAfter}::timestamptz, ${run.nowIso}::timestamptz,
        ${run.nowIso}::timestamptz, ${JSON.stringify(run.conf)}::json, ${run.note}, ${run.noteUser},
        ${run.createdVersionId}::uuid, ${run.bundleVersion}, ${run.partitionKey}, ${run.partitionDate}::timestamptz)
      ON CONFLICT DO NOTHING RETURNING id`,
    'run_insert',
  );
  return rows[0]?.id ?? null;
}
