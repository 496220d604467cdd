import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { cronInWords, durationText } from './describe.ts';
import { buildTimetable } from './index.ts';

test('cron expressions are said in the words that Airflow has for them', () => {
  const said: ReadonlyArray<readonly [string, string]> = [
    ['0 0 * * *', 'At 00:00'],
    ['@daily', 'At 00:00'],
    ['@hourly', 'Every hour'],
    ['@weekly', 'At 00:00, only on Sunday'],
    ['@quarterly', 'At 00:00, on day 1 of the month, every 3 months'],
    ['*/5 * * * *', 'Every 5 minutes'],
    ['30 21 * * 5', 'At 21:30, only on Friday'],
    ['5 4 * * sun', 'At 04:05, only on Sunday'],
    ['0 22 * * 1-5', 'At 22:00, Monday through Friday'],
    ['0 0 * * FRI-MON', 'At 00:00, Friday through Monday'],
    ['0 0 L * *', 'At 00:00, on the last day of the month'],
    ['0 0 * * L5', 'At 00:00, on the last Friday of the month'],
    ['0 0 * * MON#2', 'At 00:00, on the second Monday of the month'],
    ['0 0 15W * *', 'At 00:00, on the weekday nearest day 15 of the month'],
    ['1 2 3 4 5', 'At 02:01, on day 3 of the month, only in April (or) At 02:01, only on Friday, only in April'],
  ];
  for (const [expression, words] of said) equal(cronInWords(expression), words, expression);
});

test('where Airflow says nothing, or what is not so, the words are right', () => {
  // Seconds stand last; day fields of which both have to hold are one sentence; ? restricts nothing.
  equal(cronInWords('0 12 * * * 30'), 'At 12:00:30');
  equal(
    cronInWords('0 0 15w * MON#2'),
    'At 00:00, on the weekday nearest day 15 of the month, on the second Monday of the month',
  );
  equal(cronInWords('0 0 ? * ?'), 'At 00:00');
  equal(cronInWords('@annually'), 'At 00:00, on day 1 of the month, only in January');
});

test('what is no cron expression is refused, not described', () => {
  for (const text of ['', 'daily', '* * * *', '61 * * * *', '* * * * * * *'])
    throws(() => cronInWords(text), { code: 'DAG_INVALID' }, text);
});

test('lengths are shown as Python shows them', () => {
  equal(durationText({ seconds: 3600 }), '1:00:00');
  equal(durationText({ seconds: 86_400 }), '1 day, 0:00:00');
  equal(durationText({ seconds: 183_845.5 }), '2 days, 3:04:05.500000');
  equal(durationText({ seconds: -1 }), '-1 day, 23:59:59');
  equal(durationText({ calendar: { months: 1, days: 2 } }), '1 months, 2 days');
});

test('timetables are shown with the words of their schedule', () => {
  const shown = (name: string, fields: Record<string, unknown>) => {
    const { summary, description } = buildTimetable({ __type: `airflow.timetables.${name}`, __var: fields });
    return [summary, description];
  };
  const cron = { expression: '0 6 * * *', timezone: 'UTC' };
  deepEqual(shown('trigger.CronTriggerTimetable', { ...cron, interval: 0 }), ['0 6 * * *', 'At 06:00']);
  deepEqual(shown('interval.CronDataIntervalTimetable', cron), ['0 6 * * *', 'At 06:00']);
  deepEqual(shown('trigger.CronPartitionTimetable', { ...cron, key_format: '%Y' }), ['0 6 * * *', 'At 06:00']);
  deepEqual(shown('trigger.MultipleCronTriggerTimetable', { expressions: ['0 6 * * *', '@hourly'], timezone: 'UTC' }), [
    '0 6 * * *, @hourly',
    'At 06:00, Every hour',
  ]);
  deepEqual(shown('interval.DeltaDataIntervalTimetable', { delta: 5400 }), [
    '1:30:00',
    'Every 1:30:00, for the time before',
  ]);
  const dates = ['2026-01-01T00:00:00Z', '2026-02-01T00:00:00Z'];
  const events = { event_dates: dates, restrict_to_events: false, description: 'Two days', _summary: 'Two' };
  deepEqual(shown('events.EventsTimetable', events), ['Two', 'Two days']);
  deepEqual(shown('events.EventsTimetable', { ...events, _summary: undefined }), ['2 events', 'Two days']);
});
