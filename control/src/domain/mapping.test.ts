import { equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkDagDocument } from './dag-document.ts';
import { buildDagModel } from './dag-model.ts';
import { expansionLength, literalLength, readExpansion } from './mapping.ts';

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
