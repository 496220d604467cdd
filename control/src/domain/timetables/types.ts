/** What a timetable is asked and what it answers. Instants are epoch ms. @see scheduling semantics 2.1 */

import { AppError } from '@airlock/contract/errors';
import type { PartitionSchedule } from '../partitions/index.ts';

export type Interval = { readonly startMs: number; readonly endMs: number };

/** The newest scheduled or backfill run of a Dag. */
export type LastRun = { readonly runAfterMs: number; readonly interval: Interval | null };

export type Restriction = {
  /** The smallest start date of Dag and tasks; null = none. */
  readonly earliestMs: number | null;
  /** The end date; null = none. */
  readonly latestMs: number | null;
  readonly catchup: boolean;
};

export type NextRun = {
  readonly logicalDateMs: number | null;
  readonly interval: Interval | null;
  readonly runAfterMs: number;
  /** Its name, where the timetable makes names of its own. */
  readonly runId?: string | null;
  readonly partition?: { readonly key: string; readonly dateMs: number };
};

/** How runs of a partitioned schedule get their partitions. */
export type Partitions = {
  /** The partition of the scheduled run at a tick; null = the schedule has none of its own. */
  readonly at: ((runAfterMs: number) => { readonly key: string; readonly dateMs: number }) | null;
  /** The instant that a given key stands for; null = none. @throws RangeError for a key that the schedule can't read */
  readonly dateOf: (key: string) => number | null;
  /** Runs for the partitions between two wall-clock times, both included; null = they can't be listed. */
  readonly between: ((fromWallMs: number, toWallMs: number) => Iterable<NextRun>) | null;
  /** How partitions of assets become its own; null = they don't. */
  readonly schedule: PartitionSchedule | null;
};

export type Timetable = {
  /** Class name as people know it, such as CronTriggerTimetable. */
  readonly type: string;
  readonly summary: string;
  readonly description: string;
  /** True when runs come by themselves, again and again. */
  readonly periodic: boolean;
  /** Its runs are told apart by partitions. */
  readonly partitioned: boolean;
  /**
   * It is a class of the author's own: nothing is known here but its name. What it answers is asked in a sandboxed child and
   * stored; `next` and `manualInterval` may not be called.
   */
  readonly isAsked?: boolean;
  /** Runs may be given a partition. */
  readonly takesPartitions?: boolean;
  /** The next automatic run, or null when there is none. Pure. @throws DAG_INVALID for a cron text that never matches */
  readonly next: (last: LastRun | null, restriction: Restriction, nowMs: number) => NextRun | null;
  /** Null = runs have no partitions, or only those that they are given. */
  readonly partitions?: Partitions;
  /** Data interval of a manual run at a logical date. */
  readonly manualInterval: (logicalDateMs: number) => Interval;
};

/** A run that covers `[start, end)` and comes at `runAfter`; its logical date is the start. */
export function runOver(startMs: number, endMs: number, runAfterMs = endMs): NextRun {
  return { logicalDateMs: startMs, interval: { startMs, endMs }, runAfterMs };
}

export const pointInterval = (ms: number): Interval => ({ startMs: ms, endMs: ms });

/** End of what the last run covered; for partitioned runs, without an interval, its run-after. */
export const lastEnd = (last: LastRun): number => last.interval?.endMs ?? last.runAfterMs;

/**
 * A start that leads forward: where a changed schedule would begin at or before the last run again, its next step.
 * @throws DAG_INVALID where even that does not lead past it
 */
export function past(last: LastRun | null, startMs: number, step: (ms: number) => number): number {
  const lastStart = last?.interval?.startMs ?? Number.NEGATIVE_INFINITY;
  if (startMs > lastStart) return startMs;
  const next = step(startMs);
  if (next > lastStart) return next;
  throw new AppError('DAG_INVALID', { public: 'The schedule does not lead past its last run.' });
}

/** `candidate` unless its run would come after the limit. */
export function unlessAfter(limitMs: number | null, atMs: number, candidate: () => NextRun): NextRun | null {
  return limitMs !== null && atMs > limitMs ? null : candidate();
}
