/**
 * Ticks of a cron expression in a zone. With `*` as hour it steps in real time (every real hour, also when clocks change);
 * otherwise on the wall clock. @see scheduling semantics 2.3
 */
import { type CronExpression, nextTick, parseCron, previousTick } from './cron-expression.ts';
import { type Zone, zoneOf } from './zone.ts';

export type CronSchedule = {
  readonly expression: CronExpression;
  readonly zone: Zone;
  readonly after: (ms: number) => number;
  readonly before: (ms: number) => number;
  /** The first tick at or after. */
  readonly atOrAfter: (ms: number) => number;
  /** The last tick at or before. */
  readonly atOrBefore: (ms: number) => number;
};

/** @throws DAG_INVALID for a bad expression or zone */
export function cronSchedule(expression: string, timezone: string | number): CronSchedule {
  const cron = parseCron(expression);
  const zone = zoneOf(timezone);
  const move = (find: (cron: CronExpression, wallMs: number) => number) => (ms: number) => {
    const wall = zone.toWall(ms);
    const tick = find(cron, wall);
    return cron.everyHour ? ms + (tick - wall) : zone.toInstant(tick);
  };
  const after = move(nextTick);
  const before = move(previousTick);
  return {
    expression: cron,
    zone,
    after,
    before,
    atOrAfter: (ms) => {
      const next = after(ms);
      return before(next) === ms ? ms : next;
    },
    atOrBefore: (ms) => {
      const previous = before(ms);
      return after(previous) === ms ? ms : previous;
    },
  };
}
