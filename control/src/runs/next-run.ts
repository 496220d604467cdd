/** Works out when a Dag runs next and stores it on the Dag. @see scheduling semantics 2.1, 3.1 */
import { isAppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { findLastAutomaticRun, setNextRun } from '@airlock/store/queries/dag/find';
import { type DagModel, restrictionOf } from '../domain/dag-model.ts';
import { instantIso, instantIsoOrNull } from '../domain/instants.ts';
import type { LastRun, NextRun } from '../domain/timetables/index.ts';

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
  const next = nextRun(model, runs.at(-1) ?? null, Date.parse(nowIso));
  await setNextRun(tx, model.dagId, {
    logicalDate: instantIsoOrNull(next?.logicalDateMs ?? null),
    start: instantIsoOrNull(next?.interval?.startMs ?? null),
    end: instantIsoOrNull(next?.interval?.endMs ?? null),
    createAfter: next ? instantIso(next.runAfterMs) : null,
  });
}

/**
 * The automatic runs that a Dag will make, as its schedule stands now: what is due comes first, then each after the one
 * before, as if nothing were late. Nothing is written.
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
