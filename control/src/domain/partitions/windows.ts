/** Which parts make up a whole: the hours of a day, the segments of a set. Pure. @see serialized Dag 4.4 */
import { AppError } from '@airlock/contract/errors';

/** A key as a mapper has read it: a wall-clock time for the temporal ones, the text itself for the others. */
export type Decoded = number | string;

export type Window = {
  /** What it enumerates; a mapper must read its keys to the same. */
  readonly of: 'time' | 'text';
  /** The members of the whole that a key names. @throws RangeError for a key that it can't start from */
  readonly members: (whole: Decoded) => readonly Decoded[];
};

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const MAX_SEGMENTS = 10_000;

function shiftMonths(wallMs: number, months: number): number {
  const date = new Date(wallMs);
  date.setUTCMonth(date.getUTCMonth() + months);
  return date.getTime();
}

function firstOfMonth(wallMs: number): number {
  if (new Date(wallMs).getUTCDate() !== 1) throw new RangeError('months are counted from their first day');
  return wallMs;
}

const byMs = (stepMs: number) => (from: number, n: number) => from + n * stepMs;
const byMonth = (from: number, n: number) => shiftMonths(firstOfMonth(from), n);

function steps(count: number, step: (from: number, n: number) => number) {
  return (from: number, backward: boolean) =>
    Array.from({ length: count }, (_, n) => step(from, backward ? n - count + 1 : n));
}

/** Every day of a calendar month; backward, the days up to and with the first, from the day after the first before it. */
function daysOfMonth(from: number, backward: boolean): number[] {
  const start = backward ? shiftMonths(firstOfMonth(from), -1) + DAY_MS : firstOfMonth(from);
  const days = Math.round(((backward ? from + DAY_MS : shiftMonths(from, 1)) - start) / DAY_MS);
  return Array.from({ length: days }, (_, n) => start + n * DAY_MS);
}

const PERIODS: Readonly<Record<string, (from: number, backward: boolean) => number[]>> = {
  HourWindow: steps(60, byMs(MINUTE_MS)),
  DayWindow: steps(24, byMs(HOUR_MS)),
  WeekWindow: steps(7, byMs(DAY_MS)),
  MonthWindow: daysOfMonth,
  QuarterWindow: steps(3, byMonth),
  YearWindow: steps(12, byMonth),
};

const bad = (text: string): AppError => new AppError('DAG_INVALID', { public: `A window of partitions ${text}.` });

/** @throws DAG_INVALID for an unknown one, or fields of the wrong type */
export function buildWindow(name: string, fields: Readonly<Record<string, unknown>>): Window {
  if (name === 'SegmentWindow') {
    const { segments } = fields;
    const fine = Array.isArray(segments) && segments.length > 0 && segments.length <= MAX_SEGMENTS;
    if (!fine || !segments.every((segment) => typeof segment === 'string' && segment !== ''))
      throw bad('needs a list of segments');
    const members = [...new Set(segments as string[])];
    return { of: 'text', members: () => members };
  }
  const period = Object.hasOwn(PERIODS, name) ? PERIODS[name] : undefined;
  if (!period) throw bad(`${JSON.stringify(name)} is not known here`);
  const direction = fields.direction ?? 'forward';
  if (direction !== 'forward' && direction !== 'backward') throw bad('goes forward or backward');
  return {
    of: 'time',
    members: (whole) => {
      if (typeof whole !== 'number') throw new RangeError('a window of time starts from a time');
      return period(whole, direction === 'backward');
    },
  };
}
