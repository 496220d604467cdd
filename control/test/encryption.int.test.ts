// A key is replaced while everything else goes on: every read succeeds before, during and after, and afterwards the old key
// opens nothing that is stored.
import assert from 'node:assert/strict';
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { createHttpServer } from '../src/api/http/server.ts';
import { registerEncryptionRoutes } from '../src/api/local/encryption.ts';
import { createSecretBox, type SecretBox } from '../src/api/secrets/index.ts';
import { sealAgain } from '../src/api/secrets/seal-again.ts';
import { readConnection, readVariable, secretOwner } from '../src/api/secrets/stored.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const newKey = () => randomBytes(32).toString('base64url');
const [OLD, NEW] = [newKey(), newKey()];
const [old, both, fresh] = [createSecretBox(OLD), createSecretBox(`${NEW},${OLD}`), createSecretBox(NEW)];

let kit: RestKit;
before(async () => {
  kit = await restKit();
});
after(async () => {
  await kit[Symbol.asyncDispose]();
});

async function fill(box: SecretBox, count: number): Promise<void> {
  const { db } = kit.deps;
  await db.query(sql`DELETE FROM variable`);
  await db.query(sql`DELETE FROM connection`);
  const names = Array.from({ length: count }, (_, n) => `n${n}`);
  const vals = names.map((name) => box.seal(`value of ${name}`, secretOwner.variable(name)));
  await db.query(sql`INSERT INTO variable (key, val, is_encrypted)
    SELECT *, true FROM unnest(${names}::text[], ${vals}::text[])`);
  const passwords = names.map((name) => box.seal(`password of ${name}`, secretOwner.password(name)));
  const extras = names.map((name, n) => (n % 2 ? box.seal('{"a":1}', secretOwner.extra(name)) : null));
  await db.query(sql`INSERT INTO connection (conn_id, conn_type, password, extra, is_encrypted)
    SELECT id, 'http', p, e, true FROM unnest(${names}::text[], ${passwords}::text[], ${extras}::text[]) AS x (id, p, e)`);
}

const rotate = (secrets: SecretBox, more: { fromAirflow?: boolean; untilMs?: number; nowMs?: () => number } = {}) =>
  sealAgain({
    db: kit.deps.db,
    secrets,
    fromAirflow: false,
    untilMs: 1,
    nowMs: () => 0,
    record: async () => undefined,
    ...more,
  });

async function readsOf(box: SecretBox, name: string): Promise<readonly unknown[]> {
  const { db } = kit.deps;
  const variable = await readVariable(db, box, { team: null, key: name });
  const connection = await readConnection(db, box, { team: null, connId: name });
  return [variable?.val, connection?.password, connection?.extra];
}
const rightOf = (n: number) => [`value of n${n}`, `password of n${n}`, n % 2 ? '{"a":1}' : null];

/** A socket app that trusts whoever asks, as the socket itself is tested elsewhere. */
async function asking<T>(secrets: SecretBox, method: 'GET' | 'POST', body?: object): Promise<T> {
  const app = createHttpServer(kit.deps);
  registerEncryptionRoutes(app, { ...kit.deps, secrets }, async () => ({
    name: 'local:test',
    role: 'admin',
    teams: [],
    via: 'socket',
  }));
  const answer = await app.inject({ method, url: '/local/encryption', ...(body ? { payload: body } : {}) });
  await app.close();
  assert.equal(answer.statusCode, 200, answer.body);
  return answer.json() as T;
}
type Listed = { keys: Array<{ id: string; state: string; texts: number }>; sealed: number; unreadable: number };

test('every read succeeds while a key is replaced, and then the old one opens nothing', async (t) => {
  await fill(old, 500);
  const rotating = { done: false };
  let [reads, failed] = [0, 0];
  const reader = async (seed: number) => {
    for (let n = seed; !rotating.done || n < seed + 25; n++) {
      reads++;
      const right = rightOf(n % 499);
      if (JSON.stringify(await readsOf(both, `n${n % 499}`)) !== JSON.stringify(right)) failed++;
    }
  };
  const readers = [0, 100, 200, 300].map(reader);
  // A person changes values meanwhile; the change is not lost.
  await kit.deps.db.query(
    sql`UPDATE variable SET val = ${both.seal('changed', secretOwner.variable('n499'))} WHERE key = 'n499'`,
  );
  const done = await rotate(both);
  rotating.done = true;
  await Promise.all(readers);
  t.diagnostic(`${done.sealed} rows sealed again; ${reads} reads meanwhile, ${failed} of them failed`);
  assert.deepEqual(done, { sealed: 999, unreadable: 0 });
  assert.ok(reads >= 100);
  assert.equal(failed, 0);
  assert.deepEqual(await readsOf(fresh, 'n7'), rightOf(7));
  assert.deepEqual(await readsOf(fresh, 'n499'), ['changed', 'password of n499', '{"a":1}']);
  await assert.rejects(readsOf(old, 'n7'), { code: 'KEY_UNAVAILABLE' });
  assert.deepEqual(await rotate(both), { sealed: 0, unreadable: 0 }, 'nothing is left to do');
});

test('a pass that was stopped is begun again where it stopped', async () => {
  await fill(old, 350);
  let asked = 0;
  // Stops after two batches of the first table.
  const part = await rotate(both, { untilMs: 3, nowMs: () => ++asked });
  assert.ok(part.sealed > 0 && part.sealed < 350, `${part.sealed}`);
  for (const n of [0, 1, 349]) assert.deepEqual(await readsOf(both, `n${n}`), rightOf(n));
  assert.equal((await rotate(both)).sealed, 700 - part.sealed);
  for (const n of [0, 1, 349]) assert.deepEqual(await readsOf(fresh, `n${n}`), rightOf(n));
});

test('what no key opens stays as it is and is counted: a lost key, a moved text, what Airflow has encrypted', async () => {
  await fill(old, 4);
  const { db } = kit.deps;
  const lost = createSecretBox(newKey()).seal('x', secretOwner.variable('n0'));
  await db.query(sql`UPDATE variable SET val = ${lost} WHERE key = 'n0'`);
  await db.query(sql`UPDATE variable SET val = (SELECT val FROM variable WHERE key = 'n3') WHERE key = 'n1'`);
  const airflows = fernet('by Airflow', OLD);
  await db.query(sql`UPDATE variable SET val = ${airflows} WHERE key = 'n2'`);
  const before = await db.query(sql`SELECT key, val FROM variable WHERE key IN ('n0', 'n1', 'n2') ORDER BY key`);
  assert.deepEqual(await rotate(both), { sealed: 5, unreadable: 3 });
  assert.deepEqual(
    await db.query(sql`SELECT key, val FROM variable WHERE key IN ('n0', 'n1', 'n2') ORDER BY key`),
    before,
  );
  assert.deepEqual(await rotate(both, { fromAirflow: true }), { sealed: 1, unreadable: 2 });
  assert.equal((await readVariable(db, fresh, { team: null, key: 'n2' }))?.val, 'by Airflow');
  await db.query(sql`UPDATE variable SET val = ${fernet('x', newKey())} WHERE key = 'n2'`);
  assert.deepEqual(await rotate(both, { fromAirflow: true }), { sealed: 0, unreadable: 3 });
});

test('what was stored before there was a key is encrypted; without a key nothing happens', async () => {
  await fill(old, 0);
  const { db } = kit.deps;
  await db.query(sql`INSERT INTO variable (key, val, is_encrypted) VALUES ('plain', 'a1.looks.like.one', false)`);
  assert.deepEqual(await rotate(createSecretBox(null)), { sealed: 0, unreadable: 0 });
  assert.deepEqual(await rotate(fresh), { sealed: 1, unreadable: 0 });
  assert.equal((await readVariable(db, fresh, { team: null, key: 'plain' }))?.val, 'a1.looks.like.one');
});

test('operators see which key encrypts, what each has encrypted and what is missing, and each pass is in the log', async () => {
  await fill(old, 3);
  const { db } = kit.deps;
  await db.query(sql`INSERT INTO variable (key, val, is_encrypted) VALUES ('plain', 'x', false)`);
  const [newId, oldId] = both.keyIds;
  const texts = async (box: SecretBox) =>
    Object.fromEntries(
      (await asking<Listed>(box, 'GET')).keys.map(({ id, state, texts }) => [`${id} ${state}`, texts]),
    );
  assert.deepEqual(await texts(both), { [`${newId} encrypts`]: 0, [`${oldId} decrypts`]: 7, ' not encrypted': 1 });
  assert.deepEqual(await texts(fresh), { [`${newId} encrypts`]: 0, [`${oldId} missing`]: 7, ' not encrypted': 1 });
  const done = await asking<Listed>(both, 'POST', {});
  assert.deepEqual([done.sealed, done.unreadable], [7, 0]);
  assert.deepEqual(await texts(both), { [`${newId} encrypts`]: 8, [`${oldId} decrypts`]: 0 });
  const log = await db.query<{ owner: string; extra: string }>(
    sql`SELECT owner, extra FROM event_log WHERE event = 'encrypt_again'`,
  );
  const facts = { key: newId, from_airflow: false };
  assert.deepEqual(
    log.map(({ owner, extra }) => ({ owner, ...JSON.parse(extra) })),
    [{}, { kind: 'variable', rows: 4 }, { kind: 'connection', rows: 3 }].map((more) => ({
      owner: 'local:test',
      ...facts,
      ...more,
    })),
  );
  for (const { val } of await db.query<{ val: string }>(sql`SELECT val FROM variable`))
    assert.doesNotMatch(val, /value of/);
});

/** As Airflow would have written it. */
function fernet(text: string, key: string): string {
  const bytes = Buffer.from(key, 'base64url');
  const iv = randomBytes(16);
  const cipher = createCipheriv('aes-128-cbc', bytes.subarray(16), iv);
  const signed = Buffer.concat([Buffer.from([0x80]), Buffer.alloc(8), iv, cipher.update(text), cipher.final()]);
  return Buffer.concat([signed, createHmac('sha256', bytes.subarray(0, 16)).update(signed).digest()]).toString(
    'base64url',
  );
}
