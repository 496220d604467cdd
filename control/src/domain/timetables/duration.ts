/** Durations inside timetables: seconds, or calendar steps such as `{months: 1}`. @see serialized Dag 4.3 */
import { AppError } from '@airlock/contract/errors';

/** Longest duration of a schedule, seconds: three centuries. Beyond it instants leave what a date can hold. */
const MAX_SECONDS = 1e10;

export type Duration = { readonly seconds: number } | { readonly calendar: Readonly<Record<string, number>> };

const UNITS_SECONDS: Readonly<Record<string, number>> = {
  weeks: 604_800,
  days: 86_400,
  hours: 3600,
  minutes: 60,
  seconds: 1,
  microseconds: 1e-6,
};

/** @throws DAG_INVALID when it is neither a number nor an object of known units */
export function readDuration(value: unknown, what: string): Duration {
  if (typeof value === 'number' && Math.abs(value) <= MAX_SECONDS) return { seconds: value };
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value);
    const known = entries.every(
      ([unit, n]) =>
        typeof n === 'number' &&
        Number.isInteger(n) &&
        Math.abs(n) * unitSeconds(unit) <= MAX_SECONDS &&
        (Object.hasOwn(UNITS_SECONDS, unit) || unit === 'months' || unit === 'years'),
    );
    if (known && entries.length > 0) {
      const calendar = Object.fromEntries(entries) as Record<string, number>;
      const fixed = calendar.months === undefined && calendar.years === undefined;
      return fixed ? { seconds: secondsOf(calendar) } : { calendar };
    }
  }
  throw new AppError('DAG_INVALID', { public: `The ${what} of the schedule is not a duration.` });
}

const unitSeconds = (unit: string): number =>
  Object.hasOwn(UNITS_SECONDS, unit) ? UNITS_SECONDS[unit]! : unit === 'months' ? 30 * 86_400 : 366 * 86_400;

const secondsOf = (units: Readonly<Record<string, number>>): number =>
  Object.entries(units).reduce((sum, [unit, n]) => sum + (UNITS_SECONDS[unit] ?? 0) * n, 0);

/** `instantMs` moved by `times` steps of the duration; calendar months are clipped to the month's last day, in UTC. */
export function add(instantMs: number, duration: Duration, times = 1): number {
  if ('seconds' in duration) return instantMs + duration.seconds * 1000 * times;
  const { months = 0, years = 0, ...rest } = duration.calendar;
  const date = new Date(instantMs);
  const month = date.getUTCMonth() + (months + years * 12) * times;
  const year = date.getUTCFullYear() + Math.floor(month / 12);
  const within = ((month % 12) + 12) % 12;
  const day = Math.min(date.getUTCDate(), new Date(Date.UTC(year, within + 1, 0)).getUTCDate());
  const seconds = secondsOf(rest);
  return Date.UTC(year, within, day) + (((instantMs % 86_400_000) + 86_400_000) % 86_400_000) + seconds * 1000 * times;
}

/** True when a step leads forward by at least a second. A schedule that hardly advances would make runs without end. */
export function isPositive(duration: Duration): boolean {
  return add(1_000_000_000_000, duration) >= 1_000_000_001_000;
}
