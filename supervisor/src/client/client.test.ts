import { equal, match, notEqual, ok, throws } from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { proofClaims, proofHeader } from '@airlock/contract/proof';
import { EmbeddedJWK, jwtVerify } from 'jose';
import { createExecutionClient } from './index.ts';
import { createProofKey } from './proof-key.ts';
import { retryWaitMs } from './retry.ts';

const NOW = Date.UTC(2026, 0, 1);

test('a proof fits the contract, is signed by the key that it names, and binds method, address and token', async () => {
  const key = createProofKey();
  const proof = key.proof('POST', 'http://h/execution/x', NOW, 'the-token');
  const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, { algorithms: ['EdDSA'], typ: 'dpop+jwt' });
  proofHeader.parse(protectedHeader);
  const claims = proofClaims.parse(payload);
  equal(claims.htm, 'POST');
  equal(claims.htu, 'http://h/execution/x');
  equal(claims.iat, NOW / 1000);
  equal(claims.ath, createHash('sha256').update('the-token').digest('base64url'));
  const again = proofClaims.parse(
    (await jwtVerify(key.proof('POST', 'http://h/execution/x', NOW, 'the-token'), EmbeddedJWK)).payload,
  );
  notEqual(again.jti, claims.jti);
  equal(proofClaims.parse((await jwtVerify(key.proof('GET', 'http://h/', NOW), EmbeddedJWK)).payload).ath, undefined);
});

test('another key, or a changed proof, does not verify', async () => {
  const [head, body] = createProofKey().proof('GET', 'http://h/', NOW).split('.');
  const [, , signature] = createProofKey().proof('GET', 'http://h/', NOW).split('.');
  const outcome = await jwtVerify(`${head}.${body}.${signature}`, EmbeddedJWK).then(
    () => 'accepted',
    (error: { code: string }) => error.code,
  );
  match(outcome, /SIGNATURE/);
});

test('waits grow, never pass the longest, and never fall below the shortest', () => {
  const policy = { attempts: 5, waitMinMs: 100, waitMaxMs: 1000 };
  for (let attempt = 1; attempt < 20; attempt++) {
    for (const random of [0, 0.5, 1]) {
      const wait = retryWaitMs(policy, attempt, random);
      ok(wait >= 100 && wait <= 1000);
    }
  }
  ok(retryWaitMs(policy, 2, 1) > retryWaitMs(policy, 1, 1));
});

test('plain http to another machine is refused before a byte is sent; loopback and https are not', () => {
  const log = { warn: () => undefined, debug: () => undefined };
  for (const baseUrl of ['http://example.com/execution', 'http://10.0.0.1:8080', 'ftp://127.0.0.1', 'nonsense']) {
    throws(() => createExecutionClient({ baseUrl, log }), { code: 'CONFIG_INVALID' }, baseUrl);
  }
  for (const baseUrl of [
    'http://127.0.0.1:1/execution',
    'http://localhost:1',
    'https://example.com/execution/',
    'http://[::1]:1',
  ]) {
    createExecutionClient({ baseUrl, log });
  }
});
