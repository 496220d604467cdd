import { type Db, sql } from '../../database.ts';

export type EventLogEntry = {
  readonly nowIso: string;
  readonly event: string;
  readonly owner: string | null;
  readonly dagId?: string | null;
  readonly taskId?: string | null;
  readonly runId?: string | null;
  readonly mapIndex?: number | null;
  readonly tryNumber?: number | null;
  readonly logicalDate?: string | null;
  /** JSON text, already masked. */
  readonly extra: string | null;
};

/** Appends one audit row; run in the transaction of the change that it records. Locks nothing else. */
export async function insertEventLog(db: Db, entry: EventLogEntry): Promise<void> {
  await db.query(
    sql`INSERT INTO event_log (at, event, owner, dag_id, task_id, run_id, map_index, try_number, logical_date, extra)
      VALUES (${entry.nowIso}, ${entry.event}, ${entry.owner}, ${entry.dagId ?? null}, ${entry.taskId ?? null},
        ${entry.runId ?? null}, ${entry.mapIndex ?? null}, ${entry.tryNumber ?? null}, ${entry.logicalDate ?? null},
        ${entry.extra})`,
    'event_log_insert',
  );
}
