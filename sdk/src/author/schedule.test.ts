import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DagError } from './dag-error.ts';
import { readSchedule } from './schedule.ts';

const ZONE = 'Europe/Stockholm';
const expressionOf = (schedule: unknown) => readSchedule(schedule, ZONE).__var.expression;

test('each kind of schedule becomes its timetable', () => {
  assert.deepEqual(readSchedule(null, ZONE), { __type: 'airflow.timetables.simple.NullTimetable', __var: {} });
  assert.deepEqual(readSchedule(undefined, ZONE), readSchedule(null, ZONE));
  assert.equal(readSchedule('@once', ZONE).__type, 'airflow.timetables.simple.OnceTimetable');
  assert.equal(readSchedule('@continuous', ZONE).__type, 'airflow.timetables.simple.ContinuousTimetable');
  assert.deepEqual(readSchedule('0 6 * * *', ZONE), {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 6 * * *', timezone: ZONE, interval: 0, run_immediately: false },
  });
  const every = { __type: 'airflow.timetables.trigger.DeltaTriggerTimetable', __var: { delta: 1800, interval: 0 } };
  assert.deepEqual(readSchedule('30m', ZONE), every);
  assert.deepEqual(readSchedule(1800, ZONE), every);
});

test('presets are expanded, so that no reader has to know them', () => {
  assert.equal(expressionOf('@hourly'), '0 * * * *');
  assert.equal(expressionOf('@daily'), '0 0 * * *');
  assert.equal(expressionOf('@weekly'), '0 0 * * 0');
  assert.equal(expressionOf('@quarterly'), '0 0 1 */3 *');
  assert.equal(expressionOf('@annually'), expressionOf('@yearly'));
});

test('cron texts of every usual form are accepted', () => {
  for (const text of [
    '*/5 * * * *',
    '0 0 1,15 * *',
    '15 3 * * 1-5',
    '0 9 * jan-mar MON',
    '0 0 * * 5#3',
    '0 0 L * *',
    '0 12 * * 7',
    '0-30/10 8-17 * * *',
  ]) {
    assert.equal(expressionOf(text), text, text);
  }
  assert.equal(expressionOf('  0   6 * *  * '), '0 6 * * *');
});

test('a wrong cron text is refused, naming the part', () => {
  const cases: Array<[unknown, RegExp]> = [
    ['60 * * * *', /"60" is not a minute/], ['* 24 * * *', /"24" is not a hour/], ['* * 0 * *', /day of month/],
    ['* * * 13 *', /month/], ['* * * * 8', /day of week/], ['* * *', /has 3 cron fields/], ['0 0 6 * * *', /has 6 cron fields/],
    ['*/0 * * * *', /minute/], ['tomorrow', /has 1 cron field,/], ['@dayly', /not a preset/], [true, /not a schedule/],
    [{}, /not a schedule/], ['', /cron field/], [0, /shorter than 1 s/], ['5 x * * *', /"x" is not a hour/],
  ]; // biome-ignore format: a table
  for (const [schedule, message] of cases) {
    assert.throws(
      () => readSchedule(schedule, ZONE),
      (error) => error instanceof DagError && message.test(error.message),
      String(schedule),
    );
  }
});
