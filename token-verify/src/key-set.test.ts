import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { readKeySet } from './key-set.ts';
import { hasRocaFingerprint } from './roca.ts';

type Jwk = Record<string, unknown>;
const made = (type: 'ed25519' | 'rsa' | 'ec', over: Jwk = {}): Jwk => {
  const pair =
    type === 'rsa'
      ? generateKeyPairSync('rsa', { modulusLength: 2048 })
      : type === 'ec'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('ed25519');
  return { ...(pair.publicKey.export({ format: 'jwk' }) as Jwk), kid: type, ...over };
};
const [okp, rsa, ec] = [made('ed25519'), made('rsa'), made('ec')];
const oct = { kty: 'oct', kid: 'secret', alg: 'HS256', k: Buffer.alloc(32, 7).toString('base64url') };
const algorithms = (keys: readonly Jwk[], rsaAlgorithm?: 'RS512') =>
  Object.fromEntries([...readKeySet({ keys }, rsaAlgorithm)].map(([kid, { alg }]) => [kid, alg]));

test('each kind of key serves one algorithm: the one that it names, else the guess', () => {
  assert.deepEqual(algorithms([okp, rsa, ec]), { ed25519: 'EdDSA', rsa: 'RS256', ec: 'ES256' });
  assert.deepEqual(algorithms([rsa], 'RS512'), { rsa: 'RS512' });
  assert.deepEqual(algorithms([{ ...rsa, alg: 'RS512' }]), { rsa: 'RS512' });
  assert.deepEqual(algorithms([{ ...okp, use: 'sig', key_ops: ['verify'], x5t: 'ignored' }]), { ed25519: 'EdDSA' });
  assert.deepEqual(algorithms([oct]), { secret: 'HS256' });
  assert.deepEqual(algorithms([]), {});
});

for (const [name, key] of Object.entries({
  'a key for encryption': { ...okp, use: 'enc' },
  'a key whose operations do not include verify': { ...okp, key_ops: ['encrypt'] },
  'a key with operations that are no list': { ...okp, key_ops: 'verify' },
  'a key of an algorithm that we do not know': { ...rsa, alg: 'PS256' },
  'a key of a kind that we do not know': { ...okp, kty: 'AKP' },
  'a secret for another purpose': { ...oct, alg: 'A256GCM' },
  'a secret without an algorithm': { kty: 'oct', kid: 'secret', k: oct.k },
})) {
  test(`${name} is left out, and the rest of the set is used`, () => {
    const other = key.kty === 'oct' ? { ...oct, kid: 'other' } : { ...ec, kid: 'other' };
    assert.deepEqual(Object.keys(algorithms([{ ...key, kid: 'left out' }, other])), ['other']);
  });
}

const REFUSED: Record<string, unknown> = {
  'no object': [],
  'no keys': {},
  'keys that are no list': { keys: {} },
  'more than 100 keys': { keys: Array.from({ length: 101 }, (_, n) => ({ ...okp, kid: `k${n}` })) },
  'a key without a name': { keys: [{ ...okp, kid: undefined }] },
  'a key without a kind': { keys: [{ ...okp, kty: undefined }] },
  'a name that comes twice': { keys: [okp, { ...rsa, kid: okp.kid }] },
  'a name that comes twice, once for encryption': { keys: [okp, { ...rsa, kid: okp.kid, use: 'enc' }] },
  'a secret beside a public key': { keys: [okp, oct] },
  'a private key': { keys: [{ ...okp, d: 'CANARY' }] },
  'a private RSA key of which only a prime is told': { keys: [{ ...rsa, p: 'CANARY' }] },
  'a secret shorter than its hash': { keys: [{ ...oct, k: Buffer.alloc(31).toString('base64url') }] },
  'an empty secret': { keys: [{ ...oct, k: '' }] },
  'an Ed25519 key that claims RS256': { keys: [{ ...okp, alg: 'RS256' }] },
  'an RSA key that claims ES256': { keys: [{ ...rsa, alg: 'ES256' }] },
  'an EC key that claims another curve': { keys: [{ ...ec, crv: 'P-384' }] },
  'a point off the curve': { keys: [{ ...ec, y: ec.x }] },
  'an RSA key of 1024 bits': {
    keys: [
      {
        ...generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
        kid: 'small',
      },
    ],
  },
  'an RSA key with the exponent 1': { keys: [{ ...rsa, e: 'AQ' }] },
  'an RSA key with the exponent 3': { keys: [{ ...rsa, e: 'Aw' }] },
  'an RSA key with an even exponent': { keys: [{ ...rsa, e: 'AQAC' }] },
};
for (const [name, set] of Object.entries(REFUSED)) {
  test(`a set with ${name} is refused whole, and no key is quoted`, () => {
    assert.ok(readKeySet({ keys: [okp, rsa, ec] }).size === 3);
    assert.throws(
      () => readKeySet(set),
      (error: Error & { code?: string }) => error.code === 'CONFIG_INVALID' && !error.message.includes('CANARY'),
    );
  });
}

test('a power of 65537 modulo the small primes has the fingerprint, and 1,000 random odd numbers have not', () => {
  const primes = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157].map(BigInt);
  const product = primes.reduce((a, b) => a * b, 1n);
  for (let power = 0n, value = 1n; power < 50n; power++, value = (value * 65_537n) % product) {
    assert.ok(hasRocaFingerprint(value + 12_345n * product));
  }
  for (let n = 0; n < 1000; n++) {
    const random = BigInt(`0x${Buffer.from(crypto.getRandomValues(new Uint8Array(256))).toString('hex')}`) | 1n;
    assert.equal(hasRocaFingerprint(random), false);
  }
});
