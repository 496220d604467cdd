/** Timetables by cron expression. @see scheduling semantics 2.4, 2.5, 2.7, 2.9 */
import { strftime, strptime } from '../python-dates.ts';
import { type CronSchedule, cronSchedule } from './cron-schedule.ts';
import { cronInWords } from './describe.ts';
import { add, type Duration } from './duration.ts';
import { lastEnd, type NextRun, past, type Restriction, runOver, type Timetable, unlessAfter } from './types.ts';

/** True = the tick before now; seconds = that one if no older; false = see `firstTick`. */
export type RunImmediately = boolean | number;

type CronOptions = {
  readonly expressions: readonly string[];
  readonly timezone: string | number;
  readonly interval: Duration;
  readonly runImmediately: RunImmediately;
};

/** The first tick of a schedule without start date: the previous one when it is recent enough, else the next. */
function firstTick(cron: CronSchedule, nowMs: number, runImmediately: RunImmediately): number {
  const previous = cron.atOrBefore(nowMs);
  if (runImmediately === true) return previous;
  const next = cron.after(previous);
  const bufferMs =
    typeof runImmediately === 'number' ? runImmediately * 1000 : Math.max((next - previous) / 10, 5 * 60_000);
  return nowMs - previous <= bufferMs ? previous : next;
}

function triggerTick(
  cron: CronSchedule,
  lastEndMs: number | null,
  restriction: Restriction,
  nowMs: number,
  runImmediately: RunImmediately,
): number {
  const { earliestMs, catchup } = restriction;
  if (lastEndMs === null && earliestMs === null) return firstTick(cron, nowMs, runImmediately);
  if (catchup) return lastEndMs !== null ? cron.after(lastEndMs) : cron.atOrAfter(earliestMs!);
  return Math.max(
    cron.atOrBefore(nowMs),
    lastEndMs === null ? Number.NEGATIVE_INFINITY : cron.after(lastEndMs),
    earliestMs === null ? Number.NEGATIVE_INFINITY : cron.atOrAfter(earliestMs),
  );
}

const onTick = (tickMs: number, interval: Duration): NextRun => runOver(add(tickMs, interval, -1), tickMs);

/** Runs at each tick. Several expressions: the earliest tick with catchup; else the latest due one, or the soonest. */
export function cronTrigger(type: string, options: CronOptions): Timetable {
  const crons = options.expressions.map((expression) => cronSchedule(expression, options.timezone));
  return {
    type,
    summary: options.expressions.join(', '),
    get description() {
      return options.expressions.map(cronInWords).join(', ');
    },
    periodic: true,
    partitioned: false,
    next: (last, restriction, nowMs) => {
      const from = last ? lastEnd(last) : null;
      const ticks = crons
        .map((cron) => triggerTick(cron, from, restriction, nowMs, options.runImmediately))
        .filter((tick) => restriction.latestMs === null || tick <= restriction.latestMs);
      if (ticks.length === 0) return null;
      const due = ticks.filter((tick) => tick <= nowMs);
      const tick = restriction.catchup || due.length === 0 ? Math.min(...ticks) : Math.max(...due);
      return onTick(tick, options.interval);
    },
    manualInterval: (ms) => ({ startMs: add(ms, options.interval, -1), endMs: ms }),
  };
}

/** Runs cover the time between two ticks, and come at its end. */
export function cronDataInterval(type: string, expression: string, timezone: string | number): Timetable {
  const cron = cronSchedule(expression, timezone);
  const newestComplete = (ms: number) => cron.before(cron.atOrBefore(ms));
  return {
    type,
    summary: expression,
    get description() {
      return cronInWords(expression);
    },
    periodic: true,
    partitioned: false,
    next: (last, { earliestMs, latestMs, catchup }, nowMs) => {
      const earliest = earliestMs === null ? null : cron.atOrAfter(earliestMs);
      const from = last ? cron.atOrBefore(lastEnd(last)) : null;
      const newest = catchup ? null : newestComplete(nowMs);
      const candidates = [earliest, from, newest].filter((ms) => ms !== null);
      if (candidates.length === 0) return null;
      const start = past(last, Math.max(...candidates), cron.after);
      return unlessAfter(latestMs, start, () => runOver(start, cron.after(start)));
    },
    manualInterval: (ms) => {
      const endMs = cron.atOrBefore(ms);
      return { startMs: cron.before(endMs), endMs };
    },
  };
}

/** Runs at each tick for a partition `offset` ticks away; no logical date and no interval. */
export function cronPartition(
  type: string,
  options: {
    expression: string;
    timezone: string | number;
    runImmediately: RunImmediately;
    offset: number;
    keyFormat: string;
  },
): Timetable {
  const cron = cronSchedule(options.expression, options.timezone);
  const shift = (tickMs: number): number => {
    let moved = tickMs;
    for (let i = 0; i < Math.abs(options.offset); i++)
      moved = options.offset < 0 ? cron.before(moved) : cron.after(moved);
    return moved;
  };
  const partitionAt = (tickMs: number) => {
    const dateMs = shift(tickMs);
    return { key: strftime(options.keyFormat, cron.zone.toWall(dateMs)), dateMs };
  };
  return {
    type,
    summary: options.expression,
    get description() {
      return cronInWords(options.expression);
    },
    periodic: true,
    partitioned: true,
    takesPartitions: true,
    next: (last, restriction, nowMs) => {
      const tick = triggerTick(cron, last ? last.runAfterMs : null, restriction, nowMs, options.runImmediately);
      return unlessAfter(restriction.latestMs, tick, () => ({
        logicalDateMs: null,
        interval: null,
        runAfterMs: tick,
        partition: partitionAt(tick),
      }));
    },
    partitions: {
      at: partitionAt,
      dateOf: (key) => {
        const { wallMs, offsetMs } = strptime(options.keyFormat, key);
        return offsetMs === null ? cron.zone.toInstant(wallMs) : wallMs - offsetMs;
      },
      between: function* (fromWallMs, toWallMs) {
        const until = cron.zone.toInstant(toWallMs);
        for (let at = cron.atOrAfter(cron.zone.toInstant(fromWallMs)); at <= until; at = cron.after(at)) {
          yield {
            logicalDateMs: null,
            interval: null,
            runAfterMs: at,
            partition: { key: strftime(options.keyFormat, cron.zone.toWall(at)), dateMs: at },
          };
        }
      },
      schedule: null,
    },
    manualInterval: (ms) => ({ startMs: ms, endMs: ms }),
  };
}
