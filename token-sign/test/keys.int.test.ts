// `airlock keys` while no server runs: one process, on the files.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test, { type TestContext } from 'node:test';
import type { ListedKey } from '@airlock/contract/ipc/token-service';
import { openKeyFolder } from '../src/index.ts';

const ENTRY = resolve(import.meta.dirname, '../bin/keys.ts');
const isRoot = process.getuid?.() === 0;

function homeWithKeys(t: TestContext): string {
  const home = mkdtempSync(join(tmpdir(), 'airlock-keys-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  mkdirSync(join(home, 'keys'));
  openKeyFolder({ folder: join(home, 'keys', 'signing'), generate: true, nowMs: Date.now, warn: console.error });
  return home;
}
async function keys(home: string, words: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', ENTRY, ...words], {
    env: { AIRLOCK_HOME: home, ...env },
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  const status = await new Promise((done) => child.once('close', done));
  return { status, out, err };
}
const list = async (home: string) => JSON.parse((await keys(home, ['list', '--json'])).out) as ListedKey[];

test('keys are listed, rotated and retired on the files', async (t) => {
  const home = homeWithKeys(t);
  const [first] = await list(home);
  assert.equal(first!.state, 'signing');
  const rotated = await keys(home, ['rotate']);
  assert.deepEqual([rotated.status, rotated.err], [0, '']);
  assert.match(rotated.out, /^the new key \S+ signs from 20\S+Z/);
  const [next] = await list(home);
  assert.equal(next!.state, 'next');
  const shown = await keys(home, ['list']);
  assert.match(
    shown.out,
    new RegExp(`^KID +ALG +STATE .*\\n${next!.kid} +EdDSA +next .*\\n${first!.kid} +EdDSA +signing +always`),
  );
  assert.equal((await keys(home, ['retire', next!.kid])).status, 0);
  assert.equal(readdirSync(join(home, 'keys', 'signing')).length, 1);
});

for (const [name, words, status, said] of [
  ['retiring the key that signs', ['retire', 'FIRST'], 1, /signs the tokens of now/],
  ['retiring an unknown key', ['retire', 'nobody'], 1, /There is no key nobody.*NOT_FOUND/],
  ['a verb that is none', ['destroy'], 2, /usage/],
  ['retire without a name', ['retire'], 2, /usage/],
  ['no verb', [], 2, /usage/],
] as const) {
  test(`${name} changes nothing and says why`, async (t) => {
    const home = homeWithKeys(t);
    const [first] = await list(home);
    const answer = await keys(
      home,
      words.map((word) => (word === 'FIRST' ? first!.kid : word)),
    );
    assert.equal(answer.status, status);
    assert.match(answer.err, said);
    assert.deepEqual(await list(home), [first]);
  });
}

test('without a folder of keys none is made, and the reader is told what would make one', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'airlock-keys-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const answer = await keys(home, ['rotate']);
  assert.equal(answer.status, 1);
  assert.match(answer.err, /KEY_UNAVAILABLE/);
  assert.deepEqual(readdirSync(home), []);
});

test('a key that the configuration names is shown and not changed', async (t) => {
  const home = homeWithKeys(t);
  const path = join(home, 'mine.pem');
  writeFileSync(path, generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }), {
    mode: 0o600,
  });
  const env = { AIRLOCK__API_AUTH__JWT_PRIVATE_KEY_PATH: path, AIRLOCK__API_AUTH__JWT_KID: 'mine' };
  assert.match((await keys(home, ['list'], env)).out, /^mine +EdDSA +signing/m);
  const answer = await keys(home, ['rotate'], env);
  assert.deepEqual([answer.status, /named by the configuration/.test(answer.err)], [1, true]);
  assert.equal((await keys(home, ['rotate'])).status, 0, 'the control: without the option it is done');
});

test('root leaves what it makes to the user of the signer', { skip: !isRoot && 'needs root' }, async (t) => {
  const home = homeWithKeys(t);
  const folder = join(home, 'keys', 'signing');
  const owner = 65_534;
  for (const path of [folder, ...readdirSync(folder).map((name) => join(folder, name))]) chownSync(path, owner, owner);
  for (const path of [home, join(home, 'keys')]) chownSync(path, owner, owner);
  assert.equal((await keys(home, ['rotate'])).status, 0);
  const owners = readdirSync(folder).map((name) => statSync(join(folder, name)).uid);
  assert.deepEqual(owners, [owner, owner]);
});
