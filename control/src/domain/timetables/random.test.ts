/**
 * 2,000 random schedules (expression, zone, start, end, catchup) and the next 20 runs of each, as Airflow 3.3.2 itself gave
 * them; and 2,000 with one run after a last run that another schedule made, and the interval of a manual run. Made by
 * control/test/airflow/timetables.py, which says how to make them again, also with another seed.
 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import type { TimetableDocument } from '@airlock/contract/dag/document';
import { isAppError } from '@airlock/contract/errors';
import { buildTimetable, type LastRun, type NextRun } from './index.ts';

type Step = readonly (number | string)[] | 'error' | null;
type Line = {
  readonly t: TimetableDocument;
  readonly e: number | null;
  readonly l: number | null;
  readonly c: boolean;
  readonly n: readonly number[];
  readonly r: readonly Step[];
};
/** Of a schedule that was changed: the last run before, and a manual run. */
type ChangedLine = Line & {
  readonly p: readonly [start: number, end: number] | null;
  readonly m: number;
  readonly i: readonly [start: number, end: number] | 'error' | null;
};

const load = <T>(file: string): T[] =>
  gunzipSync(readFileSync(new URL(`../../../test/data/${file}.jsonl.gz`, import.meta.url)))
    .toString('utf8')
    .trimEnd()
    .split('\n')
    .map((text) => JSON.parse(text) as T);
const ms = (seconds: number | null): number | null => (seconds === null ? null : seconds * 1000);
/** Fractions of a millisecond, which months of Airflow's have and nobody sees, are not compared. */
const seconds = (at: number) => Math.round(at) / 1000;
const restriction = ({ e, l, c }: Line) => ({ earliestMs: ms(e), latestMs: ms(l), catchup: c });

/** An answer as the lines have it. */
function shown(next: NextRun | null): Step {
  if (next === null) return null;
  const { interval, runAfterMs, partition } = next;
  if (partition) return [seconds(runAfterMs), partition.key, seconds(partition.dateMs)];
  ok(interval, 'a run without partition has an interval');
  return [seconds(interval.startMs), seconds(interval.endMs), seconds(runAfterMs)];
}

function orError<T>(ask: () => T): T | 'error' {
  try {
    return ask();
  } catch (error) {
    ok(isAppError(error, 'DAG_INVALID'), String(error));
    return 'error';
  }
}

/** What we answer to the questions of a line, in its own form. */
function answers(line: Line): Step[] {
  const given: Step[] = [];
  const ended = orError(() => {
    const timetable = buildTimetable(line.t);
    let last: LastRun | null = null;
    for (const now of line.n) {
      const next = timetable.next(last, restriction(line), now * 1000);
      given.push(shown(next));
      if (next === null) return;
      last = { runAfterMs: next.runAfterMs, interval: next.interval };
    }
  });
  return ended === 'error' ? [...given, 'error'] : given;
}

/**
 * Where we answer and Airflow raises "next schedule shouldn't be earlier", so that its schedule stands still: data intervals whose
 * hour field is `*` while months or days are restricted, and the clocks have changed since the last tick. docs/migrating.md says so.
 */
const CLOCKS_CHANGED = {
  next20: ['47 * * */2 * Antarctica/Troll', '22 * 10W */3 * Europe/Lisbon'],
  changed: ['* * * 3-7/3 * Pacific/Chatham'],
};
const named = ({ t }: Line) => `${t.__var.expression} ${t.__var.timezone}`;
const isDifferent = (ours: unknown, theirs: unknown) => JSON.stringify(ours) !== JSON.stringify(theirs);

test('the next 20 runs of 2,000 random schedules are those of Airflow 3.3.2', (t) => {
  const lines = load<Line>('timetables-random');
  equal(lines.length, 2000);
  const runs = lines.reduce((sum, line) => sum + line.r.length, 0);
  ok(runs > 20_000, 'most schedules go on for 20 runs');
  const different = lines.filter((line) => isDifferent(answers(line), line.r));
  deepEqual(different.map(named), CLOCKS_CHANGED.next20, 'what differs is what is listed, no less and no more');
  for (const line of different) {
    const at = line.r.indexOf('error');
    deepEqual(answers(line).slice(0, at), line.r.slice(0, at), 'up to there the runs are the same');
  }
  t.diagnostic(`${lines.length - different.length} of ${lines.length} schedules equal, ${runs} answers`);
});

test('the run after one that another schedule made, and the interval of a manual run, are those of Airflow 3.3.2', (t) => {
  const lines = load<ChangedLine>('timetables-changed');
  equal(lines.length, 2000);
  const next = (line: ChangedLine) =>
    orError(() => {
      const { t: document, p, n } = line;
      const last = p && { runAfterMs: p[1] * 1000, interval: { startMs: p[0] * 1000, endMs: p[1] * 1000 } };
      return shown(buildTimetable(document).next(last, restriction(line), n[0]! * 1000));
    });
  const manual = ({ t: document, m }: ChangedLine) =>
    orError(() => {
      const { startMs, endMs } = buildTimetable(document).manualInterval(m * 1000);
      return [seconds(startMs), seconds(endMs)];
    });
  const intervals = lines.filter(({ i }) => i !== null);
  ok(intervals.length > 1500);
  for (const line of intervals) deepEqual(manual(line), line.i, JSON.stringify(line));
  const different = lines.filter((line) => isDifferent(next(line), line.r[0]));
  deepEqual(different.map(named), CLOCKS_CHANGED.changed, different.map((line) => JSON.stringify(line)).join('\n'));
  for (const line of different) equal(line.r[0], 'error');
  t.diagnostic(
    `${lines.length - different.length} of ${lines.length} equal, ${intervals.length} intervals of manual runs`,
  );
});
