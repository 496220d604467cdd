import { equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { giveBackUid, takeUid } from './uids.ts';

test("no two living children have one user id, the last id of the range is nobody's, and a freed one is not the next", () => {
  const range = { first: 5_000_000, size: 5 };
  const taken = [takeUid(range), takeUid(range), takeUid(range), takeUid(range)];
  equal(new Set(taken).size, 4);
  equal(taken.includes(5_000_004), false);
  throws(() => takeUid(range), RangeError);
  giveBackUid(taken[1]!);
  equal(takeUid(range), taken[1]);
  for (const uid of taken) giveBackUid(uid);
  const first = takeUid(range);
  giveBackUid(first);
  equal(takeUid(range) === first, false);
});
