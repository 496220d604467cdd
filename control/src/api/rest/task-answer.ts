/** Task instances and tries as the wire shows them. @see rest-api 5.5 */
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { type DagVersionRow, getDagVersionsById } from '@airlock/store/queries/rest-dag/versions';
import type { TaskInstanceKey, TaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import type { TryRow } from '@airlock/store/queries/rest-task/tries';
import type { DagModel } from '../../domain/dag-model.ts';
import { printPython } from '../../domain/python-text.ts';
import { untag } from '../../domain/values.ts';
import { wireInstant } from '../http/instant.ts';
import { versionAnswer } from './dag-answer.ts';
import { jobAnswer } from './job-answer.ts';
import { modelsOf } from './models.ts';

type Looked = { versions: ReadonlyMap<string, DagVersionRow>; models: ReadonlyMap<string, DagModel> };

async function lookUp(db: Db, rows: ReadonlyArray<Pick<TryRow, 'dag_version_id'>>): Promise<Looked> {
  const ids = [...new Set(rows.map((row) => row.dag_version_id).filter((id) => id !== null))];
  const [versions, models] = await Promise.all([getDagVersionsById(db, ids), modelsOf(db, ids)]);
  return { versions: new Map(versions.map((version) => [version.id, version])), models };
}

function common(row: TryRow, looked: Looked): Record<string, unknown> {
  const version = looked.versions.get(row.dag_version_id ?? '');
  const task = looked.models.get(row.dag_version_id ?? '')?.tasks.get(row.task_id);
  return {
    task_id: row.task_id,
    dag_id: row.dag_id,
    dag_run_id: row.run_id,
    map_index: row.map_index,
    start_date: wireInstant(row.start_date),
    end_date: wireInstant(row.end_date),
    duration: row.duration,
    state: row.state,
    try_number: row.try_number,
    max_tries: row.max_tries,
    task_display_name: row.task_display_name,
    dag_display_name: row.dag_display_name,
    hostname: row.hostname,
    unixname: row.unixname,
    pool: row.pool,
    pool_slots: row.pool_slots,
    queue: row.queue,
    priority_weight: row.priority_weight,
    operator: task?.taskType ?? row.operator,
    operator_name: task?.operatorName ?? row.operator,
    queued_when: wireInstant(row.queued_at),
    scheduled_when: wireInstant(row.scheduled_at),
    pid: row.pid,
    executor: row.executor,
    executor_config: printPython(untag(row.executor_config ?? {})),
    dag_version: version ? versionAnswer(version) : null,
  };
}

export async function taskAnswers(db: Db, rows: readonly TaskInstanceRow[]): Promise<Array<Record<string, unknown>>> {
  const looked = await lookUp(db, rows);
  return rows.map((row) => ({
    id: row.id,
    ...common(row, looked),
    logical_date: wireInstant(row.logical_date),
    run_after: wireInstant(row.run_after),
    note: row.note,
    rendered_map_index: row.rendered_map_index ?? (row.map_index >= 0 ? String(row.map_index) : null),
    rendered_fields: row.rendered_fields ?? {},
    trigger: row.trigger && triggerAnswer(row.trigger),
    triggerer_job: row.trigger?.job ? jobAnswer(row.trigger.job) : null,
  }));
}

/** Its arguments are the task's own, and shown to nobody. */
function triggerAnswer(trigger: NonNullable<TaskInstanceRow['trigger']>): object {
  return {
    id: trigger.id,
    classpath: trigger.classpath,
    kwargs: '{}',
    created_date: wireInstant(trigger.created_at),
    queue: trigger.queue,
    triggerer_id: trigger.job?.id ?? null,
  };
}

export async function tryAnswers(db: Db, rows: readonly TryRow[]): Promise<Array<Record<string, unknown>>> {
  const looked = await lookUp(db, rows);
  return rows.map((row) => common(row, looked));
}

/** `The Task Instance with dag_id: …`; the reference names no index for unmapped ones. */
export function taskNotFound(key: Omit<TaskInstanceKey, 'mapIndex'>, mapIndex?: number): AppError {
  const { dagId, runId, taskId } = key;
  const where = `dag_id: \`${dagId}\`, run_id: \`${runId}\``;
  const text =
    mapIndex === undefined
      ? `The Task Instance with ${where} and task_id: \`${taskId}\` was not found`
      : `The Mapped Task Instance with ${where}, task_id: \`${taskId}\`, and map_index: \`${mapIndex}\` was not found`;
  return new AppError('NOT_FOUND', { public: text });
}

/** The same text as the reference words it where an index counts. */
export function indexedNotFound(key: Omit<TaskInstanceKey, 'mapIndex'>, mapIndex: number | undefined): string {
  const { dagId, runId, taskId } = key;
  const shown = mapIndex === undefined ? 'None' : String(mapIndex);
  return `The Task Instance with dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\` and map_index: \`${shown}\` was not found`;
}

/** Its `detail` is a list of one text: the reference's slip, which clients know. @param mapIndex undefined = any */
export function listedNotFound(key: Omit<TaskInstanceKey, 'mapIndex'>, mapIndex: number | undefined): AppError {
  const text = indexedNotFound(key, mapIndex);
  return new AppError('NOT_FOUND', { public: text, detail: [text] });
}
