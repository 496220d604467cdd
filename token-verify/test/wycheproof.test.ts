// Project Wycheproof's JWS vectors: HMAC, RSA and EC tokens with every known confusion of key and algorithm. A verifier of one
// closed profile must refuse all of them, the valid ones included. And none of their headers may pass on a token of ours.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { createVerifier, thumbprint } from '@airlock/token-verify';

type Vectors = { testGroups: Array<{ tests: Array<{ tcId: number; comment: string; jws: unknown }> }> };
const file = new URL('../../tests/conformance/vectors/json_web_signature_test.json', import.meta.url);
const vectors = (JSON.parse(readFileSync(file, 'utf8')) as Vectors).testGroups.flatMap((group) => group.tests);

const NOW = 1_782_864_000;
const pair = generateKeyPairSync('ed25519');
const jwk = { kty: 'OKP', crv: 'Ed25519', x: pair.publicKey.export({ format: 'jwk' }).x! } as const;
const kid = thumbprint(jwk);
const verifier = createVerifier({
  keys: { keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] },
  userAudience: 'rest',
  leewaySeconds: 10,
});
const verify = (token: string) => verifier.verify('execution', token, NOW * 1000);
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const claims = part({
  aud: 'urn:airflow.apache.org:task',
  sub: '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01',
  scope: 'execution',
  jti: 'a'.repeat(32),
  iat: NOW,
  nbf: NOW,
  exp: NOW + 300,
});
const signed = (header: string, key: KeyObject = pair.privateKey) =>
  `${header}.${claims}.${sign(null, Buffer.from(`${header}.${claims}`), key).toString('base64url')}`;

test('the control: our own header on the same claims is accepted', async () => {
  assert.equal((await verify(signed(part({ alg: 'EdDSA', kid, typ: 'airlock-execution+jwt' })))).scope, 'execution');
});

test('all 401 vectors are refused', async () => {
  assert.equal(vectors.length, 401);
  for (const { tcId, comment, jws } of vectors) {
    const text = typeof jws === 'string' ? jws : JSON.stringify(jws);
    await assert.rejects(verify(text), { code: 'TOKEN_INVALID' }, `${tcId} ${comment}`);
  }
});

test('every header of the vectors is refused on our claims, signed with our key', async () => {
  const headers = new Set(vectors.flatMap(({ jws }) => (typeof jws === 'string' ? [jws.split('.')[0]!] : [])));
  assert.ok(headers.size > 30, String(headers.size));
  for (const header of headers) await assert.rejects(verify(signed(header)), { code: 'TOKEN_INVALID' }, header);
});
