import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DagError } from './dag-error.ts';
import { parseDuration, parseRetryDelay } from './duration.ts';

test('durations are seconds, or text with units', () => {
  const cases: Array<[number | string, number]> = [
    [0, 0], [1.5, 1.5], ['30s', 30], ['15m', 900], ['1h30m', 5400], ['2d', 172_800], ['1w 1d', 691_200],
    ['250ms', 0.25], ['0.5h', 1800], [' 10 s ', 10], ['1h 5m 3s 20ms', 3903.02],
  ]; // biome-ignore format: a table
  for (const [text, seconds] of cases) assert.equal(parseDuration(text, 'timeout'), seconds, String(text));
});

test('what is no duration is refused with the option, the value and how to write it', () => {
  const bad: unknown[] = [
    '',
    '10',
    'ten seconds',
    '10 sekunder',
    '-5s',
    '1m1h',
    '5s5s',
    's',
    '1e3s',
    null,
    {},
    [],
    true,
  ];
  for (const value of [...bad, Number.NaN, Number.POSITIVE_INFINITY, -1]) {
    assert.throws(
      () => parseDuration(value, 'task t.timeout'),
      (error) => error instanceof DagError && error.message.startsWith('task t.timeout: ') && /30s/.test(error.hint),
      String(value),
    );
  }
  assert.throws(() => parseDuration('10', 'timeout'), /has no unit/);
});

test('milliseconds given as seconds are noticed', () => {
  assert.throws(
    () => parseDuration(86_400_000, 'timeout'),
    (error) => error instanceof DagError && /not milliseconds/.test(error.hint),
  );
});

test('a retry delay is one wait, or a range that is doubled through', () => {
  assert.deepEqual(parseRetryDelay('30s', 'retryDelay'), { first: 30, max: null });
  assert.deepEqual(parseRetryDelay(5, 'retryDelay'), { first: 5, max: null });
  assert.deepEqual(parseRetryDelay('10s..5m', 'retryDelay'), { first: 10, max: 300 });
  for (const bad of ['5m..10s', '..5m', '10s..', '1s..2s..3s', '10..20', '0s..5s']) {
    assert.throws(() => parseRetryDelay(bad, 'retryDelay'), DagError, bad);
  }
});
