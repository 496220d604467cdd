// Project Wycheproof's JWS and JWK vectors: tokens with every known confusion of key and algorithm, and keys that must not be
// used. Everything invalid is refused, and everything valid of an algorithm of ours accepted, by the code that our tokens go
// through. Then none of their headers may pass on a token of ours, nor any of their tokens through a profile.
import assert from 'node:assert/strict';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { isAppError } from '@airlock/contract/errors';
import { SIGNING_ALGORITHMS } from '@airlock/contract/signing-algorithms';
import { checkSignature, createVerifier, readCompact, readKeySet, thumbprint } from '@airlock/token-verify';

type Jwk = Record<string, unknown>;
type Vector = { tcId: number; comment: string; jws: unknown; result: 'valid' | 'invalid' };
type Group = { comment: string; public?: Jwk; private: Jwk; tests: Vector[] };
const read = (name: string): Group[] => {
  const file = new URL(`../../tests/conformance/vectors/${name}`, import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { testGroups: Group[] }).testGroups;
};
const signatures = read('json_web_signature_test.json');
const keys = read('json_web_key_test.json');

/** Called valid there, although their text is not base64url ("?" inside), RFC 7515 section 2: we refuse them. */
const NOT_BASE64URL = [372, 373];

/** Called invalid there ("invalidBase64Padding"), but byte for byte the valid vector 357: no verifier can tell them apart. */
const SAME_AS_A_VALID_ONE = [367, 370];

/** Whether the signature is accepted by a set of exactly the group's keys. Errors other than a refusal come through. */
async function accepts(group: Group, jws: unknown): Promise<boolean> {
  const given = group.public ?? group.private;
  const compact = typeof jws === 'string' ? jws : JSON.stringify(jws);
  try {
    const set = readKeySet('keys' in given ? given : { keys: [given] });
    await checkSignature(compact, readCompact(compact), set);
    return true;
  } catch (error) {
    if (isAppError(error, 'TOKEN_INVALID', 'CONFIG_INVALID')) return false;
    throw error;
  }
}
/** What the token's header asks for, if it can be read at all. */
function algorithmOf(jws: unknown): string {
  try {
    const header = Buffer.from(String(jws).split('.')[0]!, 'base64url').toString();
    return String((JSON.parse(header) as { alg?: unknown }).alg);
  } catch {
    return '(none)';
  }
}
const isOurs = (alg: string) => SIGNING_ALGORITHMS.some((each) => each === alg);

for (const [name, groups, count] of [
  ['JWS', signatures, 401],
  ['JWK', keys, 26],
] as const) {
  test(`${name}: every invalid vector is refused, every valid one of our algorithms accepted`, async (t) => {
    const table = new Map<string, [valid: number, accepted: number, invalid: number, refused: number]>();
    const listed: number[] = [];
    const contradicting: number[] = [];
    const wrong: string[] = [];
    let seen = 0;
    for (const group of groups) {
      const valid = new Set(group.tests.flatMap(({ jws, result }) => (result === 'valid' ? [jws] : [])));
      for (const { tcId, comment, jws, result } of group.tests) {
        seen++;
        if (result === 'invalid' && valid.has(jws)) {
          contradicting.push(tcId);
          continue;
        }
        const accepted = await accepts(group, jws);
        const alg = algorithmOf(jws);
        const expected = result === 'valid' && isOurs(alg) && !NOT_BASE64URL.includes(tcId);
        if (accepted !== expected) wrong.push(`${tcId} ${group.comment} ${comment}: accepted ${accepted}`);
        if (result === 'valid' && isOurs(alg) && !accepted) listed.push(tcId);
        const row = table.get(group.comment) ?? [0, 0, 0, 0];
        table.set(group.comment, row);
        row[result === 'valid' ? 0 : 2]++;
        if (result === 'valid' ? accepted : !accepted) row[result === 'valid' ? 1 : 3]++;
      }
    }
    t.diagnostic(`${name} group: accepted of valid, refused of invalid`);
    for (const [group, [valid, accepted, invalid, refused]] of table) {
      t.diagnostic(`${group}: ${accepted}/${valid}, ${refused}/${invalid}`);
    }
    t.diagnostic(`valid, of our algorithms, and refused: ${listed.join(', ') || 'none'}`);
    t.diagnostic(`called invalid, and the same text as a valid one: ${contradicting.join(', ') || 'none'}`);
    assert.equal(seen, count);
    assert.deepEqual(contradicting, name === 'JWS' ? SAME_AS_A_VALID_ONE : []);
    assert.deepEqual(wrong, []);
    assert.deepEqual(listed, name === 'JWS' ? NOT_BASE64URL : []);
  });
}

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

test('no vector, valid or not, passes the profile of a token, even where its keys are trusted', async () => {
  for (const group of signatures) {
    const set = group.public ?? group.private;
    const trusted = ['RS256', 'RS512', 'ES256'].includes(String(set.alg)) && set.kty !== 'oct' ? [set] : [];
    const all = createVerifier({
      keys: { keys: trusted.map(({ key_ops: _, ...each }) => ({ ...each, use: 'sig' })) as never },
      userAudience: 'rest',
      leewaySeconds: 10,
    });
    for (const { tcId, comment, jws } of group.tests) {
      const text = typeof jws === 'string' ? jws : JSON.stringify(jws);
      await assert.rejects(all.verify('execution', text, NOW * 1000), { code: 'TOKEN_INVALID' }, `${tcId} ${comment}`);
    }
  }
});

test('every header of the vectors is refused on our claims, signed with our key', async () => {
  const headers = new Set(
    signatures.flatMap((group) =>
      group.tests.flatMap(({ jws }) => (typeof jws === 'string' ? [jws.split('.')[0]!] : [])),
    ),
  );
  assert.ok(headers.size > 30, String(headers.size));
  for (const header of headers) await assert.rejects(verify(signed(header)), { code: 'TOKEN_INVALID' }, header);
});
