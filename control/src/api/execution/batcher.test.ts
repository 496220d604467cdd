import assert from 'node:assert/strict';
import test from 'node:test';
import { AppError } from '@airlock/contract/errors';
import { createBatcher } from './batcher.ts';

test('what arrives in one turn shares a batch, and each gets its own answer', async () => {
  const batches: number[][] = [];
  const double = createBatcher<number, number>({
    send: async (inputs) => {
      batches.push([...inputs]);
      return inputs.map((input) => input * 2);
    },
  });
  assert.deepEqual(await Promise.all([1, 2, 3].map(double)), [2, 4, 6]);
  assert.deepEqual(batches, [[1, 2, 3]]);
});

test('under load later arrivals wait for one of two statements and then go together', async () => {
  const sizes: number[] = [];
  const open: Array<() => void> = [];
  const batcher = createBatcher<number, number>({
    send: (inputs) => {
      sizes.push(inputs.length);
      return new Promise((resolve) => open.push(() => resolve(inputs)));
    },
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const all: Promise<number>[] = [];
  for (let i = 0; i < 10; i++) {
    all.push(batcher(i));
    await turn();
  }
  assert.deepEqual(sizes, [1, 1]);
  for (let i = 0; i < 4; i++) {
    open.shift()?.();
    await turn();
  }
  assert.deepEqual(await Promise.all(all), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assert.deepEqual(sizes, [1, 1, 8]);
});

test('a batch has a largest size, and equal keys never share one', async () => {
  const batches: string[][] = [];
  const batcher = createBatcher<string, string>({
    maxBatch: 2,
    keyOf: (input) => input,
    send: async (inputs) => {
      batches.push([...inputs]);
      return inputs;
    },
  });
  await Promise.all(['a', 'a', 'b', 'c', 'a'].map(batcher));
  assert.ok(batches.every((batch) => batch.length <= 2 && new Set(batch).size === batch.length));
  assert.deepEqual(batches.flat().sort(), ['a', 'a', 'a', 'b', 'c']);
});

test('one input that the database refuses fails alone', async () => {
  const batcher = createBatcher<number, number>({
    send: async (inputs) => {
      if (inputs.includes(13)) throw new Error('refused');
      return inputs;
    },
  });
  const results = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => batcher(i)));
  assert.deepEqual(
    results.map((result) => result.status === 'rejected'),
    Array.from({ length: 40 }, (_, i) => i === 13),
  );
});

test('when the database is gone all fail at once, without asking it again', async () => {
  let asked = 0;
  const batcher = createBatcher<number, number>({
    send: async () => {
      asked++;
      throw new AppError('DB_UNAVAILABLE', { public: 'gone' });
    },
  });
  const results = await Promise.allSettled([1, 2, 3].map(batcher));
  assert.ok(results.every((result) => result.status === 'rejected'));
  assert.equal(asked, 1);
});
