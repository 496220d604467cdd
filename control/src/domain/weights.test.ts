import { deepEqual, equal } from 'node:assert/strict';
import { test } from 'node:test';
import { dagDocument } from '../../test/kit/dags.ts';
import { checkDagDocument } from './dag-document.ts';
import { buildDagModel } from './dag-model.ts';

const weights = (rule: string, own: Record<string, number> = {}) => {
  const diamond = [{ id: 'a' }, { id: 'b', after: ['a'] }, { id: 'c', after: ['a'] }, { id: 'd', after: ['b', 'c'] }];
  const tasks = diamond.map((task) => ({ ...task, weight_rule: rule, priority_weight: own[task.id] ?? 1 }));
  const model = buildDagModel(checkDagDocument(dagDocument('d', tasks)));
  return Object.fromEntries([...model.tasks.values()].map((task) => [task.taskId, task.totalWeight]));
};

test('a task that is reached by two ways counts once', () => {
  deepEqual(weights('downstream'), { a: 4, b: 2, c: 2, d: 1 });
  deepEqual(weights('upstream'), { a: 1, b: 2, c: 2, d: 4 });
  deepEqual(weights('absolute', { b: 7 }), { a: 1, b: 7, c: 1, d: 1 });
});

test('sums stay within 32 bits', () => {
  equal(weights('downstream', { b: 2_147_483_647, c: 2_147_483_647 }).a, 2_147_483_647);
});
