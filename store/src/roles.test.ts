import assert from 'node:assert/strict';
import { test } from 'node:test';
import { scramVerifier } from './roles.ts';

test('The SCRAM verifier is the one of RFC 7677', () => {
  // Section 3 of the RFC gives password, salt, iteration count and the exchange; keys follow from them.
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64');
  const verifier = scramVerifier('pencil', salt, 4096);
  assert.equal(
    verifier,
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  );
});
