/** States that a user sets by hand. @see scheduling semantics 11.2, 11.3; REST 5.2, 5.4 */
import { AppError } from '@airlock/contract/errors';
import { isFinished, type TaskInstanceState } from '@airlock/contract/states';
import { type Db, notify } from '@airlock/store';
import { lockRun } from '@airlock/store/queries/dag-run/lock';
import { markRun, requeueRun } from '@airlock/store/queries/dag-run/set-state';
import { dropMetDeadlines, moveQueuedDeadlines } from '@airlock/store/queries/deadline/follow';
import { setStates } from '@airlock/store/queries/task-instance/refresh';
import { lockTisOfRuns } from '@airlock/store/queries/task-instance/select-live';
import { companions, type TaskSelector } from '../domain/clearing.ts';
import { allDownstream, allUpstream, type DagModel } from '../domain/dag-model.ts';
import { type ClearedTi, clearChosen, isFailed, lockRunsToClear } from './clear.ts';
import { loadModel } from './models.ts';

const RUNNING_LIKE: readonly string[] = ['running', 'deferred', 'up_for_reschedule', 'awaiting_input'];

export type SetRunState = {
  readonly dagId: string;
  readonly runId: string;
  readonly state: 'queued' | 'success' | 'failed';
  readonly nowIso: string;
};

/**
 * Sets a run's state. `success` and `failed` end its task instances too: what runs gets that state and loses its tokens, what
 * has not begun is skipped, teardowns are spared and may still run, in which case the run ends with them.
 * `queued` starts the run again without touching its task instances. Locks: the run, then its task instances.
 * @throws NOT_FOUND
 */
export async function setDagRunState(tx: Db, options: SetRunState): Promise<void> {
  const { dagId, runId, state, nowIso } = options;
  const run = await lockRun(tx, dagId, runId);
  if (!run) {
    throw new AppError('NOT_FOUND', {
      public: `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` was not found`,
    });
  }
  await notify(tx, { kind: 'run', dagRunId: run.id });
  await notify(tx, { kind: 'schedule' });
  if (state === 'queued') {
    await requeueRun(tx, { id: run.id, nowIso });
    await moveQueuedDeadlines(tx, { dagRunIds: [run.id], nowIso });
    return;
  }
  const versionId = run.created_version_id ?? run.current_version_id;
  const model = versionId === null ? null : await loadModel(tx, versionId);
  const unfinished = (await lockTisOfRuns(tx, [run.id])).filter(
    (ti) => !isFinished(ti.state as TaskInstanceState | null),
  );
  const isTeardown = (taskId: string) => model?.tasks.get(taskId)?.isTeardown === true;
  await setStates(
    tx,
    unfinished
      .filter((ti) => !isTeardown(ti.task_id))
      .map((ti) => ({ id: ti.id, state: RUNNING_LIKE.includes(ti.state ?? '') ? state : 'skipped' })),
    nowIso,
  );
  const teardownsLeft = unfinished.some((ti) => isTeardown(ti.task_id));
  if (!teardownsLeft) await markRun(tx, { id: run.id, state, nowIso });
  if (!teardownsLeft && state === 'success') await dropMetDeadlines(tx, { dagRunIds: [run.id], nowIso });
}

export type SetTiState = {
  readonly dagId: string;
  readonly runId: string;
  readonly tasks: readonly TaskSelector[];
  readonly includeUpstream?: boolean;
  readonly includeDownstream?: boolean;
  readonly state: 'success' | 'failed' | 'skipped';
  /** Change nothing; answer what would change. */
  readonly dryRun?: boolean;
  readonly nowIso: string;
};

export type SetTiResult = {
  /** Ids whose state was, or would be, set. */
  readonly changed: readonly string[];
  /** Failed tasks after them that were cleared, so that the run can go on. */
  readonly cleared: readonly ClearedTi[];
};

/**
 * Sets the state of task instances of one run; a running one loses its tokens, so its worker stops. Failed ones downstream
 * are cleared with failed setups and teardowns that they need, and a run that had ended is queued again by that; what has just
 * been set stays. Locks: the run, then its task instances.
 * @throws NOT_FOUND no such run
 */
export async function setTaskInstanceState(tx: Db, options: SetTiState): Promise<SetTiResult> {
  const { dagId, runId, state, nowIso } = options;
  const run = await lockRun(tx, dagId, runId);
  if (!run) {
    throw new AppError('NOT_FOUND', {
      public: `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` was not found`,
    });
  }
  const locked = await lockRunsToClear(tx, [run.id], false);
  const model = locked.ownModelOf(run.id);
  const named = new Set(options.tasks.map((task) => task.taskId));
  const related = relativesOf(model, named, options);
  const chosen = locked.tis.filter(
    (ti) =>
      related.has(ti.task_id) ||
      options.tasks.some((s) => s.taskId === ti.task_id && (s.mapIndex ?? ti.map_index) === ti.map_index),
  );
  const changed = chosen.filter((ti) => ti.state !== state).map((ti) => ti.id);
  if (options.dryRun) return { changed, cleared: [] };
  await setStates(
    tx,
    changed.map((id) => ({ id, state })),
    nowIso,
  );
  const after = model ? companions(model, [...named], { downstream: true }) : new Set<string>();
  const set = new Set(chosen.map((ti) => ti.id));
  const failedAfter = locked.tis.filter(
    (ti) => isFailed(ti) && after.has(ti.task_id) && !named.has(ti.task_id) && !set.has(ti.id),
  );
  const cleared = await clearChosen(tx, locked, failedAfter, { nowIso });
  await notify(tx, { kind: 'run', dagRunId: run.id });
  return { changed, cleared };
}

/** Whole tasks that get the state too. Teardowns do not go with what is upstream of them: they run for it. */
function relativesOf(model: DagModel | undefined, named: ReadonlySet<string>, options: SetTiState): Set<string> {
  const related = new Set<string>();
  for (const taskId of model ? named : []) {
    if (options.includeUpstream) for (const id of allUpstream(model!, taskId)) related.add(id);
    if (!options.includeDownstream) continue;
    for (const id of allDownstream(model!, taskId)) if (!model!.tasks.get(id)!.isTeardown) related.add(id);
  }
  return related;
}
