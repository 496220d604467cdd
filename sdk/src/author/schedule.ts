/** From the author's `schedule` to a timetable of the interchange format. @see reference "serialized-dag" 4.3 */
import { DagError, show } from './dag-error.ts';
import { parseDuration } from './duration.ts';

/**
 * `null`: only when triggered. A cron text of five fields, a preset (`@hourly`, `@daily`, …), `'@once'`, `'@continuous'`,
 * or a duration (`'30m'`, seconds) for a fixed distance.
 */
export type Schedule = string | number | null;

export type Timetable = { readonly __type: string; readonly __var: Readonly<Record<string, unknown>> };

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
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const FIELDS = [
  { name: 'minute', min: 0, max: 59, names: [] as string[] },
  { name: 'hour', min: 0, max: 23, names: [] as string[] },
  { name: 'day of month', min: 1, max: 31, names: [] as string[] },
  { name: 'month', min: 1, max: 12, names: MONTHS },
  { name: 'day of week', min: 0, max: 7, names: DAYS },
] as const;
const HINT = "Write five fields, such as '0 6 * * *', a preset such as '@daily', a duration such as '30m', or null.";

const of = (path: string, fields: Readonly<Record<string, unknown>>): Timetable => ({
  __type: `airflow.timetables.${path}`,
  __var: fields,
});

/** What makes a run due without a person. @throws DagError */
export function readSchedule(schedule: unknown, timezone: string): Timetable {
  if (schedule === null || schedule === undefined) return of('simple.NullTimetable', {});
  if (schedule === '@once') return of('simple.OnceTimetable', {});
  if (schedule === '@continuous') return of('simple.ContinuousTimetable', {});
  if (typeof schedule === 'number' || (typeof schedule === 'string' && isDurationText(schedule))) {
    return of('trigger.DeltaTriggerTimetable', {
      delta: parseDuration(schedule, 'schedule', { min: 1 }),
      interval: 0,
    });
  }
  if (typeof schedule !== 'string') throw new DagError(`schedule: ${show(schedule)} is not a schedule.`, HINT);
  const preset = PRESETS[schedule.trim()];
  if (!preset && schedule.trim().startsWith('@')) {
    const known = [...Object.keys(PRESETS), '@once', '@continuous'].join(', ');
    throw new DagError(`schedule: ${show(schedule)} is not a preset.`, `Presets are ${known}.`);
  }
  const expression = preset ?? checkCron(schedule);
  return of('trigger.CronTriggerTimetable', { expression, timezone, interval: 0, run_immediately: false });
}

function isDurationText(text: string): boolean {
  return /^\d/.test(text.trim()) && /^\s*(?:\d+(?:\.\d+)?\s*(?:ms|[wdhms])\s*)+$/.test(text);
}

/** The expression with single spaces. @throws DagError naming the field that is wrong */
function checkCron(text: string): string {
  const parts = text.trim().split(/\s+/);
  if (parts.length !== FIELDS.length) {
    throw new DagError(
      `schedule: ${show(text)} has ${parts.length} cron field${parts.length === 1 ? '' : 's'}, not 5.`,
      HINT,
    );
  }
  parts.forEach((part, i) => {
    for (const item of part.split(',')) {
      if (!isCronItem(item.toLowerCase(), FIELDS[i]!)) {
        throw new DagError(`schedule: ${show(text)}: ${show(item)} is not a ${FIELDS[i]!.name}.`, HINT);
      }
    }
  });
  return parts.join(' ');
}

function isCronItem(item: string, field: (typeof FIELDS)[number]): boolean {
  if (field.name === 'day of month' && item === 'l') return true;
  const match = /^(\*|\?|[a-z0-9]+)(?:-([a-z0-9]+))?(?:\/(\d+))?$/.exec(item);
  if (!match) return field.name === 'day of week' && /^(?:[0-7]|[a-z]{3})#[1-5]$|^l[0-7]$|^[0-7]l$/.test(item);
  const [, low, high, step] = match as unknown as [string, string, string | undefined, string | undefined];
  if (step !== undefined && Number(step) < 1) return false;
  if (low === '*' || low === '?') return high === undefined;
  const first = cronNumber(low, field);
  const last = high === undefined ? first : cronNumber(high, field);
  return first !== null && last !== null;
}

function cronNumber(text: string, field: (typeof FIELDS)[number]): number | null {
  const named = (field.names as readonly string[]).indexOf(text);
  if (named >= 0) return field.min === 0 ? named : named + 1;
  if (!/^\d+$/.test(text)) return null;
  const value = Number(text);
  return value >= field.min && value <= field.max ? value : null;
}
