import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { testDatabase } from '../../tests/kit/database.ts';

test('Each test has a migrated database of its own, as the role airlock_control', async () => {
  await using one = await testDatabase();
  await using two = await testDatabase();
  await one.db.query(sql`INSERT INTO team (name) VALUES ('red')`);
  assert.equal((await one.db.query(sql`SELECT name FROM team`)).length, 1);
  assert.equal((await two.db.query(sql`SELECT name FROM team`)).length, 0);
  assert.deepEqual(await one.db.query(sql`SELECT current_user AS me`), [{ me: 'airlock_control' }]);
});
