import { equal } from 'node:assert/strict';
import { test } from 'node:test';
import { createNonces, isWrongNonce } from './nonces.ts';

const A = 'a'.repeat(24);
const B = 'b'.repeat(24);

test('the last server process heard of is named, and after a wrong guess nobody for a minute', () => {
  let now = 0;
  const nonces = createNonces(() => now);
  equal(nonces.current(), undefined);
  nonces.heard({ 'dpop-nonce': A });
  nonces.heard({});
  equal(nonces.current(), A);
  nonces.heard({ 'dpop-nonce': B });
  equal(nonces.current(), B);
  nonces.doubt();
  nonces.heard({ 'dpop-nonce': A });
  equal(nonces.current(), undefined);
  now = 60_000;
  nonces.heard({ 'dpop-nonce': A });
  equal(nonces.current(), A);
});

test('what no server of ours would call itself is not repeated', () => {
  const nonces = createNonces(() => 0);
  for (const header of ['', 'short', 'x'.repeat(65), 'a b c d e f g h i j', [A, B]])
    nonces.heard({ 'dpop-nonce': header });
  equal(nonces.current(), undefined);
});

test('only the answer that asks for another nonce is one', () => {
  const asks = { 'www-authenticate': 'DPoP error="use_dpop_nonce"' };
  equal(isWrongNonce({ status: 401, headers: asks }), true);
  equal(isWrongNonce({ status: 403, headers: asks }), false);
  equal(isWrongNonce({ status: 401, headers: { 'www-authenticate': 'DPoP error="invalid_token"' } }), false);
  equal(isWrongNonce({ status: 401, headers: {} }), false);
});
