import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync, mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { openKeyFolder, PUBLISHED_AHEAD_SECONDS, SIGNING_KEY_FILE } from './key-folder.ts';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'airlock-keys-'));
  t.after(() => rmSync(path, { recursive: true }));
  return path;
}
const NOW = 1_782_864_000;
const DAY = 86_400;
const open = (path: string, generate = true, clock = { now: NOW }, warn: (text: string) => void = () => undefined) =>
  openKeyFolder({ folder: path, generate, nowMs: () => clock.now * 1000, warn });
const unusable = { code: 'KEY_UNAVAILABLE' };
const pem = (type: 'ed25519' | 'rsa') =>
  (type === 'rsa'
    ? generateKeyPairSync('rsa', { modulusLength: 2048 })
    : generateKeyPairSync('ed25519')
  ).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  });
const names = (keys: ReturnType<typeof open>) => keys.list().map(({ kid }) => kid);
const states = (keys: ReturnType<typeof open>) => keys.list().map(({ state }) => state);
const published = (keys: ReturnType<typeof open>) => keys.keys.verificationKeys().jwks.keys.map(({ kid }) => kid);

test('a key is made once, readable by its owner alone, and found again', (t) => {
  const path = join(folder(t), 'keys');
  const made = open(path).keys.current();
  assert.equal(statSync(path).mode & 0o777, 0o700);
  assert.equal(statSync(join(path, SIGNING_KEY_FILE)).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(path), [SIGNING_KEY_FILE]);
  assert.equal(open(path, false).keys.current().kid, made.kid);
  assert.equal(open(path).keys.current().kid, made.kid);
});

test('without a key and without leave to make one the start is refused, and nothing is made', (t) => {
  const path = folder(t);
  assert.throws(() => open(path, false), unusable);
  assert.throws(() => open(join(path, 'absent'), false), unusable);
  assert.deepEqual(readdirSync(path), []);
});

for (const mode of [0o640, 0o604, 0o660]) {
  test(`a key with mode ${mode.toString(8)} is refused, not repaired`, (t) => {
    const path = folder(t);
    const file = join(path, SIGNING_KEY_FILE);
    writeFileSync(file, pem('ed25519'), { mode: 0o600 });
    assert.ok(open(path, false).keys.current().kid);
    chmodSync(file, mode);
    assert.throws(() => open(path), unusable);
    assert.equal(statSync(file).mode & 0o777, mode);
  });
}

test('a link in place of the key is not followed', (t) => {
  const path = folder(t);
  writeFileSync(join(path, 'elsewhere'), pem('ed25519'), { mode: 0o600 });
  symlinkSync('elsewhere', join(path, SIGNING_KEY_FILE));
  assert.throws(() => open(path), unusable);
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
      () => open(path),
      (error: Error & { code?: string }) =>
        error.code === 'KEY_UNAVAILABLE' && !error.message.includes('CANARY') && !error.cause,
    );
  });
}

test('a new key is published at once, signs 20 s later, and the former one still verifies', (t) => {
  const clock = { now: NOW };
  const keys = open(folder(t), true, clock);
  const first = keys.keys.current().kid;
  keys.rotate();
  assert.deepEqual(states(keys), ['next', 'signing']);
  const [second] = names(keys);
  assert.deepEqual(published(keys), [second, first]);
  clock.now += PUBLISHED_AHEAD_SECONDS - 1;
  assert.equal(keys.keys.current().kid, first);
  clock.now += 1;
  assert.equal(keys.keys.current().kid, second);
  assert.deepEqual(states(keys), ['signing', 'former']);
  assert.deepEqual(published(keys), [second, first]);
});

test('two signers of one folder agree, also when one was started in between', (t) => {
  const clock = { now: NOW };
  const path = folder(t);
  const [one, two] = [open(path, true, clock), open(path, true, clock)];
  one.rotate();
  clock.now += 5;
  assert.deepEqual(published(two), published(one));
  clock.now += PUBLISHED_AHEAD_SECONDS;
  const third = open(path, false, clock);
  assert.equal(two.keys.current().kid, one.keys.current().kid);
  assert.equal(third.keys.current().kid, one.keys.current().kid);
});

test('a second rotation is refused while the first waits, and done after it', (t) => {
  const clock = { now: NOW };
  const keys = open(folder(t), true, clock);
  keys.rotate();
  assert.throws(() => keys.rotate(), { code: 'CONFLICT' });
  clock.now += PUBLISHED_AHEAD_SECONDS;
  keys.rotate();
  assert.deepEqual(states(keys), ['next', 'signing', 'former']);
});

test('a retired key is gone from disk and from what is published; the one that signs is not retired', (t) => {
  const clock = { now: NOW };
  const path = folder(t);
  const keys = open(path, true, clock);
  const first = keys.keys.current().kid;
  assert.throws(() => keys.retire(first), { code: 'CONFLICT' });
  assert.throws(() => keys.retire('no-such-key'), { code: 'NOT_FOUND' });
  keys.rotate();
  assert.throws(() => keys.retire(first), { code: 'CONFLICT' }, 'the next one does not sign yet');
  clock.now += PUBLISHED_AHEAD_SECONDS;
  keys.retire(first);
  assert.deepEqual(published(keys), names(keys));
  assert.equal(readdirSync(path).length, 1);
  assert.throws(() => keys.retire(first), { code: 'NOT_FOUND' });
});

test('a waiting key may be retired: the rotation is called off', (t) => {
  const keys = open(folder(t));
  keys.rotate();
  keys.retire(names(keys)[0]!);
  assert.deepEqual(states(keys), ['signing']);
});

test('a former key is dropped by itself when the last token that it can have signed has run out', (t) => {
  const clock = { now: NOW };
  const path = folder(t);
  const keys = open(path, true, clock);
  keys.rotate();
  const until = keys.list()[1]!;
  assert.equal(until.verifies_until, null, 'it still signs');
  clock.now += 7 * DAY;
  assert.deepEqual(states(keys), ['signing', 'former']);
  clock.now = keys.list()[1]!.verifies_until! - 1;
  assert.equal(published(keys).length, 2);
  clock.now += 3;
  assert.equal(published(keys).length, 1);
  assert.deepEqual(states(keys), ['signing', 'expired']);
  keys.rotate();
  assert.equal(readdirSync(path).length, 2, 'its file went with the next rotation');
});

test('keys are bounded in number', (t) => {
  const clock = { now: NOW };
  const keys = open(folder(t), true, clock);
  for (let n = 1; n < 32; n++) {
    keys.rotate();
    clock.now += PUBLISHED_AHEAD_SECONDS;
  }
  assert.throws(() => keys.rotate(), { code: 'CONFLICT' });
  keys.retire(names(keys).at(-1)!);
  keys.rotate();
});

test('a folder that is emptied or spoiled by accident stops nothing, and is warned of', (t) => {
  const clock = { now: NOW };
  const path = folder(t);
  const warnings: string[] = [];
  const keys = open(path, true, clock, (text) => warnings.push(text));
  const { kid } = keys.keys.current();
  chmodSync(join(path, SIGNING_KEY_FILE), 0o600);
  writeFileSync(join(path, `token-signing-${NOW}.pem`), 'garbage', { mode: 0o600 });
  clock.now += 10;
  assert.equal(keys.keys.current().kid, kid);
  assert.match(warnings.join(), /holds no Ed25519 private key/);
  for (const name of readdirSync(path)) unlinkSync(join(path, name));
  clock.now += 10;
  assert.equal(keys.keys.current().kid, kid);
});

test('when the clock is set back before every key, the oldest signs', (t) => {
  const clock = { now: NOW };
  const path = folder(t);
  const keys = open(path, true, clock);
  const first = keys.keys.current().kid;
  keys.rotate();
  clock.now -= DAY;
  assert.equal(keys.keys.current().kid, first);
});
