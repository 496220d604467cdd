/** Somebody who may administer is always left, whatever is done to accounts, one after the other or at once. */
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { systemClock } from '@airlock/contract/clock';
import { sql } from '@airlock/store';
import { type TestDatabase, testDatabase } from '../../tests/kit/database.ts';
import { changeAccount, createAccount, removeAccount } from '../src/api/auth/accounts.ts';

let database: TestDatabase;
before(async () => {
  database = await testDatabase();
});
after(() => database.close());

const deps = () => ({ db: database.db, clock: systemClock });
const disable = (name: string) => changeAccount(deps(), 'test', name, { disabled: true });
const demote = (name: string) => changeAccount(deps(), 'test', name, { role: 'op' });
const remove = (name: string) => removeAccount(deps(), 'test', name);
const LOSSES = { disable, demote, remove };

async function admins(...names: string[]): Promise<void> {
  await database.db.query(sql`DELETE FROM account`);
  for (const name of names) {
    await createAccount(deps(), 'test', { name, role: 'admin', password: null });
    await database.db.query(sql`UPDATE account SET password_hash = 'x' WHERE name = ${name}`);
  }
}

async function left(): Promise<string[]> {
  const rows = await database.db.query<{ name: string }>(
    sql`SELECT name FROM account WHERE role = 'admin' AND NOT disabled ORDER BY name`,
  );
  return rows.map((row) => row.name);
}

const events = () =>
  database.db.query(sql`SELECT event FROM event_log WHERE event IN ('disable_user', 'set_user_role', 'delete_user')`);

beforeEach(() => admins('ann'));

for (const [how, lose] of Object.entries(LOSSES)) {
  test(`the last admin can't be lost: ${how}`, async () => {
    const before = (await events()).length;
    await assert.rejects(lose('ann'), (error: { code: string; remedy: string }) => {
      assert.equal(error.code, 'CONFLICT');
      assert.match(error.remedy, /another user the role admin/);
      return true;
    });
    assert.deepEqual(await left(), ['ann']);
    assert.equal((await events()).length, before, 'what did not happen is not recorded as done');
    // Control: with another admin it happens.
    await admins('ann', 'bob');
    await lose('ann');
    assert.deepEqual(await left(), ['bob']);
    assert.equal((await events()).length, before + 1);
  });

  test(`an admin who is disabled, or who has no password, does not count as another one: ${how}`, async () => {
    await admins('ann', 'bob');
    await disable('bob');
    await assert.rejects(lose('ann'), { code: 'CONFLICT' });
    await changeAccount(deps(), 'test', 'bob', { disabled: false });
    await database.db.query(sql`UPDATE account SET password_hash = NULL WHERE name = 'bob'`);
    await assert.rejects(lose('ann'), { code: 'CONFLICT' });
    await lose('bob'); // one who could not act anyway may go
    assert.deepEqual(await left(), ['ann']);
  });

  test(`two admins can't lose each other at the same moment: ${how}`, async () => {
    for (let round = 0; round < 20; round++) {
      await admins('ann', 'bob', 'cid');
      const results = await Promise.allSettled(['ann', 'bob', 'cid'].map(lose));
      const refused = results.filter((result) => result.status === 'rejected');
      assert.equal((await left()).length, 1, `round ${round}`);
      assert.deepEqual(
        refused.map((result) => (result as PromiseRejectedResult).reason.code),
        ['CONFLICT'],
      );
    }
  });
}

test('role and state change together or not at all', async () => {
  await assert.rejects(changeAccount(deps(), 'test', 'ann', { role: 'admin', disabled: true }), { code: 'CONFLICT' });
  await admins('ann', 'bob');
  await changeAccount(deps(), 'test', 'ann', { role: 'viewer', disabled: true });
  const [row] = await database.db.query<{ role: string; disabled: boolean }>(
    sql`SELECT role, disabled FROM account WHERE name = 'ann'`,
  );
  assert.deepEqual([row!.role, row!.disabled], ['viewer', true]);
});
