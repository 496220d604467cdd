/** What masking costs the log of a try, beside the same log without it, in one run. @see promise L21 */
import { ok } from 'node:assert/strict';
import { test } from 'node:test';
import { measureMasking } from '../../../tests/bench/masking.ts';

test('the log of a try with twenty secrets to hide costs about as much as one with nothing to hide', async (t) => {
  const { ratio } = await measureMasking(20, 9);
  t.diagnostic(`L21: masking makes a log ${((ratio - 1) * 100).toFixed(0)} % dearer (median of 9 pairs; goal 10 %)`);
  // One search with all forms as alternatives needs 1.6 times the time and more.
  ok(ratio < 1.4, String(ratio));
});
