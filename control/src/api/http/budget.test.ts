import assert from 'node:assert/strict';
import test from 'node:test';
import { createBudget } from './budget.ts';

test('a second’s worth may be spent at once, then only what has come in', () => {
  const budget = createBudget(100);
  for (let i = 0; i < 10; i++) budget.spend('a', 10, 1000);
  assert.throws(() => budget.spend('a', 1, 1000), { code: 'RATE_LIMITED' });
  budget.spend('a', 50, 1500);
  assert.throws(() => budget.spend('a', 1, 1500), { code: 'RATE_LIMITED' });
  budget.spend('b', 100, 1500);
});

test('what costs nothing is never turned away, not even in debt', () => {
  const budget = createBudget(100);
  budget.charge('a', 1_000_000, 1000);
  budget.spend('a', 0, 1000);
  assert.throws(() => budget.spend('a', 1, 1000), { code: 'RATE_LIMITED' });
});

test('debt is bounded, and the answer says when to come again', () => {
  const budget = createBudget(100);
  budget.charge('a', 1_000_000, 1000);
  assert.throws(
    () => budget.spend('a', 1, 1000),
    (error: { internal?: { retryAfterSeconds?: number } }) => error.internal?.retryAfterSeconds === 6,
  );
  budget.spend('a', 1, 7000);
});
