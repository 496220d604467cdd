import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { createProofVerifier, type ProofVerifier } from './proof.ts';

const NOW = Date.UTC(2026, 0, 1);
const OURS = 'a'.repeat(24);
const THEIRS = 'b'.repeat(24);
const URL = 'http://h/execution/x';
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const { x } = publicKey.export({ format: 'jwk' });
const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');

function proof(over: object = {}): string {
  const header = { typ: 'dpop+jwt', alg: 'EdDSA', jwk: { kty: 'OKP', crv: 'Ed25519', x } };
  const input = `${part(header)}.${part({ jti: 'j'.repeat(16), htm: 'GET', htu: URL, iat: NOW / 1000, ...over })}`;
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`;
}
const show = (verifier: ProofVerifier, text: string) =>
  verifier.verify({ proof: text, method: 'GET', urls: [URL], accessToken: null, jkt: null, nowMs: NOW });

test('a proof that names our nonce counts once here, and nobody else has to be asked', () => {
  const verifier = createProofVerifier({ nonce: OURS });
  assert.equal(show(verifier, proof({ nonce: OURS })).shown, null);
  assert.throws(() => show(verifier, proof({ nonce: OURS })), { code: 'TOKEN_INVALID' });
  assert.equal(show(verifier, proof({ nonce: OURS, jti: 'k'.repeat(16) })).shown, null, 'the control: another proof');
});

test('a proof that names another process is not taken, also not after that process is gone', () => {
  assert.throws(() => show(createProofVerifier({ nonce: OURS }), proof({ nonce: THEIRS })), { code: 'PROOF_NONCE' });
  assert.equal(show(createProofVerifier({ nonce: THEIRS }), proof({ nonce: THEIRS })).shown, null);
});

test('a proof that names nobody has the same name for every process, and another than any other proof', () => {
  const names = [OURS, THEIRS].map((nonce) =>
    show(createProofVerifier({ nonce }), proof()).shown!.name.toString('hex'),
  );
  assert.equal(names[0], names[1]);
  const other = show(createProofVerifier({ nonce: OURS }), proof({ jti: 'k'.repeat(16) })).shown!;
  assert.notEqual(other.name.toString('hex'), names[0]);
  assert.equal(other.madeAtMs, NOW);
});

test('who is not proven learns nothing of the nonce: a wrong signature is refused before it', () => {
  const text = proof({ nonce: THEIRS });
  const verifier = createProofVerifier({ nonce: OURS });
  const forged = `${text.slice(0, -4)}${text.endsWith('AAAA') ? 'BBBB' : 'AAAA'}`;
  assert.throws(() => show(verifier, forged), { code: 'TOKEN_INVALID' });
  for (const nonce of ['', 'short', 7, 'x'.repeat(65), 'white space in it'])
    assert.throws(() => show(verifier, proof({ nonce })), { code: 'TOKEN_INVALID' }, String(nonce));
});
