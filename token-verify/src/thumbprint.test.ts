import assert from 'node:assert/strict';
import test from 'node:test';
import { thumbprint } from './thumbprint.ts';

test('the thumbprint of the key in RFC 8037 appendix A.3 is the one printed there', () => {
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo' } as const;
  assert.equal(thumbprint(jwk), 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k');
});
