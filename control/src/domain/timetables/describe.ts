/** Schedules in words, for people. Programs read the expression, which is the summary of the timetable. */
import cronstrue from 'cronstrue';
import { parseCron } from './cron-expression.ts';
import type { Duration } from './duration.ts';

/**
 * `At 21:30, only on Friday`; two such, where either of the two day fields suffices. Empty for what can't be said.
 * @throws DAG_INVALID for no cron expression
 */
export function cronInWords(expression: string): string {
  const { text, eitherDay } = parseCron(expression);
  const [minute, hour, day, month, weekday, second] = text.trim().toUpperCase().replaceAll('?', '*').split(/\s+/);
  // Seconds stand last in Dags, and first in the dialect of the library.
  const say = (days = '*', weekdays = '*') =>
    cronstrue.toString([second, minute, hour, days, month, weekdays].join(' ').trim(), {
      use24HourTimeFormat: true,
    });
  try {
    return eitherDay ? `${say(day)} (or) ${say('*', weekday)}` : say(day, weekday);
  } catch {
    return '';
  }
}

/** A fixed length as Python shows it, `1 day, 2:00:00` or `0:00:00.500000`; calendar steps as `1 months`. */
export function durationText(duration: Duration): string {
  if ('calendar' in duration)
    return Object.entries(duration.calendar)
      .map(([unit, n]) => `${n} ${unit}`)
      .join(', ');
  const total = Math.round(duration.seconds * 1e6);
  const days = Math.floor(total / 86_400e6);
  const rest = total - days * 86_400e6;
  const two = (n: number) => String(Math.floor(n)).padStart(2, '0');
  const micros = rest % 1e6;
  const clock = `${Math.floor(rest / 3600e6)}:${two((rest / 60e6) % 60)}:${two((rest / 1e6) % 60)}`;
  const fraction = micros === 0 ? '' : `.${String(micros).padStart(6, '0')}`;
  return `${days === 0 ? '' : `${days} day${Math.abs(days) === 1 ? '' : 's'}, `}${clock}${fraction}`;
}
