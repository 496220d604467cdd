import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TimetableDocument } from '@airlock/contract/dag/document';
import { buildTimetable, type LastRun } from './index.ts';

type Run = { run_after: string; data_interval: [string, string] | null; partition_key?: string };
type Vector = {
  name: string;
  timetable: TimetableDocument;
  invalid?: string;
  now: string;
  last: Run | null;
  earliest: string | null;
  latest: string | null;
  catchup: boolean;
  next: (Run & { error?: string }) | null;
};
const load = <T>(file: string): T[] =>
  (JSON.parse(readFileSync(new URL(`../../../test/data/${file}`, import.meta.url), 'utf8')) as { vectors: T[] })
    .vectors;
const ms = (text: string | null): number | null => (text === null ? null : Date.parse(text));
const iso = (at: number): string => new Date(at).toISOString().replace('.000Z', 'Z');

const vectors = load<Vector>('next-run.json');

test('the vectors are all there', () => {
  // A check that finds nothing to check must fail.
  equal(vectors.length, 391);
});

for (const [index, vector] of vectors.entries()) {
  test(`next run ${index}: ${vector.name}`, () => {
    if (vector.invalid) {
      throws(() => buildTimetable(vector.timetable), { code: 'DAG_INVALID' });
      return;
    }
    const last: LastRun | null = vector.last && {
      runAfterMs: Date.parse(vector.last.run_after),
      interval: vector.last.data_interval && {
        startMs: Date.parse(vector.last.data_interval[0]),
        endMs: Date.parse(vector.last.data_interval[1]),
      },
    };
    const answer = () =>
      buildTimetable(vector.timetable).next(
        last,
        { earliestMs: ms(vector.earliest), latestMs: ms(vector.latest), catchup: vector.catchup },
        Date.parse(vector.now),
      );
    if (vector.next?.error) {
      throws(answer, { code: 'DAG_INVALID' });
      return;
    }
    const next = answer();
    deepEqual(
      next && {
        run_after: iso(next.runAfterMs),
        data_interval: next.interval && [iso(next.interval.startMs), iso(next.interval.endMs)],
        ...(next.partition && { partition_key: next.partition.key, partition_date: iso(next.partition.dateMs) }),
      },
      vector.next,
    );
  });
}

for (const [index, vector] of load<{
  name: string;
  timetable: TimetableDocument;
  run_after: string;
  data_interval: [string, string];
}>('manual-data-interval.json').entries()) {
  test(`interval of a manual run ${index}: ${vector.name}`, () => {
    const interval = buildTimetable(vector.timetable).manualInterval(Date.parse(vector.run_after));
    deepEqual([iso(interval.startMs), iso(interval.endMs)], vector.data_interval);
  });
}

test('a class of the author’s own is known by its path, and answers nothing here', () => {
  const timetable = buildTimetable({ __type: 'my.plugin.Workdays', __var: {} });
  deepEqual([timetable.type, timetable.summary, timetable.isAsked], ['my.plugin.Workdays', 'Workdays', true]);
  throws(() => timetable.next(null, { earliestMs: 0, latestMs: null, catchup: true }, 0), /asked by a dag-processor/);
  throws(() => timetable.manualInterval(0), /asked by a dag-processor/);
});

test('what is no class, and a class of Airflow’s that it does not have, is refused by name', () => {
  for (const path of [
    'Workdays',
    '__proto__',
    'constructor',
    '',
    '../x',
    'a..b',
    'a.b()',
    'a.b\0',
    'airflow.timetables.constructor',
  ])
    throws(() => buildTimetable({ __type: path, __var: {} }), { code: 'DAG_INVALID' }, path);
});

test('a zone that does not exist is refused', () => {
  throws(
    () =>
      buildTimetable({
        __type: 'airflow.timetables.trigger.CronTriggerTimetable',
        __var: { expression: '0 0 * * *', timezone: 'Mars/Olympus' },
      }),
    { code: 'DAG_INVALID', message: /Mars\/Olympus/ },
  );
});

test('a schedule that does not lead forward is refused', () => {
  throws(() => buildTimetable({ __type: 'airflow.timetables.trigger.DeltaTriggerTimetable', __var: { delta: 0 } }), {
    code: 'DAG_INVALID',
  });
  ok(buildTimetable({ __type: 'airflow.timetables.trigger.DeltaTriggerTimetable', __var: { delta: 1 } }));
});

test('of a day of the month and one counted within the month that never fall together, no date is found, as on Airflow', () => {
  const next = (expression: string) =>
    buildTimetable({
      __type: 'airflow.timetables.trigger.CronTriggerTimetable',
      __var: { expression, timezone: 'UTC' },
    }).next(null, { earliestMs: Date.parse('2026-01-01T00:00:00Z'), latestMs: null, catchup: true }, 0);
  for (const never of ['0 0 5 * L4', '0 0 21 * MON#1', '0 0 20W * SAT', '0 0 29 2 MON#1', '0 0 31 4 *'])
    throws(() => next(never), { code: 'DAG_INVALID', message: /never matches/ }, never);
  // The controls differ in the day alone; the counted day decides, as on Airflow.
  for (const [sometimes, day] of [
    ['0 0 25 * L4', '2026-01-29'],
    ['0 0 7 * MON#1', '2026-01-05'],
    ['0 0 20W * FRI', '2026-01-20'],
    ['0 0 29 2 MON#5', '2044-02-29'],
  ] as const)
    equal(iso(next(sometimes)!.runAfterMs), `${day}T00:00:00Z`, sometimes);
});

test('of several expressions none is passed over, however long the interval of their runs', () => {
  // Airflow looks at the start of the interval there and skips the earlier of two ticks within one interval; docs/migrating.md says so.
  const timetable = buildTimetable({
    __type: 'airflow.timetables.trigger.MultipleCronTriggerTimetable',
    __var: { expressions: ['0 * * * *', '30 * * * *'], timezone: 'UTC', interval: 3600, run_immediately: false },
  });
  const at = Date.parse('2026-06-10T23:30:00Z');
  const last = { runAfterMs: at, interval: { startMs: at - 3_600_000, endMs: at } };
  const next = timetable.next(last, { earliestMs: 0, latestMs: null, catchup: false }, at + 1000);
  equal(iso(next!.runAfterMs), '2026-06-11T00:00:00Z');
});
