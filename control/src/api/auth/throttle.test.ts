import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@airlock/contract/errors';
import { createThrottle } from './throttle.ts';

const refused = (work: () => unknown): number => {
  try {
    work();
  } catch (error) {
    assert.ok(error instanceof AppError && error.code === 'RATE_LIMITED');
    return error.internal.retryAfterSeconds as number;
  }
  throw new Error('the attempt was admitted');
};

test('the eleventh attempt within a minute is refused, and admitted again when the first is a minute old', () => {
  const throttle = createThrottle();
  for (let i = 0; i < 10; i++) throttle.attempt(['account a', 'address 1'], 1000 * i);
  assert.equal(
    refused(() => throttle.attempt(['account a', 'address 2'], 10_000)),
    50,
  );
  assert.equal(
    refused(() => throttle.attempt(['account b', 'address 1'], 59_999)),
    1,
  );
  throttle.attempt(['account b', 'address 2'], 10_000); // control: neither has failed
  throttle.attempt(['account a', 'address 3'], 60_001);
});

test('what was taken back after a success counts for nothing', () => {
  const throttle = createThrottle();
  for (let i = 0; i < 50; i++) throttle.attempt(['account a'], i)();
  for (let i = 0; i < 10; i++) throttle.attempt(['account a'], 100 + i);
  refused(() => throttle.attempt(['account a'], 200));
});

test('a refused attempt is not counted, so the wait does not grow with knocking', () => {
  const throttle = createThrottle({ failures: 1, windowMs: 1000 });
  throttle.attempt(['k'], 0);
  for (let at = 1; at < 1000; at += 100) refused(() => throttle.attempt(['k'], at));
  throttle.attempt(['k'], 1001);
});
