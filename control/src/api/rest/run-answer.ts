/** Runs as the wire shows them. */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';
import type { Db } from '@airlock/store';
import { type DagVersionRow, getDagVersionsById } from '@airlock/store/queries/rest-dag/versions';
import { getRunRow, type RunRow } from '@airlock/store/queries/rest-run/list';
import { wireInstant } from '../http/instant.ts';
import { versionAnswer } from './dag-answer.ts';

export function runNotFound(dagId: string, runId: string): AppError {
  return new AppError('NOT_FOUND', {
    public: `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` was not found`,
  });
}

function answer(row: RunRow, versions: ReadonlyMap<string, DagVersionRow>): Record<string, unknown> {
  return {
    dag_run_id: row.run_id,
    dag_id: row.dag_id,
    logical_date: wireInstant(row.logical_date),
    queued_at: wireInstant(row.queued_at),
    start_date: wireInstant(row.start_date),
    end_date: wireInstant(row.end_date),
    duration: row.duration,
    data_interval_start: wireInstant(row.data_interval_start),
    data_interval_end: wireInstant(row.data_interval_end),
    run_after: wireInstant(row.run_after),
    last_scheduling_decision: wireInstant(row.last_scheduling_decision),
    run_type: row.run_type,
    state: row.state,
    triggered_by: row.triggered_by,
    triggering_user_name: row.triggering_user_name,
    conf: parseExact(row.conf),
    note: row.note,
    dag_versions: row.version_ids.flatMap((id) => (versions.has(id) ? [versionAnswer(versions.get(id)!)] : [])),
    bundle_version: row.bundle_version,
    dag_display_name: row.dag_display_name,
    partition_key: row.partition_key,
    partition_date: wireInstant(row.partition_date),
  };
}

export async function runAnswers(db: Db, rows: readonly RunRow[]): Promise<Array<Record<string, unknown>>> {
  const found = await getDagVersionsById(db, [...new Set(rows.flatMap((row) => row.version_ids))]);
  const versions = new Map(found.map((version) => [version.id, version]));
  return rows.map((row) => answer(row, versions));
}

/** @throws NOT_FOUND */
export async function loadRun(db: Db, dagId: string, runId: string): Promise<RunRow> {
  const row = await getRunRow(db, dagId, runId);
  if (!row) throw runNotFound(dagId, runId);
  return row;
}

/** The run as it stands now. @throws NOT_FOUND */
export async function freshRunAnswer(db: Db, dagId: string, runId: string): Promise<Record<string, unknown>> {
  return (await runAnswers(db, [await loadRun(db, dagId, runId)]))[0]!;
}
