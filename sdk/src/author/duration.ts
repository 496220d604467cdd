/** Durations as authors write them: seconds as a number, or text such as `30s`, `15m`, `1h30m`, `2d`, `250ms`. */
import { DagError, show } from './dag-error.ts';

/** Seconds, or text: one or more of `<number><unit>`, largest unit first; units `w d h m s ms`. */
export type Duration = number | string;

const SECONDS_OF = { w: 604_800, d: 86_400, h: 3_600, m: 60, s: 1, ms: 0.001 } as const;
const ORDER = Object.keys(SECONDS_OF);
const PART = /(\d+(?:\.\d+)?)\s*(ms|w|d|h|m|s)\s*/gy;
/** A year: longer waits are a slip of the unit, and would overflow timers. */
const LONGEST_SECONDS = 366 * 86_400;

const HINT = "Write a number of seconds, or text such as '30s', '15m', '1h30m' or '2d'.";

/** Seconds of one duration. @throws DagError when the text can't be read, or is out of range */
export function parseDuration(value: unknown, option: string, limits: { readonly min?: number } = {}): number {
  const min = limits.min ?? 0;
  const seconds = typeof value === 'string' ? secondsOfText(value, option) : value;
  if (typeof seconds !== 'number' || !Number.isFinite(seconds)) {
    throw new DagError(`${option}: ${show(value)} is not a duration.`, HINT);
  }
  if (seconds < min) {
    const floor = min === 0 ? 'be negative' : `be shorter than ${min} s`;
    throw new DagError(`${option}: ${show(value)} may not ${floor}.`, HINT);
  }
  if (seconds > LONGEST_SECONDS) {
    throw new DagError(`${option}: ${show(value)} is longer than a year.`, 'Numbers are seconds, not milliseconds.');
  }
  return Math.round(seconds * 1000) / 1000;
}

function secondsOfText(text: string, option: string): number {
  const trimmed = text.trim();
  PART.lastIndex = 0;
  let total = 0;
  let last = -1;
  let end = 0;
  for (let match = PART.exec(trimmed); match; match = PART.exec(trimmed)) {
    const unit = match[2] as keyof typeof SECONDS_OF;
    const rank = ORDER.indexOf(unit);
    if (rank <= last) {
      throw new DagError(`${option}: ${show(text)} is not a duration: ${unit} stands in the wrong place.`, HINT);
    }
    last = rank;
    total += Number(match[1]) * SECONDS_OF[unit];
    end = PART.lastIndex;
  }
  if (end === 0 || end < trimmed.length) {
    const bare = /^\d+(\.\d+)?$/.test(trimmed) ? ' It has no unit.' : '';
    throw new DagError(`${option}: ${show(text)} is not a duration.${bare}`, HINT);
  }
  return total;
}

/** How long to wait before a retry. `max` is set for a range: then the wait doubles from `first` up to `max`. Seconds. */
export type RetryDelay = { readonly first: number; readonly max: number | null };

/** Reads `'30s'`, `30` or a range `'10s..5m'`. @throws DagError */
export function parseRetryDelay(value: unknown, option: string): RetryDelay {
  if (typeof value !== 'string' || !value.includes('..')) return { first: parseDuration(value, option), max: null };
  const [low, high, ...more] = value.split('..');
  if (more.length > 0 || !low || !high) {
    throw new DagError(`${option}: ${show(value)} is not a range.`, "Write it as '10s..5m': first wait, longest wait.");
  }
  const first = parseDuration(low, option, { min: 0.001 });
  const max = parseDuration(high, option);
  if (max < first) {
    throw new DagError(`${option}: ${show(value)} ends before it starts.`, 'Put the shorter wait first.');
  }
  return { first, max };
}
