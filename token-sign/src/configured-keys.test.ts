import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { createVerifier, thumbprint } from '@airlock/token-verify';
import { configuredKeys } from './configured-keys.ts';
import { createSigner } from './mint.ts';

const NOW_MS = 1_782_864_000_000;
const secret = (bytes: number) => `${'S'.repeat(bytes - 1)}!`;
const made = {
  ed25519: generateKeyPairSync('ed25519').privateKey,
  rsa2048: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  rsa1024: generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey,
  rsaSmallExponent: generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 }).privateKey,
  p256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey,
  p384: generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey,
  x25519: generateKeyPairSync('x25519').privateKey,
  ed448: generateKeyPairSync('ed448').privateKey,
  rsaPss: generateKeyPairSync('rsa-pss', { modulusLength: 2048 }).privateKey,
} satisfies Record<string, KeyObject>;
const pemOf = (key: KeyObject) => key.export({ format: 'pem', type: 'pkcs8' }) as string;

function kit(t: TestContext) {
  const home = mkdtempSync(join(tmpdir(), 'airlock-keys-'));
  t.after(() => rmSync(home, { recursive: true }));
  const path = join(home, 'key.pem');
  const keysWith = (over: object) =>
    configuredKeys(
      { jwt_secret: null, jwt_private_key_path: null, jwt_algorithm: 'GUESS', jwt_kid: null, ...over } as never,
      { folder: join(home, 'keys'), generate: false, nowMs: () => NOW_MS, warn: () => undefined },
    ).keys;
  const withKey = (key: KeyObject | string, over: object = {}) => {
    writeFileSync(path, typeof key === 'string' ? key : pemOf(key), { mode: 0o600 });
    return keysWith({ jwt_private_key_path: path, ...over });
  };
  return { home, path, keysWith, withKey };
}
const wanted = {
  kind: 'execution',
  sub: '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01',
  jti: 'a'.repeat(32),
  ttl_seconds: 60,
  now_ms: NOW_MS,
} as const;
async function headerOf(keys: ReturnType<ReturnType<typeof kit>['keysWith']>) {
  const signer = createSigner({ keys, issuer: null, userAudience: 'rest', nowMs: () => NOW_MS });
  const token = await signer.mint(wanted);
  const { jwks } = keys.verificationKeys();
  const verifier = createVerifier({ keys: jwks, secret: keys.secret, userAudience: 'rest', leewaySeconds: 0 });
  assert.equal((await verifier.verify('execution', token, NOW_MS)).sub, wanted.sub);
  return JSON.parse(Buffer.from(token.split('.')[0]!, 'base64url').toString()) as { alg: string; kid: string };
}

for (const [name, key, algorithm, alg] of [
  ['an Ed25519 key', made.ed25519, 'GUESS', 'EdDSA'],
  ['an Ed25519 key that is named', made.ed25519, 'EdDSA', 'EdDSA'],
  ['an RSA key', made.rsa2048, 'GUESS', 'RS256'],
  ['an RSA key for RS512', made.rsa2048, 'RS512', 'RS512'],
  ['an EC key on P-256', made.p256, 'GUESS', 'ES256'],
] as const) {
  test(`${name} signs with ${alg}, under its thumbprint or the configured name, and is published`, async (t) => {
    const { withKey } = kit(t);
    const keys = withKey(key, { jwt_algorithm: algorithm });
    const [jwk] = keys.verificationKeys().jwks.keys;
    assert.deepEqual(await headerOf(keys), { alg, kid: thumbprint(jwk!), typ: 'airlock-execution+jwt' });
    assert.equal(jwk!.alg, alg);
    assert.deepEqual(
      Object.keys(jwk!).filter((member) => 'dpqdpdqqi'.includes(member) && member !== 'e'),
      [],
    );
    const named = await headerOf(withKey(key, { jwt_algorithm: algorithm, jwt_kid: 'mine' }));
    assert.deepEqual([named.alg, named.kid], [alg, 'mine']);
  });
}

test('RSA in PKCS1 and EC in SEC1 are read too', async (t) => {
  const { withKey } = kit(t);
  assert.equal((await headerOf(withKey(made.rsa2048.export({ format: 'pem', type: 'pkcs1' }) as string))).alg, 'RS256');
  assert.equal((await headerOf(withKey(made.p256.export({ format: 'pem', type: 'sec1' }) as string))).alg, 'ES256');
});

for (const [alg, least] of [
  ['HS256', 32],
  ['HS384', 48],
  ['HS512', 64],
] as const) {
  test(`a secret of ${least} bytes signs with ${alg} and is not published; one byte less is refused`, async (t) => {
    const { keysWith } = kit(t);
    const keys = keysWith({ jwt_secret: secret(least), jwt_algorithm: alg });
    assert.deepEqual(keys.verificationKeys(), { jwks: { keys: [] }, secret: { kid: 'not-used', alg } });
    assert.deepEqual(await headerOf(keys), { alg, kid: 'not-used', typ: 'airlock-execution+jwt' });
    assert.equal(
      (await headerOf(keysWith({ jwt_secret: secret(least), jwt_algorithm: alg, jwt_kid: 'mine' }))).kid,
      'mine',
    );
    assert.throws(() => keysWith({ jwt_secret: secret(least - 1), jwt_algorithm: alg }), { code: 'CONFIG_INVALID' });
  });
}

test('GUESS takes HS512 for a secret, so 63 bytes are too few', async (t) => {
  const { keysWith } = kit(t);
  assert.equal((await headerOf(keysWith({ jwt_secret: secret(64) }))).alg, 'HS512');
  assert.throws(() => keysWith({ jwt_secret: secret(63) }), /63 bytes; HS512 needs 64/);
});

test('what a secret did not sign is not taken: another secret, another algorithm, a bit changed', async (t) => {
  const { keysWith } = kit(t);
  const keys = keysWith({ jwt_secret: secret(64), jwt_algorithm: 'HS256' });
  const signer = createSigner({ keys, issuer: null, userAudience: 'rest', nowMs: () => NOW_MS });
  const token = await signer.mint(wanted);
  assert.equal(await keys.secret!.check(token), true);
  assert.equal(await keysWith({ jwt_secret: `${secret(63)}?`, jwt_algorithm: 'HS256' }).secret!.check(token), false);
  assert.equal(await keysWith({ jwt_secret: secret(64), jwt_algorithm: 'HS384' }).secret!.check(token), false);
  assert.equal(await keys.secret!.check(token.replace(/.{4}$/, 'AAAA')), false);
  assert.equal(await keys.secret!.check('a.b.c'), false);
});

const CASES: Record<string, (k: ReturnType<typeof kit>) => unknown> = {
  'both a secret and a key': (k) => k.withKey(made.ed25519, { jwt_secret: secret(64) }),
  'a secret with an algorithm of key pairs': (k) => k.keysWith({ jwt_secret: secret(64), jwt_algorithm: 'EdDSA' }),
  'a key with an algorithm of secrets': (k) => k.withKey(made.ed25519, { jwt_algorithm: 'HS512' }),
  'no secret with an algorithm of secrets': (k) => k.keysWith({ jwt_algorithm: 'HS256' }),
  'no key with RS256': (k) => k.keysWith({ jwt_algorithm: 'RS256' }),
  'no key with a kid': (k) => k.keysWith({ jwt_kid: 'mine' }),
  'an Ed25519 key with RS256': (k) => k.withKey(made.ed25519, { jwt_algorithm: 'RS256' }),
  'an RSA key with ES256': (k) => k.withKey(made.rsa2048, { jwt_algorithm: 'ES256' }),
  'an RSA key of 1024 bits': (k) => k.withKey(made.rsa1024),
  'an RSA key with the exponent 3': (k) => k.withKey(made.rsaSmallExponent),
  'an RSA key for PSS alone': (k) => k.withKey(made.rsaPss),
  'an EC key on P-384': (k) => k.withKey(made.p384),
  'an X25519 key': (k) => k.withKey(made.x25519),
  'an Ed448 key': (k) => k.withKey(made.ed448),
  'a public key': (k) => k.withKey('-----BEGIN PUBLIC KEY-----\nCANARY\n-----END PUBLIC KEY-----\n'),
  'an encrypted key': (k) =>
    k.withKey(made.ed25519.export({ format: 'pem', type: 'pkcs8', cipher: 'aes-256-cbc', passphrase: 'x' }) as string),
  'an empty file': (k) => k.withKey(''),
  garbage: (k) => k.withKey('CANARY'),
};
for (const [name, attempt] of Object.entries(CASES)) {
  test(`${name}: refused, with a remedy and without quoting what is secret`, (t) => {
    const k = kit(t);
    k.withKey(made.ed25519);
    k.keysWith({ jwt_secret: secret(64) });
    assert.throws(
      () => attempt(k),
      (error: Error & { code?: string; remedy?: string }) =>
        error.code === 'CONFIG_INVALID' &&
        (error.message.includes('[api_auth] jwt_') || error.message.includes(k.path)) &&
        error.remedy!.length > 10 &&
        !/CANARY|SSS/.test(error.message) &&
        !error.cause,
    );
  });
}

test('a key file that is missing, is a folder, or may be read by others is refused; one behind a link is read', (t) => {
  const { home, path, withKey, keysWith } = kit(t);
  const refused = { code: 'KEY_UNAVAILABLE' };
  assert.ok(withKey(made.ed25519));
  symlinkSync(path, join(home, 'link.pem'));
  assert.ok(keysWith({ jwt_private_key_path: join(home, 'link.pem') }), 'Kubernetes mounts every secret as a link');
  assert.throws(() => keysWith({ jwt_private_key_path: join(home, 'absent.pem') }), refused);
  mkdirSync(join(home, 'folder'), { mode: 0o700 });
  assert.throws(() => keysWith({ jwt_private_key_path: join(home, 'folder') }), refused);
  chmodSync(path, 0o644);
  assert.throws(() => keysWith({ jwt_private_key_path: path }), refused);
});
