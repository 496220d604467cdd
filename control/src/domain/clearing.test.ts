import { deepEqual } from 'node:assert/strict';
import { test } from 'node:test';
import { dagDocument } from '../../test/kit/dags.ts';
import { selectTasks } from './clearing.ts';
import { checkDagDocument } from './dag-document.ts';
import { buildDagModel } from './dag-model.ts';

const group = (isMapped: boolean) => ({
  _group_id: 'g',
  is_mapped: isMapped,
  expand_input: { type: 'dict-of-lists', value: { x: [1, 2, 3] } },
  children: { 'g.a': ['operator', 'g.a'], 'g.b': ['operator', 'g.b'] },
});
const shape = (isMapped: boolean) => {
  const tasks = [
    { id: 'before' },
    { id: 'g.a', after: ['before'] },
    { id: 'g.b', after: ['g.a'] },
    { id: 'after', after: ['g.b'] },
  ];
  const children = { before: ['operator', 'before'], g: ['taskgroup', group(isMapped)], after: ['operator', 'after'] };
  return buildDagModel(checkDagDocument(dagDocument('d', tasks, { task_group: { _group_id: null, children } })));
};

function selected(model: ReturnType<typeof shape>, tasks: Parameters<typeof selectTasks>[1], relatives: object) {
  const { whole, indexes } = selectTasks(model, tasks, relatives);
  const single = [...indexes].flatMap(([id, at]) => [...at].map((index) => `${id}[${index}]`));
  return [...whole, ...single].toSorted();
}

test('one index of a mapped group brings the same index of its relatives there, and whole tasks elsewhere', () => {
  const mapped = shape(true);
  const one = [{ taskId: 'g.a', mapIndex: 1 }];
  deepEqual(selected(mapped, one, {}), ['g.a[1]']);
  deepEqual(selected(mapped, one, { includeDownstream: true, within: 'run' }), ['after', 'g.a[1]', 'g.b[1]']);
  const last = [{ taskId: 'g.b', mapIndex: 2 }];
  deepEqual(selected(mapped, last, { includeUpstream: true, within: 'run' }), ['before', 'g.a[2]', 'g.b[2]']);
});

test('without one run to look at, and in a group that is not mapped, relatives are whole tasks', () => {
  const one = [{ taskId: 'g.a', mapIndex: 1 }];
  deepEqual(selected(shape(true), one, { includeDownstream: true, within: 'dag' }), ['after', 'g.a[1]', 'g.b']);
  deepEqual(selected(shape(false), one, { includeDownstream: true, within: 'run' }), ['after', 'g.a[1]', 'g.b']);
});

test('a name that the Dag does not have is selected alone', () => {
  deepEqual(selected(shape(true), [{ taskId: 'nope' }], { includeUpstream: true, includeDownstream: true }), ['nope']);
});
