import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import test from 'node:test';
import { TOKEN_PROFILES, type TokenKind } from '@airlock/contract/claims';
import { createVerifier } from '@airlock/token-verify';
import { createSigner } from './mint.ts';
import { keyPair, oneKeyPair } from './signing-keys.ts';

const NOW_MS = 1_782_864_000_500;
const keys = oneKeyPair(keyPair(generateKeyPairSync('ed25519').privateKey, 'EdDSA', null));
const signer = createSigner({ keys, issuer: 'https://airlock.example', userAudience: 'rest', nowMs: () => NOW_MS });
const verifier = createVerifier({
  keys: keys.verificationKeys().jwks,
  userAudience: 'rest',
  issuers: ['https://airlock.example'],
  leewaySeconds: 0,
});
const ID = '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01';
const base = { sub: ID, jti: 'a'.repeat(32), ttl_seconds: 60, now_ms: NOW_MS };
const BOUND: readonly TokenKind[] = ['worker', 'parse', 'trigger'];
const wanted = (kind: TokenKind) => ({ ...base, kind, ...(BOUND.includes(kind) ? { jkt: 'k'.repeat(43) } : {}) });
const refused = (over: object) =>
  assert.rejects(signer.mint({ ...wanted('execution'), ...over } as never), { code: 'BAD_REQUEST' });

for (const kind of Object.keys(TOKEN_PROFILES) as TokenKind[]) {
  test(`a ${kind} token is signed, and fits its own profile and no other`, async () => {
    const token = await signer.mint(wanted(kind));
    const claims = await verifier.verify(kind, token, NOW_MS);
    assert.deepEqual([claims.sub, claims.jti, claims.exp - claims.iat, claims.nbf], [ID, base.jti, 60, claims.iat]);
    for (const other of Object.keys(TOKEN_PROFILES) as TokenKind[]) {
      if (other !== kind) await assert.rejects(verifier.verify(other, token, NOW_MS), { code: 'TOKEN_INVALID' });
    }
  });
  test(`a ${kind} token may live as long as its kind allows, and not a second longer`, async () => {
    const { maxTtlSeconds } = TOKEN_PROFILES[kind];
    await signer.mint({ ...wanted(kind), ttl_seconds: maxTtlSeconds });
    await assert.rejects(signer.mint({ ...wanted(kind), ttl_seconds: maxTtlSeconds + 1 }), { code: 'BAD_REQUEST' });
  });
}

test('the same request gives the same token, byte for byte', async () => {
  assert.equal(await signer.mint(wanted('execution')), await signer.mint(wanted('execution')));
});

test('a subject that is no try, a jti of another form and a broken binding are refused', async () => {
  await refused({ sub: 'admin' });
  await refused({ sub: ID.toUpperCase() });
  await refused({ jti: 'short' });
  await refused({ jkt: 'short' });
});

test('an audience that is not the kind’s own is refused', async () => {
  await refused({ aud: 'rest' });
  await signer.mint({ ...wanted('execution'), aud: 'urn:airflow.apache.org:task' });
});

test('tokens of supervisors without a binding, and user tokens with one, are refused', async () => {
  await assert.rejects(signer.mint({ ...base, kind: 'worker' }), { code: 'BAD_REQUEST' });
  await assert.rejects(signer.mint({ ...base, kind: 'user', jkt: 'k'.repeat(43) }), { code: 'BAD_REQUEST' });
});

test('an instant more than five minutes from the signer’s own is refused: it would outlive every cap', async () => {
  await signer.mint({ ...wanted('execution'), now_ms: NOW_MS + 300_000 });
  await refused({ now_ms: NOW_MS + 300_001 });
  await refused({ now_ms: NOW_MS - 300_001 });
});
