import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refreshDue } from './token-life.ts';

/** Seconds before its end at which a token of this lifetime is first renewed. */
function window(life: number): number {
  const due = (left: number) => refreshDue({ iat: 1000, exp: 1000 + life }, (1000 + life - left) * 1000);
  let left = 0;
  while (due(left + 1)) left++;
  return left;
}

test('renewal begins in the last fifth of a life, at least 30 s before its end, as on the wire', () => {
  assert.deepEqual([300, 200, 150, 100, 90].map(window), [60, 40, 30, 30, 30]);
});

test('of a short life it begins in the last third, so that no three tokens of a try ever live at once', () => {
  const leeway = 10;
  for (let life = 30; life <= 300; life++) {
    const before = window(life);
    // The predecessor dies at most `before` and the leeway after the successor's birth, whose own renewal begins later.
    assert.ok(before + leeway <= life - before, `${life} s: ${before} s`);
    assert.ok(before > 0);
  }
});

test('an expired token is never renewed, one second earlier it is', () => {
  assert.equal(refreshDue({ iat: 0, exp: 300 }, 300_000), false);
  assert.equal(refreshDue({ iat: 0, exp: 300 }, 299_000), true);
});
