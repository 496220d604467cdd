/** What a timetable is asked and what it answers. Instants are epoch ms. @see scheduling semantics 2.1 */

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
  readonly partition?: { readonly key: string; readonly dateMs: number };
};

export type Timetable = {
  /** Class name as people know it, such as CronTriggerTimetable. */
  readonly type: string;
  readonly summary: string;
  readonly description: string;
  /** True when runs come by themselves, again and again. */
  readonly periodic: boolean;
  readonly partitioned: boolean;
  /** The next automatic run, or null when there is none. Pure. @throws DAG_INVALID for a cron text that never matches */
  readonly next: (last: LastRun | null, restriction: Restriction, nowMs: number) => NextRun | null;
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

/** `candidate` unless its run would come after the limit. */
export function unlessAfter(limitMs: number | null, atMs: number, candidate: () => NextRun): NextRun | null {
  return limitMs !== null && atMs > limitMs ? null : candidate();
}
