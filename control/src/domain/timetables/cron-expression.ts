/**
 * The cron dialect of Dags: five fields, or six with seconds last; names, ranges, steps, lists, `L`, `L5`, `MON#2`, `15W`,
 * `?`. Works on wall-clock time only: an instant here is "epoch ms as if the wall clock were UTC". Zones are zone.ts's.
 * Ours, because the libraries put seconds first, refuse `L5` and `15W`, and mix zone handling into stepping.
 * @see scheduling semantics 2.2
 */
import assert from 'node:assert/strict';
import { AppError } from '@airlock/contract/errors';

const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const PRESETS: Readonly<Record<string, string>> = {
  '@hourly': '0 * * * *',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@weekly': '0 0 * * 0',
  '@monthly': '0 0 1 * *',
  '@quarterly': '0 0 1 */3 *',
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
};
/** Farther than this from the start, nothing is looked for: 29 February on a given weekday comes back within 40 years. */
const HORIZON_YEARS = 50;
const DAY_MS = 86_400_000;

export type CronExpression = {
  readonly text: string;
  readonly seconds: readonly number[];
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  readonly months: ReadonlySet<number>;
  readonly matchesDay: (year: number, month: number, day: number) => boolean;
  /** Day of month and day of week are both restricted, and either suffices. */
  readonly eitherDay: boolean;
  /** The hour field is `*`: stepping is in real time then, and daylight saving leaves no gap. */
  readonly everyHour: boolean;
};

type Field = {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly names?: readonly string[];
  readonly namesFrom?: number;
};
const FIELDS = {
  minute: { name: 'minute', min: 0, max: 59 },
  hour: { name: 'hour', min: 0, max: 23 },
  day: { name: 'day of month', min: 1, max: 31 },
  month: { name: 'month', min: 1, max: 12, names: MONTHS, namesFrom: 1 },
  weekday: { name: 'day of week', min: 0, max: 7, names: DAYS, namesFrom: 0 },
  second: { name: 'second', min: 0, max: 59 },
} as const satisfies Record<string, Field>;

function invalid(expression: string, why: string): AppError {
  return new AppError('DAG_INVALID', {
    public: `The schedule ${JSON.stringify(expression)} is not a cron expression: ${why}.`,
    remedy: 'Write five fields (minute, hour, day of month, month, day of week), or six with seconds last.',
  });
}

/** Reads an expression or preset. @throws DAG_INVALID naming the field */
export function parseCron(expression: string): CronExpression {
  const preset = expression.trim().toLowerCase();
  const text = (Object.hasOwn(PRESETS, preset) ? PRESETS[preset] : undefined) ?? expression;
  const parts = text.trim().split(/\s+/);
  if (parts.length !== 5 && parts.length !== 6) throw invalid(expression, 'it has neither five nor six fields');
  const [minute, hour, day, month, weekday] = parts as [string, string, string, string, string];
  const fail = (why: string) => invalid(expression, why);
  const hours = numbers(hour, FIELDS.hour, fail);
  const days = dayRule(day, fail);
  const weekdays = weekdayRule(weekday, fail);
  const nearest = /\dw/i.test(day);
  const ordinal = /#|^l[a-z0-9]/i.test(weekday);
  const countsInMonth = nearest || ordinal;
  const months = new Set(numbers(month, FIELDS.month, fail));
  const never = countsInMonth && days !== null && weekdays !== null && !fallTogether(months, days, weekdays);
  const matchesDay = (y: number, m: number, d: number): boolean => {
    if (never) return false;
    if (!days || !weekdays) return days?.(y, m, d) ?? weekdays?.(y, m, d) ?? true;
    // Both restricted: either suffices. But what counts within the month (15W, MON#2, L5) always has to hold.
    if (countsInMonth) return (!nearest || days(y, m, d)) && (!ordinal || weekdays(y, m, d));
    return days(y, m, d) || weekdays(y, m, d);
  };
  return {
    text,
    seconds: parts[5] === undefined ? [0] : numbers(parts[5], FIELDS.second, fail),
    minutes: numbers(minute, FIELDS.minute, fail),
    hours,
    months,
    matchesDay,
    eitherDay: days !== null && weekdays !== null && !countsInMonth,
    everyHour: hours.length === 24,
  };
}

type Fail = (why: string) => AppError;

function numbers(text: string, field: Field, fail: Fail): number[] {
  const found = new Set<number>();
  for (const part of text.split(',')) {
    const match = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d+))?$/i.exec(part);
    if (!match) throw fail(`${JSON.stringify(part)} is no ${field.name}`);
    const [, first, last, stepText] = match as unknown as [string, string, string | undefined, string | undefined];
    const step = stepText === undefined ? 1 : Number(stepText);
    if (step < 1) throw fail(`a step of 0 in the ${field.name}`);
    const any = first === '*' || first === '?';
    if (any && last !== undefined) throw fail(`${JSON.stringify(part)} is no ${field.name}`);
    const from = any ? field.min : number(first, field, fail);
    const to = any
      ? field.max
      : last !== undefined
        ? number(last, field, fail)
        : stepText === undefined
          ? from
          : field.max;
    if (from <= to) for (let n = from; n <= to; n += step) found.add(n);
    else {
      // A range over the turn, as FRI-MON or 22-2.
      const span = field.max - field.min + 1 - (field.name === 'day of week' ? 1 : 0);
      for (let n = from; n <= to + span; n += step) found.add(field.min + ((n - field.min) % span));
    }
  }
  return [...found].sort((a, b) => a - b);
}

function number(text: string, field: Field, fail: Fail): number {
  const named = field.names?.indexOf(text.toLowerCase()) ?? -1;
  const value = named >= 0 ? named + (field.namesFrom ?? 0) : /^\d+$/.test(text) ? Number(text) : Number.NaN;
  if (!(value >= field.min && value <= field.max)) throw fail(`${JSON.stringify(text)} is no ${field.name}`);
  return value;
}

type DayRule = (year: number, month: number, day: number) => boolean;

/**
 * Whether a day of the month and a day counted within the month are ever the same date. Where they are not, as in `5 * L4`, one
 * of the two would count for nothing: Airflow finds no date for such an expression, and nor do we. The calendar repeats after 28 years.
 */
function fallTogether(months: ReadonlySet<number>, days: DayRule, weekdays: DayRule): boolean {
  for (let year = 2000; year < 2028; year++)
    for (const month of months)
      for (let day = daysInMonth(year, month); day > 0; day--)
        if (days(year, month, day) && weekdays(year, month, day)) return true;
  return false;
}

const daysInMonth = (y: number, m: number): number => new Date(Date.UTC(y, m, 0)).getUTCDate();
const weekdayOf = (y: number, m: number, d: number): number => new Date(Date.UTC(y, m - 1, d)).getUTCDay();

/** @returns null for an unrestricted field. */
function dayRule(text: string, fail: Fail): DayRule | null {
  if (text === '*' || text === '?') return null;
  const plain: string[] = [];
  const rules: DayRule[] = [];
  for (const part of text.split(',')) {
    const nearest = /^(\d{1,2})w$/i.exec(part);
    if (/^l$/i.test(part)) rules.push((y, m, d) => d === daysInMonth(y, m));
    else if (nearest) {
      const target = number(nearest[1]!, FIELDS.day, fail);
      rules.push((y, m, d) => d === nearestWeekday(y, m, target));
    } else plain.push(part);
  }
  if (plain.length > 0) {
    const set = new Set(numbers(plain.join(','), FIELDS.day, fail));
    rules.push((_y, _m, d) => set.has(d));
  }
  return (y, m, d) => rules.some((rule) => rule(y, m, d));
}

/** The weekday (Monday to Friday) nearest to a day, never leaving the month; null where the month is too short. */
function nearestWeekday(y: number, m: number, target: number): number | null {
  const length = daysInMonth(y, m);
  if (target > length) return null;
  const weekday = weekdayOf(y, m, target);
  if (weekday === 6) return target > 1 ? target - 1 : target + 2;
  if (weekday === 0) return target < length ? target + 1 : target - 2;
  return target;
}

function weekdayRule(text: string, fail: Fail): DayRule | null {
  if (text === '*' || text === '?') return null;
  const plain: string[] = [];
  const rules: DayRule[] = [];
  for (const part of text.split(',')) {
    const last = /^l([a-z0-9]+)$/i.exec(part);
    const nth = /^([a-z0-9]+)#([1-5])$/i.exec(part);
    if (last) {
      const wanted = number(last[1]!, FIELDS.weekday, fail) % 7;
      rules.push((y, m, d) => weekdayOf(y, m, d) === wanted && d + 7 > daysInMonth(y, m));
    } else if (nth) {
      const wanted = number(nth[1]!, FIELDS.weekday, fail) % 7;
      const ordinal = Number(nth[2]);
      rules.push((y, m, d) => weekdayOf(y, m, d) === wanted && Math.ceil(d / 7) === ordinal);
    } else plain.push(part);
  }
  if (plain.length > 0) {
    const set = new Set(numbers(plain.join(','), FIELDS.weekday, fail).map((n) => n % 7));
    if (set.size === 7 && rules.length === 0) return null;
    rules.push((y, m, d) => set.has(weekdayOf(y, m, d)));
  }
  return (y, m, d) => rules.some((rule) => rule(y, m, d));
}

/** The first tick strictly after a wall-clock time. @throws DAG_INVALID when the expression never matches */
export function nextTick(cron: CronExpression, wallMs: number): number {
  return step(cron, wallMs, 1);
}

/** The last tick strictly before a wall-clock time. @throws DAG_INVALID when the expression never matches */
export function previousTick(cron: CronExpression, wallMs: number): number {
  return step(cron, wallMs, -1);
}

function step(cron: CronExpression, wallMs: number, direction: 1 | -1): number {
  assert(Number.isFinite(new Date(wallMs).getTime()), 'an instant that no date can hold');
  const limitYear = new Date(wallMs).getUTCFullYear() + direction * HORIZON_YEARS;
  let day = Math.floor(wallMs / DAY_MS) * DAY_MS;
  for (;;) {
    const date = new Date(day);
    const [y, m, d] = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
    if (direction === 1 ? y > limitYear : y < limitYear) throw invalid(cron.text, 'it never matches a date');
    if (!cron.months.has(m)) {
      day = direction === 1 ? Date.UTC(y, m, 1) : Date.UTC(y, m - 1, 0);
      continue;
    }
    if (cron.matchesDay(y, m, d)) {
      const tick = tickWithin(cron, day, wallMs, direction);
      if (tick !== null) return tick;
    }
    day += direction * DAY_MS;
  }
}

function tickWithin(cron: CronExpression, day: number, wallMs: number, direction: 1 | -1): number | null {
  const order = (list: readonly number[]) => (direction === 1 ? list : list.toReversed());
  for (const hour of order(cron.hours)) {
    const hourMs = day + hour * 3_600_000;
    if (direction === 1 ? hourMs + 3_600_000 <= wallMs : hourMs >= wallMs) continue;
    for (const minute of order(cron.minutes)) {
      const minuteMs = hourMs + minute * 60_000;
      if (direction === 1 ? minuteMs + 60_000 <= wallMs : minuteMs >= wallMs) continue;
      for (const second of order(cron.seconds)) {
        const tick = minuteMs + second * 1000;
        if (direction === 1 ? tick > wallMs : tick < wallMs) return tick;
      }
    }
  }
  return null;
}
