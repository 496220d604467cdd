/**
 * 2,000 random schedules (expression, zone, start, end, catchup) and the next 20 runs of each, as Airflow 3.3.2 itself gave
 * them. Made by control/test/airflow/timetables.py, which says how to make them again, also with another seed.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { TimetableDocument } from '@airlock/contract/dag/document';
import { isAppError } from '@airlock/contract/errors';
import { buildTimetable, type LastRun } from './index.ts';

type Step = readonly [start: number, end: number, runAfter: number] | 'error' | null;
type Line = {
  readonly t: TimetableDocument;
  readonly e: number | null;
  readonly l: number | null;
  readonly c: boolean;
  readonly n: readonly number[];
  readonly r: readonly Step[];
};

const lines = gunzipSync(readFileSync(new URL('../../../test/data/timetables-random.jsonl.gz', import.meta.url)))
  .toString('utf8')
  .trimEnd()
  .split('\n')
  .map((text) => JSON.parse(text) as Line);
const ms = (seconds: number | null): number | null => (seconds === null ? null : seconds * 1000);

/** What we answer to the questions of a line, in its own form. */
function answers({ t, e, l, c, n }: Line): Step[] {
  try {
    const timetable = buildTimetable(t);
    const given: Step[] = [];
    let last: LastRun | null = null;
    for (const now of n) {
      const next = timetable.next(last, { earliestMs: ms(e), latestMs: ms(l), catchup: c }, now * 1000);
      if (!next) return [...given, null];
      const { interval, runAfterMs } = next;
      ok(interval, 'a run of these timetables has an interval');
      given.push([interval.startMs / 1000, interval.endMs / 1000, runAfterMs / 1000]);
      last = { runAfterMs, interval };
    }
    return given;
  } catch (error) {
    ok(isAppError(error, 'DAG_INVALID'), String(error));
    return ['error'];
  }
}

/**
 * Where we answer and Airflow's cron library gives up, so that the schedule stands still there. In both cases the runs up to
 * that step are the same.
 */
const AIRFLOW_GIVES_UP = [
  // A day of the month that never falls on the day counted within the month, as `5 * L4`: we go by the latter.
  /^\S+ \S+ (?!\*)\S+ \S+ (?:\S+#\d|L\d|\S+$)/,
  // Two ticks on either side of a shift that Airflow then finds in the wrong order.
  /^47 \* \* \*\/2 \*$/,
  /^22 \* 10W \*\/3 \*$/,
];

function isBetter(line: Line, ours: readonly Step[]): boolean {
  const at = line.r.indexOf('error');
  const expressions = [line.t.__var.expression, line.t.__var.expressions].flat().map(String);
  return (
    at >= 0 &&
    JSON.stringify(ours.slice(0, at)) === JSON.stringify(line.r.slice(0, at)) &&
    expressions.some((text) => AIRFLOW_GIVES_UP.some((pattern) => pattern.test(text)))
  );
}

test('the next 20 runs of 2,000 random schedules are those of Airflow 3.3.2', (t) => {
  equal(lines.length, 2000);
  const different = lines
    .map((line) => ({ line, ours: answers(line) }))
    .filter(({ line, ours }) => JSON.stringify(ours) !== JSON.stringify(line.r));
  const better = different.filter(({ line, ours }) => isBetter(line, ours));
  const runs = lines.reduce((sum, line) => sum + line.r.length, 0);
  t.diagnostic(
    `${lines.length - different.length} of ${lines.length} schedules equal, ${runs} answers; ${better.length} where Airflow gives up`,
  );
  ok(runs > 20_000, 'most schedules go on for 20 runs');
  ok(better.length <= 20, 'exceptions are few');
  for (const { line, ours } of different) if (!isBetter(line, ours)) deepEqual(ours, line.r, JSON.stringify(line.t));
});
