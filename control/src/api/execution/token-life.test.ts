import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overlapEnd, refreshDue } from './token-life.ts';

/** Seconds before its end at which a token of this lifetime is first renewed. */
function window(life: number): number {
  const due = (left: number) => refreshDue({ iat: 1000, exp: 1000 + life }, (1000 + life - left) * 1000);
  let left = 0;
  while (due(left + 1)) left++;
  return left;
}

test('renewal begins in the last fifth of a life, at least 30 s before its end, as on the wire; in half of a short one', () => {
  assert.deepEqual([300, 200, 150, 100, 60, 40].map(window), [60, 40, 30, 30, 30, 20]);
});

test('the predecessor is dead before its successor’s successor can be made, whenever the successor is first used', () => {
  for (let life = 30; life <= 300; life++) {
    const due = 1000 + life - window(life);
    for (let used = 1000; used < 1000 + life; used++) {
      const end = Date.parse(overlapEnd({ iat: 1000, exp: 1000 + life }, used * 1000)) / 1000;
      assert.ok(end <= Math.max(due, used), `${life} s, used after ${used - 1000} s: until ${end}, due at ${due}`);
      assert.ok(end <= used + 30);
    }
  }
});

test('a predecessor of the default life works for 30 s after the first use', () => {
  assert.equal(Date.parse(overlapEnd({ iat: 1000, exp: 1300 }, 1_010_000)), 1_040_000);
});

test('an expired token is never renewed, one second earlier it is', () => {
  assert.equal(refreshDue({ iat: 0, exp: 300 }, 300_000), false);
  assert.equal(refreshDue({ iat: 0, exp: 300 }, 299_000), true);
});
