/** Rows of a run's task instances, with what scheduler, queue and worker need of the document copied into them. */
import type { NewTaskInstance } from '@airlock/store/queries/task-instance/insert';
import type { DagModel, TaskModel } from '../domain/dag-model.ts';
import { literalLength } from '../domain/mapping.ts';
import { newId } from './new-ids.ts';

export type RunOfRows = {
  readonly dagRunId: number;
  readonly dagId: string;
  readonly runId: string;
  readonly team: string | null;
  readonly versionId: string;
  readonly nowIso: string;
};

/** One row. Max tries start as the task's retries. */
export function taskInstanceRow(
  run: RunOfRows,
  task: TaskModel,
  mapIndex: number,
  begun?: { readonly state: string | null; readonly tryNumber: number },
): NewTaskInstance {
  return {
    id: newId(run.nowIso),
    dag_run_id: run.dagRunId,
    dag_id: run.dagId,
    run_id: run.runId,
    task_id: task.taskId,
    map_index: mapIndex,
    team: run.team,
    dag_version_id: run.versionId,
    state: begun?.state ?? null,
    try_number: begun?.tryNumber ?? 0,
    max_tries: task.retries,
    operator: task.operatorName,
    task_display_name: task.displayName,
    runtime: task.runtime,
    pool: task.pool,
    pool_slots: task.poolSlots,
    queue: task.queue,
    priority_weight: task.totalWeight,
    executor: task.executor,
    executor_config: task.executorConfig,
    needs: task.needs,
    execution_timeout_seconds: task.executionTimeoutSeconds,
    max_active_per_dag: task.maxActiveTisPerDag,
    max_active_per_run: task.maxActiveTisPerDagrun,
  };
}

/**
 * The rows with which a run begins: one per task, one per index where a mapping is literal. A task whose own dates leave out
 * the logical date has no row; its downstream tasks treat it as absent.
 */
export function initialTaskInstances(run: RunOfRows, model: DagModel, logicalDateMs: number | null): NewTaskInstance[] {
  const rows: NewTaskInstance[] = [];
  for (const task of model.tasks.values()) {
    if (logicalDateMs !== null && !coversDate(task, logicalDateMs)) continue;
    const expansion = task.expansion ?? (task.mappedGroup === null ? null : model.mappedGroups.get(task.mappedGroup));
    const length = expansion ? literalLength(expansion) : null;
    if (length === null || length === 0) rows.push(taskInstanceRow(run, task, -1));
    else for (let index = 0; index < length; index++) rows.push(taskInstanceRow(run, task, index));
  }
  return rows;
}

function coversDate(task: TaskModel, logicalDateMs: number): boolean {
  return (task.startDateMs ?? logicalDateMs) <= logicalDateMs && logicalDateMs <= (task.endDateMs ?? logicalDateMs);
}
