/** Makes the scheduled runs that are due, one per Dag and pass. @see scheduling semantics 3.1 */
import { randomBytes } from 'node:crypto';
import type { Db } from '@airlock/store';
import { insertDagRun } from '@airlock/store/queries/dag-run/insert';
import { type DueDag, lockDueDags } from '@airlock/store/queries/schedule/due';
import { insertTaskInstances } from '@airlock/store/queries/task-instance/insert';
import type { DagModel } from '../domain/dag-model.ts';
import { instantIso, instantIsoOrNull, instantMs } from '../domain/instants.ts';
import { generatePartitionRunId, generateRunId } from '../domain/run-id.ts';
import { answeredRunId } from '../runs/asked-timetables.ts';
import { createDeadlines } from '../runs/deadlines.ts';
import { loadModels } from '../runs/models.ts';
import { initialTaskInstances } from '../runs/new-task-instances.ts';
import { lastRun, nextRun, refreshNextRun, type Tick } from '../runs/next-run.ts';

export type CreateResult = {
  readonly created: readonly number[];
  /** Something was done: there may be more. */
  readonly more: boolean;
  /** Dags that are due but may not be scheduled, for the log. */
  readonly denied: readonly string[];
};

/** One transaction. A run with that logical date, or name, that exists already is not made again; the schedule moves on. */
export async function createDueRuns(tx: Db, options: { nowMs: number; limit: number }): Promise<CreateResult> {
  const nowIso = instantIso(options.nowMs);
  const due = await lockDueDags(tx, { nowIso, limit: options.limit });
  const models = await loadModels(
    tx,
    due.map((dag) => dag.current_version_id),
  );
  const created: number[] = [];
  const denied: string[] = [];
  for (const dag of due) {
    const model = models.get(dag.current_version_id);
    if (!model) continue;
    const tick = newestDue(dag, model, options.nowMs);
    if (dag.allowed_run_types && !dag.allowed_run_types.includes('scheduled')) denied.push(dag.dag_id);
    else {
      const id = await createScheduledRun(tx, { ...dag, ...tick }, model, nowIso);
      if (id !== null) created.push(id);
    }
    await refreshNextRun(tx, model, nowIso, tick);
  }
  // A Dag without a model stays due, and is looked at again with the next slow look.
  return { created, more: due.some((dag) => models.has(dag.current_version_id)), denied };
}

/**
 * Without catchup an outage, or a pause, yields one run, the newest: a stored tick after which another one is due already is
 * passed over. Not so where the next run always begins at once (@continuous), and where only a dag-processor could say which.
 */
function newestDue(dag: DueDag, model: DagModel, nowMs: number): Tick & { readonly next_logical_date: string | null } {
  if (model.catchup || model.timetable.isAsked || model.timetable.type === 'ContinuousTimetable') return dag;
  const next = nextRun(model, lastRun(dag), nowMs);
  if (next === null || next.runAfterMs > nowMs) return dag;
  return {
    next_create_after: instantIso(next.runAfterMs),
    next_logical_date: instantIsoOrNull(next.logicalDateMs),
    next_interval_start: instantIsoOrNull(next.interval?.startMs ?? null),
    next_interval_end: instantIsoOrNull(next.interval?.endMs ?? null),
  };
}

async function createScheduledRun(tx: Db, dag: DueDag, model: DagModel, nowIso: string): Promise<number | null> {
  const { next_interval_start: start, next_interval_end: end, next_create_after: runAfter } = dag;
  const partition = model.timetable.partitions?.at?.(Date.parse(runAfter)) ?? null;
  return insertAutomaticRun(tx, dag, model, {
    runType: 'scheduled',
    triggeredBy: 'timetable',
    runId: partition
      ? generatePartitionRunId('scheduled', runAfter, partition.key, randomBytes(4).toString('hex'))
      : (answeredRunId(dag, start) ?? generateRunId('scheduled', runAfter)),
    partition,
    logicalDate: dag.next_logical_date,
    interval: start === null || end === null ? null : { start, end },
    runAfter,
    nowIso,
  });
}

export type AutomaticRun = {
  readonly runType: 'scheduled' | 'asset_triggered';
  readonly triggeredBy: 'timetable' | 'asset';
  readonly runId: string;
  readonly logicalDate: string | null;
  readonly interval: { readonly start: string; readonly end: string } | null;
  readonly runAfter: string;
  readonly partition: { readonly key: string; readonly dateMs: number | null } | null;
  readonly nowIso: string;
};

/** A queued run that nobody asked for, with its task instances. @returns null when its name or logical date is taken */
export async function insertAutomaticRun(
  tx: Db,
  dag: Pick<DueDag, 'dag_id' | 'team' | 'current_version_id' | 'bundle_version'>,
  model: DagModel,
  { runType, triggeredBy, runId, logicalDate, interval, runAfter, partition, nowIso }: AutomaticRun,
): Promise<number | null> {
  const pinned = dag.bundle_version !== null && !model.disableBundleVersioning;
  const id = await insertDagRun(tx, {
    dagId: dag.dag_id,
    runId,
    team: dag.team,
    runType,
    triggeredBy,
    triggeringUserName: null,
    triggerTry: null,
    logicalDate,
    intervalStart: interval?.start ?? null,
    intervalEnd: interval?.end ?? null,
    runAfter,
    conf: {},
    note: null,
    noteUser: null,
    createdVersionId: pinned ? dag.current_version_id : null,
    bundleVersion: pinned ? dag.bundle_version : null,
    partitionKey: partition?.key ?? null,
    partitionDate: instantIsoOrNull(partition?.dateMs ?? null),
    nowIso,
  });
  if (id === null) return null;
  const run = { dagRunId: id, dagId: dag.dag_id, runId, team: dag.team, versionId: dag.current_version_id, nowIso };
  await insertTaskInstances(tx, initialTaskInstances(run, model, instantMs(logicalDate)), nowIso);
  await createDeadlines(tx, { ...run, model, logicalDate });
  return id;
}
