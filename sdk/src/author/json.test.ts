import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { findJsonProblem } from './json.ts';

test('every JSON value passes', () => {
  fc.assert(fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => findJsonProblem(value) === null));
});

test('what is not JSON is found, with its place and a remedy', () => {
  const cycle: { self?: unknown } = {};
  cycle.self = cycle;
  const cases: Array<[unknown, string, RegExp]> = [
    [() => 1, '$', /function/], [{ a: { f() {} } }, '$.a.f', /function f/], [{ rows: [1, { at: new Date(0) }] }, '$.rows[1].at', /Date/],
    [1n, '$', /BigInt/], [{ 'a b': Symbol('x') }, '$["a b"]', /symbol/], [[1, undefined], '$[1]', /undefined/], [Number.NaN, '$', /NaN/],
    [[Number.POSITIVE_INFINITY], '$[0]', /Infinity/], [new Map(), '$', /Map/], [new Set(), '$', /Set/], [Promise.resolve(), '$', /Promise/],
    [new Uint8Array(2), '$', /binary/], [new Error('x'), '$', /Error/], [/x/, '$', /RegExp/], [cycle, '$.self', /contains it/],
  ]; // biome-ignore format: a table
  for (const [value, path, what] of cases) {
    const problem = findJsonProblem(value);
    assert.equal(problem?.path, path);
    assert.match(problem?.what ?? '', what);
    assert.notEqual(problem?.hint, '');
  }
});

test('a property that is undefined counts as absent, and the same object may occur twice', () => {
  const shared = { n: 1 };
  assert.equal(findJsonProblem({ a: undefined, b: shared, c: [shared, shared] }), null);
});

test('nesting beyond the limit is found before the stack is full', () => {
  let deep: unknown = 1;
  for (let i = 0; i < 20_000; i++) deep = [deep];
  assert.match(findJsonProblem(deep)?.what ?? '', /60 levels/);
});
