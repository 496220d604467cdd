/** Clears task instances, so that they run again. @see scheduling semantics 11.1; REST 5.3 */
import { AppError } from '@airlock/contract/errors';
import { type Db, notify } from '@airlock/store';
import { type LockedRun, lockRunsById } from '@airlock/store/queries/dag-run/lock';
import { resetClearedRuns } from '@airlock/store/queries/dag-run/set-state';
import { moveQueuedDeadlines } from '@airlock/store/queries/deadline/follow';
import { closeTries } from '@airlock/store/queries/task-instance/close-try';
import { refreshTaskInstances } from '@airlock/store/queries/task-instance/refresh';
import { type LiveTi, lockTisOfRuns } from '@airlock/store/queries/task-instance/select-live';
import { isSelected, type Relatives, selectTasks, type TaskSelector } from '../domain/clearing.ts';
import type { DagModel } from '../domain/dag-model.ts';
import { loadModels } from './models.ts';
import { newId } from './new-ids.ts';
import { taskInstanceRow } from './new-task-instances.ts';

export type ClearOptions = Relatives & {
  readonly dagId: string;
  /** Database ids of the runs. */
  readonly dagRunIds: readonly number[];
  /** Absent or null = all tasks. */
  readonly tasks?: readonly TaskSelector[] | null;
  /** `failed` and `upstream_failed` only; `running` only; with both all of these, as in the reference. */
  readonly onlyFailed?: boolean;
  readonly onlyRunning?: boolean;
  /** False: the runs keep their state. */
  readonly resetDagRuns?: boolean;
  /** Refuse instead of stopping what runs. */
  readonly preventRunningTask?: boolean;
  readonly runOnLatestVersion?: boolean;
  /** Change nothing; answer what would be cleared. */
  readonly dryRun?: boolean;
  readonly nowIso: string;
};

export type ClearedTi = LiveTi & { readonly newId: string };

/**
 * Whether what runs again moves to the newest version of its Dag: who asks decides, then the Dag, then the configuration. Pure.
 * @param configured `[core] rerun_with_latest_version`
 * @param otherwise where none of them says: true for backfills, false for clears
 */
export function runsOnLatest(
  asked: boolean | null | undefined,
  model: DagModel | null,
  configured: boolean | null,
  otherwise: boolean,
): boolean {
  return asked ?? model?.rerunWithLatestVersion ?? configured ?? otherwise;
}

/** Runs that are locked with their task instances. */
export type RunsToClear = {
  readonly runs: readonly LockedRun[];
  readonly tis: readonly LiveTi[];
  /** The Dag as the run has it: by that its tasks are selected. */
  readonly ownModelOf: (runId: number) => DagModel | undefined;
  /** The version by which the run goes on, and the Dag as that has it. */
  readonly versionOf: (runId: number) => string | null;
  readonly modelOf: (runId: number) => DagModel | undefined;
};

/** Locks: the dag_run rows, then their task_instance rows. Runs that are gone are left out. */
export async function lockRunsToClear(tx: Db, dagRunIds: readonly number[], latest: boolean): Promise<RunsToClear> {
  const runs = await lockRunsById(tx, dagRunIds);
  const byId = new Map(runs.map((run) => [run.id, run]));
  const own = (runId: number) => byId.get(runId)?.created_version_id ?? byId.get(runId)?.current_version_id ?? null;
  const versionOf = (runId: number) => (latest ? (byId.get(runId)?.current_version_id ?? null) : own(runId));
  const versions = runs.flatMap((run) => [own(run.id), versionOf(run.id)]).filter((id) => id !== null);
  const models = await loadModels(tx, versions);
  const tis = await lockTisOfRuns(
    tx,
    runs.map((run) => run.id),
  );
  const ownModelOf = (runId: number) => models.get(own(runId) ?? '');
  return { runs, tis, ownModelOf, versionOf, modelOf: (runId) => models.get(versionOf(runId) ?? '') };
}

const FAILED: readonly (string | null)[] = ['failed', 'upstream_failed'];
/** A process of these may still run; they go on when it has ended. */
const HELD: readonly (string | null)[] = ['running', 'restarting'];

export const isFailed = (ti: LiveTi): boolean => FAILED.includes(ti.state);

/**
 * Selects task instances of the runs and clears them.
 * @returns what was, or with `dryRun` would be, cleared.
 * @throws CONFLICT when something runs and that was to prevent it
 */
export async function clearTaskInstances(tx: Db, options: ClearOptions): Promise<readonly ClearedTi[]> {
  const locked = await lockRunsToClear(tx, options.dagRunIds, options.runOnLatestVersion === true);
  const selections = new Map(
    locked.runs.map((run) => [run.id, selection(locked.ownModelOf(run.id), options)] as const),
  );
  const states = [...(options.onlyFailed ? FAILED : []), ...(options.onlyRunning ? ['running'] : [])];
  const chosen = locked.tis.filter(
    (ti) => selections.get(ti.dag_run_id)!(ti) && (states.length === 0 || states.includes(ti.state)),
  );
  if (options.dryRun) return chosen.map((ti) => ({ ...ti, newId: ti.id }));
  if (options.preventRunningTask && chosen.some((ti) => ti.state === 'running')) {
    throw new AppError('CONFLICT', {
      public:
        "AirflowClearRunningTaskException: Disable 'prevent_running_task' to proceed, or wait until the task is not running, queued, or scheduled state.",
    });
  }
  return clearChosen(tx, locked, chosen, options);
}

function selection(model: DagModel | undefined, options: ClearOptions): (ti: LiveTi) => boolean {
  if (!options.tasks) return () => true;
  if (!model) {
    const { tasks } = options;
    return (ti) => tasks.some((s) => s.taskId === ti.task_id && (s.mapIndex ?? ti.map_index) === ti.map_index);
  }
  const selected = selectTasks(model, options.tasks, options);
  return (ti) => isSelected(selected, ti.task_id, ti.map_index);
}

/**
 * Archives the current tries under their ids and gives each task instance a new id and a full new budget. What runs becomes
 * `restarting` and loses its tokens in the same transaction; its budget stays. Needs the rows locked.
 */
export async function clearChosen(
  tx: Db,
  locked: RunsToClear,
  chosen: readonly LiveTi[],
  options: Pick<ClearOptions, 'resetDagRuns' | 'runOnLatestVersion' | 'nowIso'>,
): Promise<readonly ClearedTi[]> {
  if (chosen.length === 0) return [];
  const { nowIso } = options;
  const cleared = chosen.map((ti) => ({ ...ti, newId: newId(nowIso) }));
  await closeTries(
    tx,
    cleared.map((ti) => ({
      id: ti.id,
      new_id: ti.newId,
      to_state: HELD.includes(ti.state) ? 'restarting' : null,
      retry_at: null,
      max_tries: budgetOf(ti, locked.modelOf(ti.dag_run_id)),
      reported_state: null,
      end_date: nowIso,
      retry_delay_override: null,
      retry_reason: null,
    })),
    nowIso,
  );
  await refresh(tx, locked, cleared, nowIso);
  await resetRuns(tx, locked, cleared, options);
  return cleared;
}

/** Tries that are allowed from now on, the past ones included; null = as it is. */
function budgetOf(ti: LiveTi, model: DagModel | undefined): number | null {
  if (ti.state === 'running') return null;
  const task = model?.tasks.get(ti.task_id);
  return task ? ti.try_number + task.retries : Math.max(ti.max_tries, ti.try_number);
}

/** Pool, queue, weight and so on are taken anew from the task. */
async function refresh(tx: Db, locked: RunsToClear, cleared: readonly ClearedTi[], nowIso: string): Promise<void> {
  const byId = new Map(locked.runs.map((run) => [run.id, run]));
  const rows = cleared.flatMap((ti) => {
    const run = byId.get(ti.dag_run_id)!;
    const task = locked.modelOf(run.id)?.tasks.get(ti.task_id);
    const versionId = locked.versionOf(run.id);
    if (!task || !versionId) return [];
    const of = { dagRunId: run.id, dagId: run.dag_id, runId: run.run_id, team: run.team, versionId, nowIso };
    return [{ ...taskInstanceRow(of, task, ti.map_index), id: ti.newId }];
  });
  await refreshTaskInstances(tx, rows);
}

async function resetRuns(
  tx: Db,
  { runs }: RunsToClear,
  cleared: readonly ClearedTi[],
  options: Pick<ClearOptions, 'resetDagRuns' | 'runOnLatestVersion' | 'nowIso'>,
): Promise<void> {
  const touched = new Set(cleared.map((ti) => ti.dag_run_id));
  const ids = runs.filter((run) => touched.has(run.id)).map((run) => run.id);
  if (options.resetDagRuns !== false) {
    const latest = options.runOnLatestVersion ? (runs[0]?.current_version_id ?? null) : null;
    await resetClearedRuns(tx, { ids, versionId: latest, nowIso: options.nowIso });
    await moveQueuedDeadlines(tx, { dagRunIds: ids, nowIso: options.nowIso });
  }
  for (const id of ids) await notify(tx, { kind: 'run', dagRunId: id });
}
