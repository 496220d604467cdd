/** Whatever a parser sends, the check answers with a Dag or with DAG_INVALID, and what passes can be used. */
import { equal } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import type { DagDocument } from '@airlock/contract/dag/document';
import { isAppError } from '@airlock/contract/errors';
import fc from 'fast-check';
import { canonicalDigest } from './canonical.ts';
import { checkDagDocument } from './dag-document.ts';
import { buildDagModel, restrictionOf } from './dag-model.ts';
import { instantIso } from './instants.ts';
import { checkParams } from './params.ts';

const folder = new URL('../../test/data/serialized-dags/', import.meta.url);
const documents = readdirSync(folder)
  .map((file) => JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as DagDocument)
  .filter((document) => document.__version !== undefined);

function use(untrusted: unknown): boolean {
  let document: DagDocument;
  try {
    document = checkDagDocument(untrusted);
    const model = buildDagModel(document);
    equal(canonicalDigest(document, null).length, 64);
    checkParams(model.params, {});
    if (model.timetable.isAsked) return true;
    const next = model.timetable.next(null, restrictionOf(model), Date.parse('2026-06-10T09:30:00Z'));
    // Whatever comes out must be an instant that the database can hold.
    for (const ms of [next?.runAfterMs, next?.interval?.startMs, next?.interval?.endMs])
      if (ms !== undefined) instantIso(ms);
    model.timetable.manualInterval(Date.parse('2026-06-10T09:30:00Z'));
    return true;
  } catch (error) {
    // A param without default, and a cron text that never matches, are refusals too.
    if (isAppError(error, 'DAG_INVALID', 'BAD_REQUEST')) return false;
    throw error;
  }
}

/** Replaces or removes (`undefined`) something at a random place. What comes out is JSON: nothing in it is undefined. */
function mutate(value: unknown, path: readonly number[], replacement: unknown, i = 0): unknown {
  const keys = i < path.length && typeof value === 'object' && value !== null ? Object.keys(value) : [];
  const key = keys[(path[i] ?? 0) % keys.length];
  if (key === undefined) return replacement;
  const changed = mutate((value as Record<string, unknown>)[key], path, replacement, i + 1);
  if (Array.isArray(value)) {
    return changed === undefined ? value.toSpliced(Number(key), 1) : value.with(Number(key), changed);
  }
  const { [key]: _, ...others } = value as Record<string, unknown>;
  return changed === undefined ? others : { ...others, [key]: changed };
}

const odd = fc.oneof(
  fc.constantFrom<unknown>(undefined, null, true, false, -1, 0, 1e300, 0.5, '', 'x', [], {}, [[]], {
    __type: 'dict',
    __var: null,
  }),
  fc.constantFrom<unknown>(
    { __type: 'set', __var: 1 },
    { __type: 'xcomref', __var: {} },
    '__proto__',
    'constructor',
    '\0',
    '../..',
  ),
  fc.jsonValue({ maxDepth: 3 }),
);

test('any JSON at all is refused, or is a Dag', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      equal(use(value), false);
    }),
    { numRuns: 500 },
  );
});

test('a real document with odd values anywhere in it is refused, or still works', () => {
  let passed = 0;
  fc.assert(
    fc.property(
      fc.nat(documents.length - 1),
      fc.array(fc.nat(30), { minLength: 1, maxLength: 9 }),
      odd,
      (n, path, value) => {
        if (use(mutate(documents[n], path, value))) passed += 1;
      },
    ),
    { numRuns: 4000 },
  );
  equal(passed > 100, true);
});

test('a list of a million items is refused in good order', () => {
  equal(
    use({
      __version: 3,
      dag: { dag_id: 'a', fileloc: 'f', timetable: null, tasks: Array.from({ length: 1_000_000 }, () => 1) },
    }),
    false,
  );
});
