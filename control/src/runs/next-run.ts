/** Works out when a Dag runs next and stores it on the Dag. @see scheduling semantics 2.1, 3.1 */
import { isAppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { findLastAutomaticRun, setNextRun } from '@airlock/store/queries/dag/find';
import { type DagModel, restrictionOf } from '../domain/dag-model.ts';
import { instantIso, instantIsoOrNull } from '../domain/instants.ts';
import type { LastRun, NextRun } from '../domain/timetables/index.ts';
import { askForNext, knownRuns } from './asked-timetables.ts';

/** A place on the schedule's timeline, as the store has it. */
export type Tick = {
  readonly next_create_after: string;
  readonly next_interval_start: string | null;
  readonly next_interval_end: string | null;
};

/**
 * Recomputes and stores the next automatic run. Locks: the dag row.
 * @param taken the tick that was just used, whether or not it made a run (one with that logical date may have existed): the
 *   schedule moves on from it.
 */
export async function refreshNextRun(tx: Db, model: DagModel, nowIso: string, taken?: Tick): Promise<void> {
  const row = await findLastAutomaticRun(tx, { dagId: model.dagId, partitioned: model.timetable.partitioned });
  const runs: LastRun[] = [];
  if (row) {
    runs.push(
      lastRun({
        next_create_after: row.run_after,
        next_interval_start: row.data_interval_start,
        next_interval_end: row.data_interval_end,
      }),
    );
  }
  if (taken) runs.push(lastRun(taken));
  runs.sort((a, b) => a.runAfterMs - b.runAfterMs);
  const last = runs.at(-1) ?? null;
  if (model.timetable.isAsked) {
    // Parsed anew, what was answered before holds until there is another answer.
    if (taken) await setNextRun(tx, model.dagId, asStored(await provisionalRun(tx, model, last, Date.parse(nowIso))));
    await askForNext(tx, model, last, nowIso);
    return;
  }
  await setNextRun(tx, model.dagId, asStored(nextRun(model, last, Date.parse(nowIso))));
}

/**
 * What the last answer says of the run after `last`, until there is another answer: so a schedule goes on while no
 * dag-processor is there. Without catchup only what is still to come, since of what is due a new answer may choose the newest.
 */
async function provisionalRun(tx: Db, model: DagModel, last: LastRun | null, nowMs: number): Promise<NextRun | null> {
  const [next] = await knownRuns(tx, model.dagId, last);
  return next && (model.catchup || next.runAfterMs > nowMs) ? next : null;
}

const asStored = (next: NextRun | null) => ({
  logicalDate: instantIsoOrNull(next?.logicalDateMs ?? null),
  start: instantIsoOrNull(next?.interval?.startMs ?? null),
  end: instantIsoOrNull(next?.interval?.endMs ?? null),
  createAfter: next ? instantIso(next.runAfterMs) : null,
});

/**
 * The automatic runs that a Dag will make, as its schedule stands now: what is due comes first, then each after the one
 * before, as if nothing were late. Of a timetable of the author's own, what it has answered. Nothing is written.
 * @param count at most so many
 */
export async function upcomingRuns(db: Db, model: DagModel, nowMs: number, count: number): Promise<NextRun[]> {
  const row = await findLastAutomaticRun(db, { dagId: model.dagId, partitioned: model.timetable.partitioned });
  let last = row
    ? lastRun({
        next_create_after: row.run_after,
        next_interval_start: row.data_interval_start,
        next_interval_end: row.data_interval_end,
      })
    : null;
  if (model.timetable.isAsked) return (await knownRuns(db, model.dagId, last)).slice(0, count);
  const runs: NextRun[] = [];
  let atMs = nowMs;
  while (runs.length < count) {
    const next = nextRun(model, last, atMs);
    if (!next || (last && next.runAfterMs <= last.runAfterMs)) break;
    runs.push(next);
    last = next;
    atMs = Math.max(atMs, next.runAfterMs);
  }
  return runs;
}

/** A tick as the run that it makes, or would have made. */
export function lastRun(tick: Tick): LastRun {
  const { next_interval_start: start, next_interval_end: end } = tick;
  const interval = start === null || end === null ? null : { startMs: Date.parse(start), endMs: Date.parse(end) };
  return { runAfterMs: Date.parse(tick.next_create_after), interval };
}

/** The next automatic run after `last`, or null. */
export function nextRun(model: DagModel, last: LastRun | null, nowMs: number): NextRun | null {
  try {
    return model.timetable.next(last, restrictionOf(model), nowMs);
  } catch (error) {
    // A cron text that matches no date has no next run.
    if (isAppError(error, 'DAG_INVALID')) return null;
    throw error;
  }
}
