/** What stands behind the signing interface may be elsewhere: here a double of a KMS, which holds the keys and signs over HTTP. */
import assert from 'node:assert/strict';
import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { after, before, beforeEach, test } from 'node:test';
import { AppError } from '@airlock/contract/errors';
import type { JwksKey } from '@airlock/contract/jwks';
import { createVerifier, thumbprint } from '@airlock/token-verify';
import { createSigner } from './mint.ts';
import type { SigningKeys } from './signing-keys.ts';

const NOW_MS = 1_782_864_000_500;
const wanted = {
  kind: 'execution',
  sub: '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01',
  jti: 'a'.repeat(32),
  ttl_seconds: 60,
  now_ms: NOW_MS,
} as const;

/** The KMS: only it has the private key, and `behave` says what it does with a request. */
const own = generateKeyPairSync('ed25519');
const stranger = generateKeyPairSync('ed25519');
type Behaviour = 'honest' | 'another key' | 'other bytes' | 'cut' | 'refuses';
let behave: Behaviour;
let asked: string[] = [];
const answerOf = (input: Buffer): Buffer | null => {
  const by = (key: KeyObject, bytes: Buffer) => sign(null, bytes, key);
  switch (behave) {
    case 'honest':
      return by(own.privateKey, input);
    case 'another key':
      return by(stranger.privateKey, input);
    case 'other bytes':
      return by(own.privateKey, Buffer.concat([input, Buffer.from('x')]));
    case 'cut':
      return by(own.privateKey, input).subarray(1);
    case 'refuses':
      return null;
  }
};
const kms = createServer(async (request, response) => {
  const input = await buffer(request);
  asked.push(input.toString());
  const signature = answerOf(input);
  response.writeHead(signature === null ? 403 : 200).end(signature);
});

/** What a deployment would write for its KMS: the public half, and who is asked for a signature. */
function keysBehind(url: string): SigningKeys {
  const exported = createPublicKey(own.privateKey).export({ format: 'jwk' });
  const kid = thumbprint(exported as Parameters<typeof thumbprint>[0]);
  const jwk = { ...exported, kid, alg: 'EdDSA', use: 'sig' } as JwksKey;
  const keys = { jwks: { keys: [jwk] }, secret: null };
  const ask = async (input: Buffer) => {
    try {
      const answer = await fetch(url, { method: 'POST', body: new Uint8Array(input) });
      if (!answer.ok) throw new Error(`status ${answer.status}`);
      return Buffer.from(await answer.arrayBuffer());
    } catch (error) {
      throw new AppError('KEY_UNAVAILABLE', { public: 'The KMS does not sign.', internal: { err: error } });
    }
  };
  return { current: () => ({ kid, alg: 'EdDSA', sign: ask }), verificationKeys: () => keys, secret: null };
}
const signerBehind = (keys: SigningKeys) =>
  createSigner({ keys, issuer: null, userAudience: 'rest', nowMs: () => NOW_MS });

let url = '';
before(async () => {
  await new Promise<void>((resolve) => kms.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(kms.address() as AddressInfo).port}/sign`;
});
beforeEach(() => {
  behave = 'honest';
  asked = [];
});
after(() => void kms.close());

test('a token that a KMS signs is verified by its published key, and only the bytes to be signed went there', async () => {
  const keys = keysBehind(url);
  const token = await signerBehind(keys).mint(wanted);
  const { jwks } = keys.verificationKeys();
  const verifier = createVerifier({ keys: jwks, userAudience: 'rest', leewaySeconds: 0 });
  assert.equal((await verifier.verify('execution', token, NOW_MS)).sub, wanted.sub);
  assert.deepEqual(asked, [token.slice(0, token.lastIndexOf('.'))]);
});

for (const wrong of ['another key', 'other bytes', 'cut'] as const) {
  test(`a signature that does not fit (${wrong}) never leaves as a token`, async () => {
    const signer = signerBehind(keysBehind(url));
    behave = wrong;
    await assert.rejects(signer.mint(wanted), { code: 'TOKEN_INVALID' });
    behave = 'honest';
    await signer.mint(wanted);
  });
}

test('a KMS that refuses, or is not there, makes no token; when it signs again, so do we', async () => {
  const signer = signerBehind(keysBehind(url));
  behave = 'refuses';
  await assert.rejects(signer.mint(wanted), { code: 'KEY_UNAVAILABLE' });
  await assert.rejects(signerBehind(keysBehind('http://127.0.0.1:1/sign')).mint(wanted), { code: 'KEY_UNAVAILABLE' });
  behave = 'honest';
  await signer.mint(wanted);
});

test('what no profile allows is refused before the KMS is asked', async () => {
  const signer = signerBehind(keysBehind(url));
  await assert.rejects(signer.mint({ ...wanted, ttl_seconds: 301 }), { code: 'BAD_REQUEST' });
  await assert.rejects(signer.mint({ ...wanted, aud: 'rest' }), { code: 'BAD_REQUEST' });
  await assert.rejects(signer.mint({ ...wanted, now_ms: NOW_MS + 3_600_000 }), { code: 'BAD_REQUEST' });
  assert.deepEqual(asked, []);
  await signer.mint(wanted);
  assert.equal(asked.length, 1);
});
