import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { testDatabase } from '../../tests/kit/database.ts';
import { dumpSchema } from '../src/schema-dump.ts';

test('The committed schema.sql is what the migrations make', async () => {
  // A migration is read in pieces; this file shows the sum, so that a reviewer sees what a change does.
  await using database = await testDatabase();
  const committed = readFileSync(new URL('../schema.sql', import.meta.url), 'utf8');
  assert.equal(await dumpSchema(database.db), committed, 'run: node --test store/test/write-schema.ts');
});
