/** Timetables by duration, by list, once, always, never. @see scheduling semantics 2.6, 2.7, 2.8 */
import { durationText } from './describe.ts';
import { add, type Duration } from './duration.ts';
import { lastEnd, past, pointInterval, runOver, type Timetable, unlessAfter } from './types.ts';

/** Months since the year 1 are 24,000. */
const MAX_STEPS = 100_000;

/** A tick every `delta` after the last run; no alignment. */
export function deltaTrigger(type: string, delta: Duration, interval: Duration): Timetable {
  return {
    type,
    summary: durationText(delta),
    description: `Every ${durationText(delta)}`,
    periodic: true,
    partitioned: false,
    next: (last, { earliestMs, latestMs, catchup }, nowMs) => {
      let tick = last ? add(lastEnd(last), delta) : (earliestMs ?? nowMs);
      // Without catchup an overdue schedule goes on from now, and never before its start.
      if (!catchup) tick = Math.max(tick, nowMs, earliestMs ?? nowMs);
      return unlessAfter(latestMs, tick, () => runOver(add(tick, interval, -1), tick));
    },
    manualInterval: (ms) => ({ startMs: add(ms, interval, -1), endMs: ms }),
  };
}

/** Intervals of length `delta`, each run at its end. */
export function deltaDataInterval(type: string, delta: Duration): Timetable {
  return {
    type,
    summary: durationText(delta),
    description: `Every ${durationText(delta)}, for the time before`,
    periodic: true,
    partitioned: false,
    next: (last, { earliestMs, latestMs, catchup }, nowMs) => {
      const from = last ? lastEnd(last) : null;
      const chained = from === null ? earliestMs : Math.max(from, earliestMs ?? from);
      let start = chained;
      if (!catchup) {
        const newest = newestCompleteStart(delta, earliestMs, nowMs);
        start = Math.max(newest, chained ?? newest);
      }
      if (start === null) return null;
      const startMs = past(last, start, (ms) => add(ms, delta));
      return unlessAfter(latestMs, startMs, () => runOver(startMs, add(startMs, delta)));
    },
    manualInterval: (ms) => ({ startMs: add(ms, delta, -1), endMs: ms }),
  };
}

/** Start of the newest complete interval: a fixed length sits on a grid from the epoch, a calendar one steps from the start. */
function newestCompleteStart(delta: Duration, earliestMs: number | null, nowMs: number): number {
  if ('seconds' in delta) {
    const lengthMs = delta.seconds * 1000;
    return Math.floor(nowMs / lengthMs) * lengthMs - lengthMs;
  }
  if (earliestMs === null) return add(nowMs, delta, -1);
  let start = earliestMs;
  // Calendar steps can come close to standing still (a month less 28 days): then the newest is not worth looking for.
  for (let steps = 0; steps < MAX_STEPS; steps++) {
    const end = add(start, delta);
    if (add(end, delta) > nowMs || end <= start) return start;
    start = end;
  }
  return start;
}

/** Never. Assets have no dates of their own either. */
export function never(type: string, summary: string, description: string): Timetable {
  return {
    type,
    summary,
    description,
    periodic: false,
    partitioned: false,
    next: () => null,
    manualInterval: pointInterval,
  };
}

/** One automatic run ever. */
export function once(type: string): Timetable {
  return {
    type,
    summary: '@once',
    description: 'Once, as soon as possible',
    periodic: false,
    partitioned: false,
    next: (last, { earliestMs, latestMs }, nowMs) => {
      if (last) return null;
      const at = earliestMs ?? nowMs;
      return unlessAfter(latestMs, at, () => runOver(at, at));
    },
    manualInterval: pointInterval,
  };
}

/** Again as soon as the last run has ended; `max_active_runs` of 1 makes it sequential. */
export function continuous(type: string): Timetable {
  return {
    type,
    summary: '@continuous',
    description: 'As frequently as possible, but only one run at a time.',
    periodic: false,
    partitioned: false,
    next: (last, { earliestMs, latestMs }, nowMs) => {
      const first = earliestMs ?? nowMs;
      if (last?.interval && last.interval.endMs > nowMs) {
        // A last run that ends in the future, which another schedule made: one as long, from the start date on.
        const end = first + last.interval.endMs - last.interval.startMs;
        return unlessAfter(latestMs, end, () => runOver(first, end));
      }
      const start = last ? lastEnd(last) : first;
      const end = Math.max(start, nowMs);
      return unlessAfter(latestMs, end, () => runOver(start, end));
    },
    manualInterval: pointInterval,
  };
}

/** At each listed instant. */
export function events(
  type: string,
  dates: readonly number[],
  restrictToEvents: boolean,
  names: { readonly summary: string; readonly description: string },
): Timetable {
  const sorted = dates.toSorted((a, b) => a - b);
  return {
    type,
    summary: names.summary || `${sorted.length} events`,
    description: names.description,
    periodic: true,
    partitioned: false,
    next: (last, { earliestMs, latestMs, catchup }, nowMs) => {
      const at = sorted.find(
        (ms) => (!last || ms > lastEnd(last)) && ms >= (earliestMs ?? ms) && (catchup || ms >= nowMs),
      );
      return at === undefined ? null : unlessAfter(latestMs, at, () => runOver(at, at));
    },
    manualInterval: (ms) =>
      pointInterval(restrictToEvents ? (sorted.findLast((event) => event <= ms) ?? sorted[0] ?? ms) : ms),
  };
}
