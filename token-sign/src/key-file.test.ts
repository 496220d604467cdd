import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { loadSigningKey, SIGNING_KEY_FILE } from './key-file.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'airlock-keys-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}
const unusable = { code: 'KEY_UNAVAILABLE' };
const pem = (type: 'ed25519' | 'rsa') =>
  (type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ed25519')
  ).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });

test('a key is made once, readable by its owner alone, and found again', (t) => {
  const path = join(folder(t), 'keys');
  const made = loadSigningKey(path, true);
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(join(path, SIGNING_KEY_FILE)).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(path), [SIGNING_KEY_FILE]);
  assert.equal(loadSigningKey(path, false).kid, made.kid);
  assert.equal(loadSigningKey(path, true).kid, made.kid);
});

test('without a key and without leave to make one the start is refused, and nothing is made', (t) => {
  const path = folder(t);
  assert.throws(() => loadSigningKey(path, false), unusable);
  assert.deepEqual(readdirSync(path), []);
});

for (const mode of [0o640, 0o604, 0o660]) {
  test(`a key with mode ${mode.toString(8)} is refused, not repaired`, (t) => {
    const path = folder(t);
    const file = join(path, SIGNING_KEY_FILE);
    writeFileSync(file, pem('ed25519'), { mode: 0o600 });
    assert.ok(loadSigningKey(path, false).kid);
    chmodSync(file, mode);
    assert.throws(() => loadSigningKey(path, true), unusable);
    assert.equal(statSync(file).mode & 0o777, mode);
  });
}

test('a link in place of the key is not followed', (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'elsewhere'), pem('ed25519'), { mode: 0o600 });
  symlinkSync('elsewhere', join(path, SIGNING_KEY_FILE));
  assert.throws(() => loadSigningKey(path, true), unusable);
});

for (const [name, content] of [
  ['an RSA key', pem('rsa')],
  ['an empty file', ''],
  ['garbage', 'SECRET-CANARY'],
] as const) {
  test(`${name} is refused without being quoted`, (t) => {
    const path = folder(t);
    writeFileSync(join(path, SIGNING_KEY_FILE), content, { mode: 0o600 });
    assert.throws(
      () => loadSigningKey(path, true),
      (error: Error & { code?: string }) =>
        error.code === 'KEY_UNAVAILABLE' && !error.message.includes('CANARY') && !error.cause,
    );
  });
}
