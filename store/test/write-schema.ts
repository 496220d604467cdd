/** Writes store/schema.sql anew: `node --test store/test/write-schema.ts`. Run it after a change of a migration, and read the diff. */
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { testDatabase } from '../../tests/kit/database.ts';
import { dumpSchema } from '../src/schema-dump.ts';

test('store/schema.sql is written', async () => {
  await using database = await testDatabase();
  writeFileSync(new URL('../schema.sql', import.meta.url), await dumpSchema(database.db));
});
