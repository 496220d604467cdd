/**
 * One pass of the scheduler: start what may start, decide about the runs in which something changed, queue what has room.
 * One transaction under the schedule lock; its statements do not grow in number with the runs that are in it.
 */
import type { Db } from '@airlock/store';
import { dropMetDeadlines } from '@airlock/store/queries/deadline/follow';
import { applyChanges, endRuns, pauseFailingDags } from '@airlock/store/queries/schedule/apply';
import { findCandidates } from '@airlock/store/queries/schedule/candidates';
import { findHeldRuns, lockRunsToDecide, type RunToDecide } from '@airlock/store/queries/schedule/load-runs';
import { lockSchedule } from '@airlock/store/queries/schedule/lock';
import { queueTaskInstances } from '@airlock/store/queries/schedule/queue';
import { startQueuedRuns } from '@airlock/store/queries/schedule/start-runs';
import { insertTaskInstances, type NewTaskInstance } from '@airlock/store/queries/task-instance/insert';
import { startTriggers, type TriggerStart } from '@airlock/store/queries/trigger/start';
import { instantIso } from '../domain/instants.ts';
import { callbacksOfEnds, type EndedRun } from '../runs/callbacks.ts';
import { loadModels } from '../runs/models.ts';
import { taskInstanceRow } from '../runs/new-task-instances.ts';
import { decideRun } from './decide/examine.ts';
import { isTurnNear, pickForQueue } from './decide/queue.ts';
import { decisiveOf } from './decide/run-end.ts';
import type { Turns } from './decide/turns.ts';
import type { Decision, EndReason, RunSnapshot } from './decide/types.ts';
import { readSnapshots, waitsForPast } from './snapshot.ts';

export type PassOptions = {
  /** Runs in which something changed. */
  readonly dirty: readonly number[];
  /** Look for queued runs that may start, at most so many; 0 = do not look. */
  readonly start: number;
  /** Queue what has room; else leave it to a later pass, which sees what this one has decided. */
  readonly queue: boolean;
  readonly nowMs: number;
  readonly instanceId: string;
  /** `[core] parallelism` and `[scheduler] max_tis_per_query`. */
  readonly parallelism: number;
  readonly maxQueued: number;
  readonly turns: Turns;
};

export type PassResult = {
  /** Runs that are to be looked at at an instant, epoch ms; null = when something happens. */
  readonly wakes: ReadonlyMap<number, number | null>;
  /** Runs that somebody else held: to be looked at again soon. */
  readonly held: readonly number[];
  readonly ended: ReadonlyArray<{
    readonly run: RunToDecide;
    readonly state: 'success' | 'failed';
    readonly reason: EndReason | null;
  }>;
  readonly started: readonly number[];
  readonly queued: number;
  /** Task instances that were read. */
  readonly read: number;
  /** Runs whose Dags wait for their past: others of the same Dags may go on now. */
  readonly waitingForPast: ReadonlyArray<{ readonly runId: number; readonly dagId: string }>;
  /** The queue may hold more than was taken in one go. */
  readonly more: boolean;
};

export async function runPass(tx: Db, options: PassOptions): Promise<PassResult> {
  const nowIso = instantIso(options.nowMs);
  await lockSchedule(tx);
  const started = options.start > 0 ? await startQueuedRuns(tx, { nowIso, limit: options.start }) : [];
  const wanted = [...new Set([...options.dirty, ...started])];
  const runs = wanted.length > 0 ? await lockRunsToDecide(tx, wanted) : [];
  const given = new Set(runs.map((run) => run.id));
  const missing = wanted.filter((id) => !given.has(id));
  const held = missing.length > 0 ? await findHeldRuns(tx, missing) : [];
  const models = await loadModels(
    tx,
    runs.map((run) => run.version_id).filter((id) => id !== null),
  );
  const snapshots = await readSnapshots(tx, runs, models, options.nowMs);
  const decided = runs
    .filter((run) => snapshots.has(run.id))
    .map((run) => ({ run, snapshot: snapshots.get(run.id)!, decision: decideRun(snapshots.get(run.id)!) }));
  await apply(tx, decided, nowIso);
  const { queued, more } = options.queue ? await queue(tx, options, nowIso) : { queued: 0, more: false };
  return {
    wakes: new Map(decided.map(({ run, decision }) => [run.id, decision.wakeAtMs])),
    held,
    ended: decided.flatMap(({ run, decision }) => (decision.end ? [{ run, ...decision.end }] : [])),
    started,
    queued,
    read: decided.reduce((sum, { snapshot }) => sum + snapshot.tis.length, 0),
    waitingForPast: decided
      .filter(({ snapshot }) => waitsForPast(snapshot.model))
      .map(({ run }) => ({ runId: run.id, dagId: run.dag_id })),
    more: more || (options.start > 0 && started.length >= options.start),
  };
}

/** Queues what has room. */
async function queue(tx: Db, options: PassOptions, nowIso: string): Promise<{ queued: number; more: boolean }> {
  const { parallelism, maxQueued: limit, turns, instanceId: queuedBy } = options;
  const find = (everyDag: boolean) => findCandidates(tx, { parallelism, limit, servedTeams: turns.teams, everyDag });
  const first = await find(false);
  let result = pickForQueue(first, limit, turns);
  // Who has waited longest may stand far behind the first rows.
  if (result.contended && isTurnNear(first, turns)) result = pickForQueue(await find(true), limit, turns);
  const ids = result.picked.map((c) => c.id);
  const queued = await queueTaskInstances(tx, ids, { nowIso, queuedBy });
  turns.note(result, options.nowMs);
  return { queued, more: queued > 0 && first.length >= limit };
}

type Decided = { readonly run: RunToDecide; readonly snapshot: RunSnapshot; readonly decision: Decision };

async function apply(tx: Db, decided: readonly Decided[], nowIso: string): Promise<void> {
  await applyChanges(
    tx,
    decided.flatMap(({ decision }) => decision.changes),
    nowIso,
  );
  const rows: NewTaskInstance[] = [];
  for (const { run, snapshot, decision } of decided) {
    const of = {
      dagRunId: run.id,
      dagId: run.dag_id,
      runId: run.run_id,
      team: run.team,
      versionId: snapshot.run.versionId,
      nowIso,
    };
    for (const { taskId, mapIndex, state, tryNumber } of decision.additions) {
      const task = snapshot.model.tasks.get(taskId);
      if (task) rows.push(taskInstanceRow(of, task, mapIndex, { state, tryNumber }));
    }
  }
  await insertTaskInstances(tx, rows, nowIso);
  await startTriggers(tx, decided.flatMap(triggerStarts), nowIso);
  const ends = decided.flatMap(({ run, decision }) =>
    decision.end ? [{ id: run.id, dagId: run.dag_id, state: decision.end.state }] : [],
  );
  await endRuns(tx, ends, nowIso);
  const met = ends.filter((end) => end.state === 'success').map((end) => end.id);
  await dropMetDeadlines(tx, { dagRunIds: met, nowIso });
  await callbacksOfEnds(tx, decided.flatMap(endedRun), nowIso);
  const failed = ends.filter((end) => end.state === 'failed').map((end) => end.dagId);
  if (failed.length > 0) await pauseFailingDags(tx, failed);
}

/** What the tries wait for that begin with a wait. */
function triggerStarts({ run, snapshot, decision }: Decided): TriggerStart[] {
  const taskOf = new Map(snapshot.tis.map((ti) => [ti.id, ti.taskId]));
  const changed = decision.changes.map(({ id, to, mapIndex }) => ({ taskId: taskOf.get(id), to, mapIndex }));
  const added = decision.additions.map(({ taskId, state, mapIndex }) => ({ taskId, to: state, mapIndex }));
  return [...changed, ...added].flatMap(({ taskId, to, mapIndex }) => {
    if (to !== 'deferred' || taskId === undefined) return [];
    const trigger = snapshot.model.tasks.get(taskId)?.startTrigger;
    if (!trigger) return [];
    return {
      dag_run_id: run.id,
      task_id: taskId,
      map_index: mapIndex,
      classpath: trigger.classpath,
      kwargs: trigger.kwargs,
      next_method: trigger.nextMethod,
      next_kwargs: trigger.nextKwargs,
      timeout_seconds: trigger.timeoutSeconds,
    };
  });
}

function endedRun({ run, snapshot, decision }: Decided): EndedRun[] {
  if (!decision.end) return [];
  const { versionId } = snapshot.run;
  const { state, reason } = decision.end;
  const decisive = decisiveOf(snapshot, decision);
  return [{ id: run.id, versionId, model: snapshot.model, state, reason: reason ?? state, decisive }];
}
