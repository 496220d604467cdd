/** Clears task instances, so that they run again. @see scheduling semantics 11.1; REST 5.3 */
import { AppError } from '@airlock/contract/errors';
import { type Db, notify } from '@airlock/store';
import { type LockedRun, lockRunsById } from '@airlock/store/queries/dag-run/lock';
import { resetClearedRuns } from '@airlock/store/queries/dag-run/set-state';
import { moveQueuedDeadlines } from '@airlock/store/queries/deadline/follow';
import { closeTries } from '@airlock/store/queries/task-instance/close-try';
import { refreshTaskInstances } from '@airlock/store/queries/task-instance/refresh';
import { type LiveTi, lockTisOfRuns } from '@airlock/store/queries/task-instance/select-live';
import { allDownstream, allUpstream, type DagModel } from '../domain/dag-model.ts';
import { loadModels } from './models.ts';
import { newId } from './new-ids.ts';
import { taskInstanceRow } from './new-task-instances.ts';

/** One task, or one index of it. */
export type TaskSelector = { readonly taskId: string; readonly mapIndex?: number };

export type ClearOptions = {
  readonly dagId: string;
  /** Database ids of the runs. */
  readonly dagRunIds: readonly number[];
  /** Absent or null = all tasks. */
  readonly tasks?: readonly TaskSelector[] | null;
  readonly includeUpstream?: boolean;
  readonly includeDownstream?: boolean;
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

/**
 * Archives the current tries under their ids and gives each task instance a new id and a full new budget. What runs becomes
 * `restarting` and loses its tokens in the same transaction. Locks: dag_run rows, then task_instance rows.
 * @returns what was, or with `dryRun` would be, cleared.
 * @throws CONFLICT when something runs and that was to prevent it
 */
export async function clearTaskInstances(tx: Db, options: ClearOptions): Promise<readonly ClearedTi[]> {
  const { nowIso } = options;
  const runs = await lockRunsById(tx, options.dagRunIds);
  if (runs.length === 0) return [];
  const versions = new Map(runs.map((run) => [run.id, versionOf(run, options.runOnLatestVersion === true)]));
  const models = await loadModels(
    tx,
    [...versions.values()].filter((id) => id !== null),
  );
  const modelOf = (runId: number): DagModel | undefined => models.get(versions.get(runId) ?? '');
  const tis = await lockTisOfRuns(
    tx,
    runs.map((run) => run.id),
  );
  const selectors = new Map(runs.map((run) => [run.id, selection(modelOf(run.id), options)] as const));
  const states = [
    ...(options.onlyFailed ? ['failed', 'upstream_failed'] : []),
    ...(options.onlyRunning ? ['running'] : []),
  ];
  const chosen = tis.filter((ti) => {
    const selected = selectors.get(ti.dag_run_id)!;
    return selected(ti) && (states.length === 0 || states.includes(ti.state ?? ''));
  });
  if (options.preventRunningTask && chosen.some((ti) => ['running', 'queued', 'scheduled'].includes(ti.state ?? ''))) {
    throw new AppError('CONFLICT', {
      public:
        "AirflowClearRunningTaskException: Disable 'prevent_running_task' to proceed, or wait until the task is not running, queued, or scheduled state.",
    });
  }
  const cleared = chosen.map((ti) => ({ ...ti, newId: newId(nowIso) }));
  if (options.dryRun) return cleared.map((ti) => ({ ...ti, newId: ti.id }));

  const retriesOf = (ti: LiveTi): number => modelOf(ti.dag_run_id)?.tasks.get(ti.task_id)?.retries ?? 0;
  await closeTries(
    tx,
    cleared.map((ti) => ({
      id: ti.id,
      new_id: ti.newId,
      to_state: ti.state === 'running' ? 'restarting' : null,
      retry_at: null,
      max_tries: ti.try_number + retriesOf(ti),
      reported_state: null,
      end_date: nowIso,
      retry_delay_override: null,
      retry_reason: null,
    })),
    nowIso,
  );
  await refresh(tx, runs, cleared, versions, modelOf, nowIso);
  if (cleared.length > 0) await resetRuns(tx, options, runs, cleared);
  return cleared;
}

function versionOf(run: LockedRun, latest: boolean): string | null {
  return latest ? run.current_version_id : (run.created_version_id ?? run.current_version_id);
}

/** Setups and teardowns of selected tasks come along. */
function selection(model: DagModel | undefined, options: ClearOptions): (ti: LiveTi) => boolean {
  const { tasks } = options;
  if (!tasks) return () => true;
  const exact = new Map<string, Set<number> | null>();
  const all = (id: string) => exact.set(id, null);
  for (const { taskId, mapIndex } of tasks) {
    if (mapIndex === undefined) all(taskId);
    else if (exact.get(taskId) !== null) exact.set(taskId, new Set([...(exact.get(taskId) ?? []), mapIndex]));
  }
  if (model) {
    for (const { taskId } of tasks) {
      if (options.includeUpstream) for (const id of allUpstream(model, taskId)) all(id);
      if (options.includeDownstream) for (const id of allDownstream(model, taskId)) all(id);
    }
    for (const id of [...exact.keys()]) {
      for (const setup of model.scopes.setupsOf.get(id) ?? []) all(setup);
      for (const [teardown, scope] of model.scopes.scopeOf) if (scope.includes(id)) all(teardown);
    }
  }
  return (ti) => {
    if (!exact.has(ti.task_id)) return false;
    const indexes = exact.get(ti.task_id);
    return indexes === null || indexes === undefined || indexes.has(ti.map_index);
  };
}

/** Pool, queue, weight and so on are taken anew from the task. */
async function refresh(
  tx: Db,
  runs: readonly LockedRun[],
  cleared: readonly ClearedTi[],
  versions: ReadonlyMap<number, string | null>,
  modelOf: (runId: number) => DagModel | undefined,
  nowIso: string,
): Promise<void> {
  const byId = new Map(runs.map((run) => [run.id, run]));
  const rows = cleared.flatMap((ti) => {
    const run = byId.get(ti.dag_run_id)!;
    const task = modelOf(run.id)?.tasks.get(ti.task_id);
    const versionId = versions.get(run.id);
    if (!task || !versionId) return [];
    const of = { dagRunId: run.id, dagId: run.dag_id, runId: run.run_id, team: run.team, versionId, nowIso };
    return [{ ...taskInstanceRow(of, task, ti.map_index), id: ti.newId }];
  });
  await refreshTaskInstances(tx, rows);
}

async function resetRuns(
  tx: Db,
  options: ClearOptions,
  runs: readonly LockedRun[],
  cleared: readonly ClearedTi[],
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
