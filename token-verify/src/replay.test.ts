import assert from 'node:assert/strict';
import test from 'node:test';
import { replayGuard } from './replay.ts';

test('a name counts once, and again only when it is too old to be shown at all', () => {
  const guard = replayGuard({ maxEntries: 100, keepSeconds: 60 });
  assert.equal(guard.first('a', 1000, 1_000_000), true);
  assert.equal(guard.first('a', 1000, 1_000_000), false);
  assert.equal(guard.first('b', 1000, 1_000_000), true);
  assert.equal(guard.first('a', 1000, 1_060_000), false);
  assert.equal(guard.first('a', 1000, 1_062_000), false, 'forgotten, so refused by its age');
});

test('when full, the oldest second is refused from then on, and nothing is accepted twice', () => {
  const guard = replayGuard({ maxEntries: 10, keepSeconds: 60 });
  for (let i = 0; i < 10; i++) assert.equal(guard.first(`n${i}`, 1000 + (i % 2), 1_001_000), true);
  assert.equal(guard.first('new', 1001, 1_001_000), true);
  assert.ok(guard.size() <= 10);
  for (let i = 0; i < 10; i++) assert.equal(guard.first(`n${i}`, 1000 + (i % 2), 1_001_000), false);
  assert.equal(guard.first('other', 1000, 1_001_000), false);
  assert.equal(guard.first('later', 1002, 1_002_000), true);
});

test('what expires makes room', () => {
  const guard = replayGuard({ maxEntries: 10, keepSeconds: 60 });
  for (let s = 0; s < 1000; s++) assert.equal(guard.first(`n${s}`, s * 30, s * 30_000), true);
  assert.ok(guard.size() <= 4);
});
