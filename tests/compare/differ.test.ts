import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { differences, outOfOrder } from './differ.ts';
import type { RunEnd, TaskEnd } from './side.ts';

const task = (task_id: string, more: Partial<TaskEnd> = {}): TaskEnd => ({
  task_id,
  map_index: -1,
  state: 'success',
  try_number: 1,
  start_date: null,
  end_date: null,
  ...more,
});
const end = (tasks: TaskEnd[], xcoms: Record<string, string> = {}, state = 'success'): RunEnd => ({
  state,
  tasks,
  xcoms: new Map(Object.entries(xcoms)),
});

test('two equal runs differ in nothing', () => {
  const run = end([task('a'), task('b', { map_index: 2 })], { 'a[-1] return_value': '1' });
  deepEqual(differences(run, structuredClone(run), [['a', 'b']]), []);
});

for (const [what, ours, expected] of [
  ['the state of the run', end([task('a')], {}, 'failed'), ['run success / failed']],
  ['the state of a task', end([task('a', { state: 'skipped' })]), ['a: success / skipped']],
  ['a try', end([task('a', { try_number: 2 })]), ['a: try 1 / 2']],
  ['a missing task', end([]), ['a: missing here']],
  ['a further mapped task', end([task('a'), task('a', { map_index: 0 })]), ['a[0]: only here']],
  ['a further value', end([task('a')], { 'a[-1] k': '1' }), ['XCom a[-1] k: only here']],
] as const) {
  test(`${what} is named`, () => deepEqual(differences(end([task('a')]), ours, null), expected));
}

test('values are compared, but for times and ids, which only have to be there', () => {
  const left = end([], { k: '1', t: '"2026-01-01T00:00:00"' });
  deepEqual(differences(left, end([], { k: '2', t: '"2026-02-02T00:00:00"' }), null), ['XCom k: 1 / 2']);
  deepEqual(differences(left, end([], { k: '1', t: '"never"' }), null), ['XCom t: "2026-01-01T00:00:00" / "never"']);
});

test('keys of an object have no order, nor have the tasks of a branch; items of any other list do', () => {
  const run = (key: string, text: string) => end([], { [key]: text });
  deepEqual(differences(run('k', '{"a":{"b":1,"c":2}}'), run('k', '{"a":{"c":2,"b":1}}'), null), []);
  deepEqual(differences(run('k', '[1,2]'), run('k', '[2,1]'), null), ['XCom k: [1,2] / [2,1]']);
  const key = 'b[-1] skipmixin_key';
  deepEqual(differences(run(key, '{"skipped":["x","y"]}'), run(key, '{"skipped":["y","x"]}'), null), []);
  deepEqual(differences(run(key, '{"skipped":["x"]}'), run(key, '{"skipped":["y"]}'), null), [
    `XCom ${key}: {"skipped":["x"]} / {"skipped":["y"]}`,
  ]);
});

test('a task that began before what it depends on had ended is named', () => {
  const a = task('a', { start_date: '2026-01-01T00:00:00Z', end_date: '2026-01-01T00:00:05Z' });
  const early = task('b', { start_date: '2026-01-01T00:00:04Z', end_date: '2026-01-01T00:00:09Z' });
  const late = task('b', { start_date: '2026-01-01T00:00:06Z', end_date: '2026-01-01T00:00:09Z' });
  deepEqual(outOfOrder(end([a, early]), [['a', 'b']]), ['b ran before a']);
  deepEqual(outOfOrder(end([a, late]), [['a', 'b']]), []);
});
