// 100,000 wrong tokens, made from right ones of every kind and of every algorithm: none is accepted, and each is refused in the
// one way in which the APIs answer 401 or 403, so that none becomes a 5xx. The right ones are verified in between.
import assert from 'node:assert/strict';
import { createHmac, generateKeyPairSync, sign } from 'node:crypto';
import test from 'node:test';
import { SUPERVISOR_AUDIENCE, TOKEN_PROFILES, type TokenKind } from '@airlock/contract/claims';
import { isAppError } from '@airlock/contract/errors';
import { SIGNING_ALGORITHMS, type SigningAlgorithm } from '@airlock/contract/signing-algorithms';
import {
  checkSignature,
  createVerifier,
  peekUnverifiedKind,
  readCompact,
  readKeySet,
  type TokenVerifier,
} from '@airlock/token-verify';
import { mutateToken } from '../../tests/kit/mutate-token.ts';
import { seededRandom } from '../../tests/kit/seed.ts';

const TRIES = 100_000;
const NOW = 1_782_864_000;
const KINDS = Object.keys(TOKEN_PROFILES) as TokenKind[];
const SECRET = Buffer.alloc(64, 'airlock');
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pairs = {
  EdDSA: generateKeyPairSync('ed25519'),
  RS256: rsa,
  RS512: rsa,
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }),
};

function claimsOf(kind: TokenKind): object {
  const bound = { cnf: { jkt: 'k'.repeat(43) } };
  const common = { jti: 'a'.repeat(32), iat: NOW, nbf: NOW, exp: NOW + 300 };
  if (kind === 'user') return { ...common, aud: 'rest', sub: 'ada' };
  const task = { ...common, sub: '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01' };
  if (kind === 'workload' || kind === 'execution') return { ...task, aud: 'urn:airflow.apache.org:task', scope: kind };
  return { ...task, aud: SUPERVISOR_AUDIENCE, ...bound };
}

/** One key of this algorithm: signs, and verifies as control does. */
function keyOf(alg: SigningAlgorithm): { sign: (input: string) => Buffer; verifier: TokenVerifier } {
  const options = { userAudience: 'rest', leewaySeconds: 10, cacheSize: 100 };
  if (!(alg in pairs)) {
    const set = readKeySet({ keys: [{ kty: 'oct', kid: 'k1', alg, k: SECRET.toString('base64url') }] });
    const check = async (compact: string) => {
      try {
        await checkSignature(compact, readCompact(compact), set);
        return true;
      } catch (error) {
        if (isAppError(error, 'TOKEN_INVALID')) return false;
        throw error;
      }
    };
    return {
      sign: (input) =>
        createHmac(`sha${alg.slice(2)}`, SECRET)
          .update(input)
          .digest(),
      verifier: createVerifier({ keys: { keys: [] }, secret: { kid: 'k1', alg, check }, ...options }),
    };
  }
  const { publicKey, privateKey } = pairs[alg as keyof typeof pairs];
  const hash = { EdDSA: null, RS256: 'sha256', RS512: 'sha512', ES256: 'sha256' }[alg as keyof typeof pairs];
  const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'k1', alg, use: 'sig' };
  return {
    sign: (input) => sign(hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }),
    verifier: createVerifier({ keys: { keys: [jwk as never] }, ...options }),
  };
}

for (const alg of SIGNING_ALGORITHMS) {
  test(`${alg}: no wrong token of any kind is accepted, and each is refused as one that is not valid`, async () => {
    const random = seededRandom(`fuzz ${alg}`);
    const { sign: signed, verifier } = keyOf(alg);
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const tokens = KINDS.map((kind) => {
      const input = `${encode({ alg, kid: 'k1', typ: TOKEN_PROFILES[kind].typ })}.${encode(claimsOf(kind))}`;
      return `${input}.${signed(input).toString('base64url')}`;
    });
    const tries = Math.ceil(TRIES / SIGNING_ALGORITHMS.length);
    for (let n = 0; n < tries; n++) {
      const wrong = mutateToken(random, tokens);
      // As the Execution API does; what names no kind is tried as any.
      const kind = peekUnverifiedKind(wrong) ?? random.pick(KINDS);
      const refusal = await verifier.verify(kind, wrong, NOW * 1000).then(
        () => assert.fail(`accepted as ${kind}: ${wrong}`),
        (error: unknown) => error,
      );
      assert.ok(isAppError(refusal, 'TOKEN_INVALID'), `${String(refusal)}: ${wrong}`);
      if (n % 1000 === 0) {
        for (const [at, each] of KINDS.entries()) assert.ok(await verifier.verify(each, tokens[at]!, NOW * 1000));
      }
    }
    process.stdout.write(`fuzz ${alg}: ${tries} wrong tokens, 0 accepted, each TOKEN_INVALID\n`);
  });
}
