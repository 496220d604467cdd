/**
 * The keys by which tokens are verified, and what makes a key unfit. Checked before jose sees a key: jose takes a key for
 * encryption, a second key of the same name, and moduli that are known to be breakable.
 * @see RFC 7517 4.2, 4.3, 5; RFC 7518 3.2 to 3.4; Project Wycheproof, JSON Web Key
 */
import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import { type JwksKey, jwksKey } from '@airlock/contract/jwks';
import { z } from '@airlock/contract/schema';
import {
  LEAST_RSA_BITS,
  LEAST_SECRET_BYTES,
  PAIR_ALGORITHMS,
  SECRET_ALGORITHMS,
  type SigningAlgorithm,
} from '@airlock/contract/signing-algorithms';
import { hasRocaFingerprint } from './roca.ts';

export type VerificationKey = {
  readonly kid: string;
  /** The one algorithm that this key serves. */
  readonly alg: SigningAlgorithm;
  readonly key: KeyObject;
};
/** By `kid`. */
export type KeySet = ReadonlyMap<string, VerificationKey>;

const MAX_KEYS = 100;
const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth'];
/** Fewer would let a forged signature be made by taking a root. @see FIPS 186-5 A.1.1 */
const LEAST_RSA_EXPONENT = 65_537n;

const anyKey = z.looseObject({ kty: z.string(), kid: z.string().min(1).max(256) });
const anySet = z.looseObject({ keys: z.array(z.unknown()).max(MAX_KEYS) });

/**
 * Reads a JWK set. Keys that are not for signatures, or of an algorithm that we do not know, are left out; a set that mixes
 * secrets with public keys, holds a private key, repeats a `kid`, or holds a key that can be broken is refused whole.
 * @param rsaAlgorithm for RSA keys without `alg`.
 * @throws CONFIG_INVALID saying which key and why; never quotes a key
 */
export function readKeySet(untrusted: unknown, rsaAlgorithm: 'RS256' | 'RS512' = 'RS256'): KeySet {
  const set = anySet.safeParse(untrusted);
  if (!set.success) throw unfit(`is no JSON object with at most ${MAX_KEYS} keys`);
  const keys = set.data.keys.map((each) => {
    const key = anyKey.safeParse(each);
    if (!key.success) throw unfit('holds a key without kty or kid');
    return key.data;
  });
  const names = keys.map(({ kid }) => kid);
  const repeated = names.find((kid, at) => names.indexOf(kid) !== at);
  if (repeated !== undefined) throw unfit(`has more than one key named ${shown(repeated)}`);
  const secrets = keys.filter(({ kty }) => kty === 'oct').length;
  if (secrets > 0 && secrets < keys.length) throw unfit('mixes secrets with public keys');
  for (const key of keys) {
    if (PRIVATE_MEMBERS.some((member) => member in key)) throw unfit(`holds the private key ${shown(key.kid)}`);
  }
  const found = new Map<string, VerificationKey>();
  for (const key of keys) {
    if (!isForSignatures(key)) continue;
    const read = key.kty === 'oct' ? readSecret(key) : readPublic(key, rsaAlgorithm);
    if (read) found.set(read.kid, read);
  }
  return found;
}

type AnyKey = z.infer<typeof anyKey>;

function isForSignatures(key: AnyKey): boolean {
  if (key.use !== undefined && key.use !== 'sig') return false;
  return key.key_ops === undefined || (Array.isArray(key.key_ops) && key.key_ops.includes('verify'));
}

function readSecret(key: AnyKey): VerificationKey | null {
  const alg = SECRET_ALGORITHMS.find((each) => each === key.alg);
  if (!alg) return null;
  const bytes = Buffer.from(typeof key.k === 'string' ? key.k : '', 'base64url');
  if (bytes.length < LEAST_SECRET_BYTES[alg]) throw unfit(`holds the secret ${shown(key.kid)}, too short for ${alg}`);
  return { kid: key.kid, alg, key: createSecretKey(bytes) };
}

const GUESSES: Readonly<Record<string, string>> = { OKP: 'EdDSA', EC: 'ES256' };

function readPublic(key: AnyKey, rsaAlgorithm: string): VerificationKey | null {
  const alg = key.alg ?? (key.kty === 'RSA' ? rsaAlgorithm : GUESSES[key.kty]);
  if (!PAIR_ALGORITHMS.some((each) => each === alg)) return null;
  const { kid, kty, crv, x, y, n, e } = key;
  const parsed = jwksKey.safeParse(withoutAbsent({ kid, kty, crv, x, y, n, e, alg, use: 'sig' }));
  if (!parsed.success) throw unfit(`holds the key ${shown(kid)}, which is none for ${String(alg)}`);
  return publicKeyOf(parsed.data);
}

/** One checked key. @throws CONFIG_INVALID a point off its curve, an RSA key that can be broken */
export function publicKeyOf(jwk: JwksKey): VerificationKey {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: jwk, format: 'jwk' });
  } catch {
    throw unfit(`holds the key ${shown(jwk.kid)}, which is no valid ${jwk.kty} key`);
  }
  if (jwk.kty === 'RSA') checkRsa(key, jwk);
  return { kid: jwk.kid, alg: jwk.alg, key };
}

function checkRsa(key: KeyObject, jwk: { readonly kid: string; readonly n: string }): void {
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (modulusLength < LEAST_RSA_BITS) {
    throw unfit(`holds the RSA key ${shown(jwk.kid)} of ${modulusLength} bits, and ${LEAST_RSA_BITS} are the least`);
  }
  if (publicExponent < LEAST_RSA_EXPONENT || publicExponent % 2n === 0n) {
    throw unfit(`holds the RSA key ${shown(jwk.kid)} with the exponent ${publicExponent}, and 65537 is the least`);
  }
  if (hasRocaFingerprint(BigInt(`0x${Buffer.from(jwk.n, 'base64url').toString('hex')}`))) {
    throw unfit(`holds the RSA key ${shown(jwk.kid)}, which has the ROCA weakness (CVE-2017-15361)`);
  }
}

function withoutAbsent(members: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

/** A name for a message: bounded, and without what could confuse a terminal. */
function shown(kid: string): string {
  return JSON.stringify(kid.slice(0, 64));
}

function unfit(why: string): AppError {
  return new AppError('CONFIG_INVALID', {
    public: `The key set ${why}.`,
    remedy: 'Publish public keys for signatures only, each with a name of its own.',
  });
}
