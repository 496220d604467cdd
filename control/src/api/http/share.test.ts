import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSharedReads } from './share.ts';

test('equal reads that arrive together are done at most twice, and none is older than its question', async () => {
  const share = createSharedReads();
  let version = 1;
  let reads = 0;
  const release: Array<() => void> = [];
  const read = async () => {
    reads++;
    const seen = version;
    await new Promise<void>((resolve) => release.push(resolve));
    return seen;
  };
  const first = share('k', read);
  version = 2; // a commit after the first read began
  const late = [share('k', read), share('k', read), share('k', read)];
  release.shift()!();
  assert.equal(await first, 1);
  while (release.length === 0) await new Promise((resolve) => setImmediate(resolve));
  release.shift()!();
  assert.deepEqual(await Promise.all(late), [2, 2, 2]);
  assert.equal(reads, 2);
});

test('other keys are read by themselves, and a failed read fails only those who asked for it', async () => {
  const share = createSharedReads();
  const failing = share('a', async () => Promise.reject(new Error('down')));
  const other = share('b', async () => 5);
  const after = share('a', async () => 6);
  await assert.rejects(failing, /down/);
  assert.equal(await other, 5);
  assert.equal(await after, 6);
  assert.equal(await share('a', async () => 7), 7);
});
