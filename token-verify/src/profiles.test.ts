// The closed profile of each kind: every claim has its type, none may be missing or added, and time has its leeway.
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import test from 'node:test';
import { SUPERVISOR_AUDIENCE, TOKEN_PROFILES, type TokenKind } from '@airlock/contract/claims';
import { thumbprint } from './thumbprint.ts';
import { createVerifier } from './verifier.ts';

const NOW = 1_782_864_000;
const LEEWAY = 10;
const KINDS = Object.keys(TOKEN_PROFILES) as TokenKind[];
const pair = generateKeyPairSync('ed25519');
const jwk = { kty: 'OKP', crv: 'Ed25519', x: pair.publicKey.export({ format: 'jwk' }).x! } as const;
const kid = thumbprint(jwk);
const verifier = createVerifier({
  keys: { keys: [{ ...jwk, kid, alg: 'EdDSA', use: 'sig' }] },
  userAudience: 'rest',
  leewaySeconds: LEEWAY,
});
const INVALID = { code: 'TOKEN_INVALID' };
const EXPIRED = { code: 'TOKEN_EXPIRED' };

type Claims = Record<string, unknown>;
function rightClaims(kind: TokenKind): Claims {
  const common = { jti: 'a'.repeat(32), iat: NOW, nbf: NOW, exp: NOW + 300 };
  if (kind === 'user') return { ...common, aud: 'rest', sub: 'ada' };
  const task = { ...common, sub: '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01' };
  if (kind === 'workload' || kind === 'execution') return { ...task, aud: 'urn:airflow.apache.org:task', scope: kind };
  return { ...task, aud: SUPERVISOR_AUDIENCE, cnf: { jkt: 'k'.repeat(43) } };
}
function make(kind: TokenKind, claims: Claims, header: object = {}): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part({ alg: 'EdDSA', kid, typ: TOKEN_PROFILES[kind].typ, ...header })}.${part(claims)}`;
  return `${input}.${sign(null, Buffer.from(input), pair.privateKey).toString('base64url')}`;
}
const verify = (kind: TokenKind, over: Claims = {}, header: object = {}, atSeconds = NOW) =>
  verifier.verify(kind, make(kind, { ...rightClaims(kind), ...over }, header), atSeconds * 1000);

const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  iss: ['https://elsewhere.example', null, 1],
  aud: ['other', ['rest'], null, 1],
  sub: ['', null, 1, ['ada'], {}],
  jti: ['', 'short', 'A'.repeat(32), null, 1],
  iat: ['1782864000', 1.5, -1, null, true, 2 ** 33],
  nbf: ['1782864000', 1.5, -1, null],
  exp: ['1782864300', 1.5, -1, null, 2 ** 33],
  scope: [['execution'], 'Execution', 'user', null],
  cnf: [{}, { jkt: 'short' }, { jkt: 'k'.repeat(43), x: 1 }, 'k'.repeat(43), null],
};

for (const kind of KINDS) {
  test(`${kind}: right claims are accepted, and every claim of a wrong type, missing or added is refused`, async () => {
    assert.ok(await verify(kind));
    let refused = 0;
    for (const [claim, values] of Object.entries(WRONG)) {
      for (const value of values) {
        await assert.rejects(verify(kind, { [claim]: value }), INVALID, `${claim} ${JSON.stringify(value)}`);
        refused++;
      }
    }
    for (const claim of Object.keys(rightClaims(kind))) {
      await assert.rejects(verify(kind, { [claim]: undefined }), INVALID, `no ${claim}`);
      refused++;
    }
    for (const extra of ['role', 'email', 'teams', 'dag_id', 'admin']) {
      await assert.rejects(verify(kind, { [extra]: 'x' }), INVALID, extra);
      refused++;
    }
    assert.ok(refused > 45, String(refused));
  });

  test(`${kind}: exp, nbf and iat have a leeway of ${LEEWAY} s and not a second more`, async () => {
    assert.ok(await verify(kind, {}, {}, NOW + 300 + LEEWAY - 1));
    await assert.rejects(verify(kind, {}, {}, NOW + 300 + LEEWAY), EXPIRED);
    for (const claim of ['nbf', 'iat']) {
      assert.ok(await verify(kind, { [claim]: NOW + LEEWAY }), claim);
      await assert.rejects(verify(kind, { [claim]: NOW + LEEWAY + 1 }), INVALID, claim);
    }
  });

  test(`${kind}: it lives as long as its kind may, and a second more is refused, whoever signed it`, async () => {
    const { maxTtlSeconds } = TOKEN_PROFILES[kind];
    assert.ok(await verify(kind, { exp: NOW + maxTtlSeconds }));
    await assert.rejects(verify(kind, { exp: NOW + maxTtlSeconds + 1 }), INVALID);
  });

  test(`${kind}: its typ is pinned, and it passes for no other kind`, async () => {
    for (const typ of ['JWT', 'jwt', 'at+jwt', 'dpop+jwt', '', null, TOKEN_PROFILES[kind].typ.toUpperCase()]) {
      await assert.rejects(verify(kind, {}, { typ }), INVALID, String(typ));
    }
    const token = make(kind, rightClaims(kind));
    for (const other of KINDS) {
      const asked = verifier.verify(other, token, NOW * 1000);
      if (other === kind) assert.ok(await asked);
      else await assert.rejects(asked, INVALID, other);
    }
  });
}
