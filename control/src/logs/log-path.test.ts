import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { logParts, logPath } from './log-path.ts';

const ref = { dagId: 'etl', runId: 'manual__2026-07-01T00:00:00+00:00', taskId: 'load', mapIndex: -1, tryNumber: 2 };

test('plain names read as they are written', () => {
  assert.equal(logPath(ref), 'dag_id=etl/run_id=manual__2026-07-01T00:00:00+00:00/task_id=load/attempt=2.log');
  assert.match(logPath({ ...ref, mapIndex: 3 }), /task_id=load\/map_index=3\/attempt=2\.log$/);
});

test('whatever the names are, every part is one plain file name, and other names give other paths', () => {
  const name = fc.string({ unit: 'binary', minLength: 1, maxLength: 250 });
  fc.assert(
    fc.property(name, name, (a, b) => {
      for (const part of logParts({ ...ref, dagId: a, taskId: b })) {
        assert.ok(Buffer.byteLength(part) <= 255 && !/[/\\\0]/.test(part) && part !== '.' && part !== '..');
      }
      if (a !== b) assert.notEqual(logPath({ ...ref, dagId: a }), logPath({ ...ref, dagId: b }));
    }),
  );
});
