/** GET /providers and /plugins: what the newest Dag processor told, in pages. That it tells the truth is tests/system/python.test.ts. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Db, sql } from '@airlock/store';
import { saveInterpreter } from '@airlock/store/queries/supervisor/interpreter';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
before(async () => {
  kit = await restKit();
});
after(() => kit[Symbol.asyncDispose]());

const provider = (name: string) => ({ package_name: name, description: 'd', version: '1', documentation_url: null });
const [OLD, NEW] = ['00000000-0000-4000-8000-00000000000a', '00000000-0000-4000-8000-00000000000b'];

async function supervisor(db: Db, id: string): Promise<void> {
  await db.query(sql`INSERT INTO supervisor
    (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
    VALUES (${id}, ${id}, '{}', 'h', 'u', 1, '{parse}', 'none', '1', now(), now())`);
}

test('before anybody told anything the lists are empty', async () => {
  assert.deepEqual((await kit.as.viewer('GET', '/providers')).body, { providers: [], total_entries: 0 });
  assert.deepEqual((await kit.as.viewer('GET', '/plugins')).body, { plugins: [], total_entries: 0 });
  assert.deepEqual((await kit.as.viewer('GET', '/plugins/importErrors')).body, { import_errors: [], total_entries: 0 });
  for (const path of ['/providers', '/plugins']) {
    assert.equal((await kit.as.viewer('GET', `${path}?limit=-1`)).status, 422);
    assert.equal((await kit.anonymous('GET', path)).status, 401);
  }
});

test('what the newest Dag processor told is shown in pages, and goes with it', async () => {
  const { db } = kit.database;
  const tell = (supervisorId: string, nowIso: string, names: string[]) =>
    saveInterpreter(db, {
      supervisorId,
      nowIso,
      inventory: {
        providers: names.map(provider),
        plugins: names.map((name) => ({ name })),
        plugin_import_errors: [{ source: names[0], error: 'no' }],
      },
    });
  await supervisor(db, OLD!);
  await supervisor(db, NEW!);
  await tell(NEW!, '2024-01-02T00:00:00Z', ['a', 'b', 'c']);
  await tell(OLD!, '2024-01-01T00:00:00Z', ['old']);
  const names = async (query = '') => {
    const { body } = await kit.as.viewer('GET', `/providers${query}`);
    return [body.total_entries, body.providers.map((each: { package_name: string }) => each.package_name)];
  };
  assert.deepEqual(await names(), [3, ['a', 'b', 'c']]);
  assert.deepEqual(await names('?limit=1&offset=1'), [3, ['b']]);
  assert.deepEqual(await names('?limit=0'), [3, []]);
  assert.deepEqual((await kit.as.viewer('GET', '/plugins?limit=1')).body, {
    plugins: [{ name: 'a' }],
    total_entries: 3,
  });
  const errors = (await kit.as.viewer('GET', '/plugins/importErrors')).body;
  assert.deepEqual(errors, { import_errors: [{ source: 'a', error: 'no' }], total_entries: 1 });
  await db.query(sql`DELETE FROM supervisor WHERE id = ${NEW!}`);
  assert.deepEqual(await names(), [1, ['old']]);
});
