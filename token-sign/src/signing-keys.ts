/**
 * The signing interface: all that minting asks of whoever holds the keys. Keys in files and a secret stand behind it here; a
 * KMS can, since nothing else in this process touches a private key and `sign` may take its time.
 */
import { createHmac, createPublicKey, createSecretKey, type KeyObject, sign } from 'node:crypto';
import { isAppError } from '@airlock/contract/errors';
import type { VerificationKeys } from '@airlock/contract/ipc/token-service';
import type { JwksKey } from '@airlock/contract/jwks';
import type { PairAlgorithm, SecretAlgorithm, SigningAlgorithm } from '@airlock/contract/signing-algorithms';
import {
  checkSignature,
  publicKeyOf,
  readCompact,
  type SecretChecker,
  thumbprint,
  type VerificationKey,
} from '@airlock/token-verify';

export type SigningKey = {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  /** The signature over exactly these bytes, in the form of RFC 7518 3. @throws KEY_UNAVAILABLE */
  readonly sign: (input: Buffer) => Promise<Buffer>;
};

export type SigningKeys = {
  /** The key that signs now. @throws KEY_UNAVAILABLE */
  readonly current: () => SigningKey;
  /** All keys whose tokens count now, the current one among them. The same object until they change. */
  readonly verificationKeys: () => VerificationKeys;
  /** Checks what the secret signed; null where key pairs sign. */
  readonly secret: SecretChecker | null;
};

/** A key pair of which we hold the private half. */
export type KeyPair = SigningKey & { readonly jwk: JwksKey };

const HASHES: Readonly<Record<PairAlgorithm, string | null>> = {
  EdDSA: null,
  RS256: 'sha256',
  RS512: 'sha512',
  ES256: 'sha256',
};

/**
 * @param kid null = the RFC 7638 thumbprint.
 * @throws CONFIG_INVALID an RSA key that can be broken · TypeError a key of another kind than `alg`
 */
export function keyPair(privateKey: KeyObject, alg: PairAlgorithm, kid: string | null): KeyPair {
  const exported = createPublicKey(privateKey).export({ format: 'jwk' });
  const name = kid ?? thumbprint(exported as Parameters<typeof thumbprint>[0]);
  const jwk = { ...exported, kid: name, alg, use: 'sig' } as JwksKey;
  publicKeyOf(jwk);
  return {
    kid: name,
    alg,
    jwk,
    sign: async (input) => sign(HASHES[alg], input, { key: privateKey, dsaEncoding: 'ieee-p1363' }),
  };
}

/** One key pair for as long as the process runs. */
export function oneKeyPair(pair: KeyPair): SigningKeys {
  const keys: VerificationKeys = { jwks: { keys: [pair.jwk] }, secret: null };
  return { current: () => pair, verificationKeys: () => keys, secret: null };
}

/** A secret, which signs and verifies here and nowhere else. @see decision 13 */
export function secretKey(secret: string, alg: SecretAlgorithm, kid: string): SigningKeys {
  const bytes = Buffer.from(secret);
  const key: VerificationKey = { kid, alg, key: createSecretKey(bytes) };
  const hash = `sha${alg.slice(2)}`;
  const keys: VerificationKeys = { jwks: { keys: [] }, secret: { kid, alg } };
  const only = new Map([[kid, key]]);
  return {
    current: () => ({ kid, alg, sign: async (input) => createHmac(hash, bytes).update(input).digest() }),
    verificationKeys: () => keys,
    secret: {
      kid,
      alg,
      check: async (compact) => {
        try {
          await checkSignature(compact, readCompact(compact), only);
          return true;
        } catch (error) {
          if (isAppError(error, 'TOKEN_INVALID')) return false;
          throw error;
        }
      },
    },
  };
}
