// What no caller of ours would send is in control/test/execution/refusals.int.test.ts; here are the verifier's own rules.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import test from 'node:test';
import { peekUnverifiedKind } from './index.ts';
import { thumbprint } from './thumbprint.ts';
import { createVerifier } from './verifier.ts';

const NOW = 1_782_864_000;
const ID = '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01';
const pair = generateKeyPairSync('ed25519');
const jwk = { kty: 'OKP', crv: 'Ed25519', x: pair.publicKey.export({ format: 'jwk' }).x! } as const;
const kid = thumbprint(jwk);
const keys = { keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] } as const;
const part = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const make = (claims: object | string, header: object = {}) => {
  const input = `${part({ alg: 'EdDSA', kid, typ: 'airlock-execution+jwt', ...header })}.${part(claims)}`;
  return `${input}.${sign(null, Buffer.from(input), pair.privateKey).toString('base64url')}`;
};
const claims = (over: object = {}) => ({
  aud: 'urn:airflow.apache.org:task',
  sub: ID,
  scope: 'execution',
  jti: 'a'.repeat(32),
  iat: NOW,
  nbf: NOW,
  exp: NOW + 300,
  ...over,
});
const verifier = (over: object = {}) =>
  createVerifier({ keys: { keys: [...keys.keys] }, userAudience: 'rest', leewaySeconds: 10, ...over });
const verify = (token: string, nowSeconds = NOW, over: object = {}) =>
  verifier(over).verify('execution', token, nowSeconds * 1000);
const INVALID = { code: 'TOKEN_INVALID' };

test('a well-made token gives its claims', async () => {
  assert.deepEqual(await verify(make(claims())), claims());
});

test('time has a leeway of 10 s on both sides and not a second more', async () => {
  await verify(make(claims()), NOW + 309);
  await assert.rejects(verify(make(claims()), NOW + 310), { code: 'TOKEN_EXPIRED' });
  await verify(make(claims()), NOW - 10);
  await assert.rejects(verify(make(claims()), NOW - 11), INVALID);
});

test('a remembered token expires like any other, and is remembered for its own kind alone', async () => {
  const one = verifier();
  const token = make(claims());
  await one.verify('execution', token, NOW * 1000);
  await one.verify('execution', token, (NOW + 309) * 1000);
  await assert.rejects(one.verify('workload', token, NOW * 1000), INVALID);
  await assert.rejects(one.verify('execution', token, (NOW + 310) * 1000), { code: 'TOKEN_EXPIRED' });
});

test('memory is bounded: the oldest goes', async () => {
  const one = verifier({ cacheSize: 2 });
  for (let i = 0; i < 10; i++) await one.verify('execution', make(claims({ jti: String(i).repeat(32) })), NOW * 1000);
});

test('an issuer is demanded where one is configured and refused where none is', async () => {
  const issuer = 'https://airlock.example';
  const issuers = [issuer, 'https://second.example'];
  for (const iss of issuers) assert.ok(await verify(make(claims({ iss })), NOW, { issuers }));
  await assert.rejects(verify(make(claims()), NOW, { issuers }), INVALID);
  await assert.rejects(verify(make(claims({ iss: 'https://other.example' })), NOW, { issuers }), INVALID);
  await assert.rejects(verify(make(claims({ iss: issuer }))), INVALID);
});

test('every configured task audience is accepted, and no other', async () => {
  const taskAudiences = ['first', 'second'];
  for (const aud of taskAudiences) assert.ok(await verify(make(claims({ aud })), NOW, { taskAudiences }));
  await assert.rejects(verify(make(claims()), NOW, { taskAudiences }), INVALID);
});

for (const [name, token] of Object.entries({
  'a payload that is no JSON': make('{'),
  'a payload that is a list': make('[]'),
  'a payload that is null': make('null'),
  'a header that is a list': `${part('[]')}.${part(claims())}.${'A'.repeat(86)}`,
  'negative times': make(claims({ iat: -1 })),
  'times with fractions': make(claims({ exp: NOW + 0.5 })),
  'an expiry before the issue': make(claims({ exp: NOW - 1 })),
  'an expiry at the issue': make(claims({ exp: NOW })),
  'four parts': `${make(claims())}.x`,
  'a short signature': make(claims()).slice(0, -2),
  'a kid that names a property of every object': make(claims(), { kid: '__proto__' }),
  'a typ in other case': make(claims(), { typ: 'AIRLOCK-EXECUTION+JWT' }),
  'an algorithm that the key does not serve': make(claims(), { alg: 'RS256' }),
  'no algorithm': make(claims(), { alg: 'none' }),
  'an empty payload': make(''),
  'a header with x5u': make(claims(), { x5u: 'https://evil.example' }),
})) {
  test(`${name}: refused`, async () => {
    await verify(make(claims()));
    await assert.rejects(verify(token), INVALID);
  });
}

test('a key serves the one algorithm that it is published for: RS512 by a key for RS256 is refused', async () => {
  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const { n, e } = rsa.publicKey.export({ format: 'jwk' }) as { n: string; e: string };
  const by = (alg: 'RS256' | 'RS512', published: 'RS256' | 'RS512') => {
    const input = `${part({ alg, kid: 'rsa', typ: 'airlock-execution+jwt' })}.${part(claims())}`;
    const hash = alg === 'RS256' ? 'sha256' : 'sha512';
    const token = `${input}.${sign(hash, Buffer.from(input), rsa.privateKey).toString('base64url')}`;
    return verify(token, NOW, { keys: { keys: [{ kty: 'RSA', n, e, kid: 'rsa', use: 'sig', alg: published }] } });
  };
  assert.ok(await by('RS256', 'RS256'));
  assert.ok(await by('RS512', 'RS512'));
  await assert.rejects(by('RS512', 'RS256'), INVALID);
  await assert.rejects(by('RS256', 'RS512'), INVALID);
});

test('the kind is read from typ, and unknown ones give none', () => {
  assert.equal(peekUnverifiedKind(make(claims())), 'execution');
  assert.equal(peekUnverifiedKind(make(claims(), { typ: 'airlock-parse+jwt' })), 'parse');
  // The one profile that Airflow's own form could fit; it is refused there unless it is asked for.
  assert.equal(peekUnverifiedKind(make(claims(), { typ: 'JWT' })), 'workload');
  assert.equal(peekUnverifiedKind(make(claims(), { typ: 'at+jwt' })), null);
  assert.equal(peekUnverifiedKind('a.b.c'), null);
});
