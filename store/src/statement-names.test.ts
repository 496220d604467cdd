/**
 * PostgreSQL keeps a named statement per connection, and its driver refuses a second text under a name that is taken: two
 * functions with one name answer 500 as soon as they meet on a connection, which depends on how busy the pool is.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

const folder = join(import.meta.dirname, 'queries');
/** Behind a statement, as the second argument of `query`; and in the options of `readForCaller`. */
const NAMES = [/`,\s*'([a-z0-9_]+)',?\s*\)/g, /\{\s*name: '([a-z0-9_]+)',\s*(?:allowed|value):/g];

test('no two statements have one name', () => {
  const places = new Map<string, string[]>();
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue;
    const text = readFileSync(join(folder, file), 'utf8');
    for (const pattern of NAMES)
      for (const [, name] of text.matchAll(pattern)) places.set(name!, [...(places.get(name!) ?? []), file]);
  }
  assert.ok(places.size > 200, `the patterns still find names: ${places.size}`);
  assert.deepEqual(
    [...places].filter(([, files]) => files.length > 1),
    [],
  );
});
