import { equal, notEqual } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { DagDocument } from '@airlock/contract/dag/document';
import fc from 'fast-check';
import { canonicalDigest } from './canonical.ts';

const original = JSON.parse(
  readFileSync(new URL('../../test/data/serialized-dags/typescript_authored.json', import.meta.url), 'utf8'),
) as DagDocument;
const digest = (document: unknown, hash: string | null = null) => canonicalDigest(document as DagDocument, hash);
const withDag = (changes: Record<string, unknown>) => ({ ...original, dag: { ...original.dag, ...changes } });

/** The same value with the keys of every object in another order. */
function shuffled(value: unknown, random: () => number): unknown {
  if (Array.isArray(value)) return value.map((item) => shuffled(item, random));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [random(), key, shuffled(item, random)] as const);
  return Object.fromEntries(entries.sort(([a], [b]) => a - b).map(([, key, item]) => [key, item]));
}

test('the order of keys never makes a new version', () => {
  fc.assert(
    fc.property(fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (stream) => {
      const random = () => stream.next().value ?? 0;
      equal(digest(shuffled(original, random)), digest(original));
    }),
    { numRuns: 50 },
  );
});

test('paths of the parsing machine, and the order of tasks and tags, never make a new version', () => {
  equal(digest(withDag({ fileloc: '/somewhere/else.ts', _processor_dags_folder: '/somewhere' })), digest(original));
  equal(digest(withDag({ tasks: original.dag.tasks.toReversed() })), digest(original));
  equal(digest(withDag({ tags: ['b', 'a'] })), digest(withDag({ tags: ['a', 'b'] })));
  equal(digest(JSON.parse(JSON.stringify(original))), digest(original));
});

test('what has a meaning makes a new version: values, the order of lists, the code that runs', () => {
  notEqual(digest(withDag({ catchup: true })), digest(original));
  notEqual(digest(withDag({ doc_md: 'x' })), digest(original));
  const [first, ...rest] = original.dag.tasks;
  const other = { ...first!, __var: { ...first!.__var, args: [1, '{{ ds }}'] } };
  notEqual(digest(withDag({ tasks: [other, ...rest] })), digest(original));
  notEqual(digest(original, 'a'.repeat(64)), digest(original));
  notEqual(digest(original, 'a'.repeat(64)), digest(original, 'b'.repeat(64)));
});
