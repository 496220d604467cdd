// Tokens in the form of Airflow's own scheduler: off unless asked for, workloads alone, by keys of others alone.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import test from 'node:test';
import { readKeySet } from './key-set.ts';
import { createVerifier } from './verifier.ts';

const NOW = 1_782_864_000;
const ID = '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01';
const own = generateKeyPairSync('ed25519');
const other = generateKeyPairSync('ed25519');
const publicJwk = (key: KeyObject, kid: string) => ({
  kty: 'OKP' as const,
  crv: 'Ed25519' as const,
  x: key.export({ format: 'jwk' }).x!,
  kid,
  alg: 'EdDSA' as const,
  use: 'sig' as const,
});
const OWN_KID = 'own';
// Airflow names an RSA key by a digest that is no RFC 7638 thumbprint, so any text must do.
const OTHER_KID = 'Zm9yZWlnbg+/=';

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = (over: object = {}) => ({
  sub: ID,
  scope: 'workload',
  jti: 'a'.repeat(32),
  aud: 'urn:airflow.apache.org:task',
  nbf: NOW,
  exp: NOW + 600,
  iat: NOW,
  ...over,
});
const make = (over: object = {}, header: object = {}, key = other.privateKey) => {
  const input = `${part({ alg: 'EdDSA', kid: OTHER_KID, typ: 'JWT', ...header })}.${part(claims(over))}`;
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
};
const verifier = (over: object = {}) =>
  createVerifier({
    keys: { keys: [publicJwk(own.publicKey, OWN_KID)] },
    trusted: readKeySet({ keys: [publicJwk(other.publicKey, OTHER_KID)] }, 'RS256'),
    airflowWorkloads: true,
    userAudience: 'rest',
    leewaySeconds: 10,
    ...over,
  });
const verify = (token: string, over: object = {}) => verifier(over).verify('workload', token, NOW * 1000);
const INVALID = { code: 'TOKEN_INVALID' };

test("a workload token of Airflow's form counts where it is asked for", async () => {
  assert.deepEqual(await verify(make()), claims());
});

test('without the option it is refused', async () => {
  await assert.rejects(verify(make(), { airflowWorkloads: false }), INVALID);
});

test('without a key set of others it is refused', async () => {
  await assert.rejects(verify(make(), { trusted: new Map() }), INVALID);
});

test('one that our own key has signed is refused, also when the set of others repeats that key', async () => {
  const token = make({}, { kid: OWN_KID }, own.privateKey);
  await assert.rejects(verify(token), INVALID);
  const both = readKeySet(
    { keys: [publicJwk(own.publicKey, OWN_KID), publicJwk(other.publicKey, OTHER_KID)] },
    'RS256',
  );
  await assert.rejects(verify(token, { trusted: both }), INVALID);
  assert.ok(await verify(make(), { trusted: both }));
});

test('a secret of ours never proves one, whatever it says', async () => {
  let asked = 0;
  const check = async () => {
    asked++;
    return true;
  };
  const secret = { kid: 'not-used', alg: 'HS512', check };
  await assert.rejects(verify(make({}, { alg: 'HS512', kid: 'not-used' }), { secret }), INVALID);
  assert.equal(asked, 0);
});

test('a time that is over is said as for every token', async () => {
  await assert.rejects(verify(make({ exp: NOW - 11, iat: NOW - 600, nbf: NOW - 600 })), { code: 'TOKEN_EXPIRED' });
});

for (const kind of ['execution', 'user', 'worker', 'parse', 'trigger'] as const) {
  test(`it never counts as ${kind}, whatever scope it names`, async () => {
    for (const scope of ['workload', kind]) {
      await assert.rejects(verifier().verify(kind, make({ scope }), NOW * 1000), INVALID);
    }
  });
}

for (const [name, token] of Object.entries({
  'scope execution': make({ scope: 'execution' }),
  'no scope, which Airflow reads as execution': make({ scope: undefined }),
  'a binding to a key': make({ cnf: { jkt: 'A'.repeat(43) } }),
  'a claim more': make({ role: 'admin' }),
  'a subject that is no try': make({ sub: 'admin' }),
  'no name of its own': make({ jti: undefined }),
  'no beginning': make({ nbf: undefined }),
  'the audience of users': make({ aud: 'rest' }),
  'two audiences': make({ aud: ['urn:airflow.apache.org:task', 'rest'] }),
  'an issuer where none is configured': make({ iss: 'https://airflow.example' }),
  'a lifetime of more than a day': make({ exp: NOW + 86_401 }),
  'no typ': make({}, { typ: undefined }),
  'typ in other case': make({}, { typ: 'jwt' }),
  'a header more': make({}, { cty: 'JWT' }),
  'no kid': make({}, { kid: undefined }),
  'an unknown kid': make({}, { kid: 'nobody' }),
  'no algorithm': make({}, { alg: 'none' }),
  "another's signature": make({}, {}, own.privateKey),
})) {
  test(`${name}: refused`, async () => {
    await assert.rejects(verify(token), INVALID);
  });
}
