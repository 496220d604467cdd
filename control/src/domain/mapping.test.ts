import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkDagDocument } from './dag-document.ts';
import { buildDagModel } from './dag-model.ts';
import { expansionLength, literalLength, mappedGroups, readExpansion, tasksOfGroup } from './mapping.ts';

const model = buildDagModel(
  checkDagDocument(
    JSON.parse(readFileSync(new URL('../../test/data/serialized-dags/mapping.json', import.meta.url), 'utf8')),
  ),
);
const lengths: Record<string, number> = { listing: 3, listing__1: 4, dicts: 2, square: 3, upper: 3 };
const lengthOf = (id: string) => expansionLength(model.tasks.get(id)!.expansion!, (task) => lengths[task] ?? null);

test('the mappings of a real Dag have their lengths: product, map, zip, concat, nothing', () => {
  equal(lengthOf('cross') !== null, true);
  equal(literalLength(model.tasks.get('zero')!.expansion!), 0);
  equal(lengthOf('kwargs_xcom'), 2);
  equal(literalLength(model.tasks.get('kwargs_literal')!.expansion!), 2);
});

const ref = (task: string) => ({ __type: 'xcomref', __var: { task_id: task, key: 'return_value' } });
const composed = (body: unknown) => readExpansion({ type: 'list-of-dicts', value: { __type: 'xcomref', __var: body } });
const known = (task: string) => ({ a: 2, b: 5 })[task] ?? null;

test('zip is as long as its shortest, or its longest with a fill value; concat is the sum; map keeps the length', () => {
  const args = [
    { task_id: 'a', key: 'return_value' },
    { task_id: 'b', key: 'return_value' },
  ];
  equal(expansionLength(composed({ type: 'zip', args }), known), 2);
  equal(expansionLength(composed({ type: 'zip', args, fillvalue: null }), known), 5);
  equal(expansionLength(composed({ type: 'concat', args }), known), 7);
  equal(expansionLength(composed({ type: 'map', arg: args[1], callables: [] }), known), 5);
  equal(expansionLength(composed({ type: 'concat', args: [...args, { task_id: 'later' }] }), known), null);
});

test('several lists multiply; what can’t be understood has no length', () => {
  const lists = { __type: 'dict', __var: { x: ref('a'), y: [1, 2, 3] } };
  equal(expansionLength(readExpansion({ type: 'dict-of-lists', value: lists }), known), 6);
  equal(
    expansionLength(readExpansion({ type: 'dict-of-lists', value: { __type: 'dict', __var: { x: 'text' } } }), known),
    null,
  );
  equal(expansionLength(readExpansion(undefined), known), null);
});

test('groups are told apart by their whole ids, when two of them have one name in different groups', () => {
  const inner = (around: string, items: unknown[]) => ({
    [`${around}.inner`]: [
      'taskgroup',
      {
        _group_id: 'inner',
        is_mapped: true,
        expand_input: { type: 'dict-of-lists', value: { x: items } },
        children: { [`${around}.inner.t`]: ['operator', `${around}.inner.t`] },
      },
    ],
  });
  const outer = (id: string, items: unknown[]) => ({
    [id]: ['taskgroup', { _group_id: id, children: { ...inner(id, items), [`${id}.o`]: ['operator', `${id}.o`] } }],
  });
  const root = { _group_id: null, children: { ...outer('a', [1]), ...outer('b', [1, 2]), top: ['operator', 'top'] } };
  const { expansions, groupOf } = mappedGroups(root);
  deepEqual(Object.fromEntries(groupOf), { 'a.inner.t': 'a.inner', 'b.inner.t': 'b.inner' });
  deepEqual([...expansions].map(([id, expansion]) => [id, literalLength(expansion)]).toSorted(), [
    ['a.inner', 1],
    ['b.inner', 2],
  ]);
  deepEqual(tasksOfGroup(root, 'b')?.toSorted(), ['b.inner.t', 'b.o']);
  deepEqual(tasksOfGroup(root, 'b.inner'), ['b.inner.t']);
  equal(tasksOfGroup(root, 'inner'), null);
});
