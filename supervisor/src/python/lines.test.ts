import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { readPythonLine } from './lines.ts';

const record = { timestamp: '2026-01-01T00:00:00.5Z', level: 'info', event: 'hi', logger: 'task', lineno: 3 };

test('a record keeps its time, level, logger and further fields', () => {
  deepEqual(readPythonLine(JSON.stringify(record)), {
    source: 'task',
    level: 'info',
    event: 'hi',
    atMs: Date.parse('2026-01-01T00:00:00.5Z'),
    fields: { lineno: 3 },
  });
});

test('nobody speaks by the name of the worker', () => {
  equal(readPythonLine(JSON.stringify({ ...record, logger: 'airlock' }))?.source, 'task');
  equal(readPythonLine(JSON.stringify({ ...record, logger: 'airlock.mine' }))?.source, 'airlock.mine', 'control');
});

test('what is no record is a plain line', () => {
  for (const line of [
    '',
    'text',
    '[1]',
    '{',
    '{}',
    'null',
    '{"event":1,"level":"info"}',
    '{"event":"x","level":"loud"}',
  ])
    equal(readPythonLine(line), null, line);
});

test('a record without a time that can be read has none', () => {
  equal(readPythonLine(JSON.stringify({ ...record, timestamp: 'soon' }))?.atMs, undefined);
});
