import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { pythonSlice } from './slice.ts';

const items = [0, 1, 2, 3, 4];
for (const [bounds, expected] of [
  [{}, [0, 1, 2, 3, 4]],
  [{ start: 1, stop: 3 }, [1, 2]],
  [{ start: -2 }, [3, 4]],
  [{ stop: -1 }, [0, 1, 2, 3]],
  [{ step: 2 }, [0, 2, 4]],
  [{ step: -2 }, [4, 2, 0]],
  [{ start: 3, stop: 0, step: -1 }, [3, 2, 1]],
  [{ start: 4, stop: 1 }, []],
  [{ start: 10 }, []],
  [{ start: -10, stop: 10 }, [0, 1, 2, 3, 4]],
  [{ step: 0 }, [0, 1, 2, 3, 4]],
] as const) {
  test(`[0..4] cut by ${JSON.stringify(bounds)} is ${JSON.stringify(expected)}`, () => {
    assert.deepEqual(pythonSlice(items, bounds), expected);
  });
}

test('without a step it is what Array.slice gives, and a step of -1 of everything reverses', () => {
  const bound = fc.option(fc.integer({ min: -8, max: 8 }), { nil: undefined });
  fc.assert(
    fc.property(fc.array(fc.integer(), { maxLength: 6 }), bound, bound, (list, start, stop) => {
      assert.deepEqual(pythonSlice(list, { start, stop }), list.slice(start ?? 0, stop ?? list.length));
      assert.deepEqual(pythonSlice(list, { step: -1 }), [...list].reverse());
    }),
  );
});
