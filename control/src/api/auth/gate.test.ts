import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createGate } from './gate.ts';

type Job = { readonly done: Promise<number>; readonly finish: () => void; readonly fail: () => void };

/** A gate, and a way to put work before it that ends when the test says so. */
function world(limits: { atOnce: number; inLine: number }) {
  const gate = createGate(limits);
  const begun: number[] = [];
  let serial = 0;
  const put = (): Job => {
    const id = serial++;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const done = gate.enter(async () => {
      begun.push(id);
      await promise;
      return id;
    });
    done.catch(() => undefined);
    return { done, finish: resolve, fail: () => reject(new Error('failed')) };
  };
  return { begun, put, gate };
}
const RATE_LIMITED = { code: 'RATE_LIMITED', internal: { retryAfterSeconds: 1 } };

test('so much is at work at once, so many wait in their order, and the next one is refused at once', async () => {
  const { begun, put } = world({ atOnce: 2, inLine: 3 });
  const jobs = [put(), put(), put(), put(), put()];
  await assert.rejects(put().done, RATE_LIMITED);
  assert.deepEqual(begun, [0, 1]);
  jobs[1]!.finish();
  assert.equal(await jobs[1]!.done, 1);
  assert.deepEqual(begun, [0, 1, 2]);
  const late = put(); // control: there is a place in line again
  await assert.rejects(put().done, RATE_LIMITED);
  for (const job of [...jobs, late]) job.finish();
  await Promise.all([...jobs, late].map((job) => job.done));
  assert.deepEqual(begun, [0, 1, 2, 3, 4, 6]);
});

test('work that fails leaves its place as work that succeeds does', async () => {
  const { begun, put } = world({ atOnce: 1, inLine: 1 });
  const [first, second] = [put(), put()];
  first.fail();
  await assert.rejects(first.done, /failed/);
  assert.deepEqual(begun, [0, 1]);
  second.finish();
  await second.done;
  const third = put();
  third.finish();
  await third.done;
});

test('without a line whoever comes second is refused', async () => {
  const { put } = world({ atOnce: 1, inLine: 0 });
  const first = put();
  await assert.rejects(put().done, RATE_LIMITED);
  first.finish();
  await first.done;
});
