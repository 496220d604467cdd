/** Keys, proofs of possession and tokens as a client makes them, good or bad. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { PublicJwk } from '@airlock/contract/claims';
import { thumbprint } from '@airlock/token-verify';

export type Key = { readonly privateKey: KeyObject; readonly jwk: PublicJwk; readonly jkt: string };

export function newKey(): Key {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const { x } = publicKey.export({ format: 'jwk' });
  const jwk = { kty: 'OKP', crv: 'Ed25519', x: x! } as const;
  return { privateKey, jwk, jkt: thumbprint(jwk) };
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

/** Any JWS, good or bad. */
export function forge(header: object, payload: object, key: KeyObject): string {
  const input = `${part(header)}.${part(payload)}`;
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
}

export type ProofParts = {
  htm: string;
  htu: string;
  iat: number;
  token: string | null;
  jti?: string;
  over?: object;
  header?: object;
};

export function makeProof(key: Key, parts: ProofParts): string {
  const ath = parts.token === null ? {} : { ath: createHash('sha256').update(parts.token).digest('base64url') };
  const payload = {
    jti: parts.jti ?? randomBytes(16).toString('hex'),
    htm: parts.htm,
    htu: parts.htu,
    iat: parts.iat,
    ...ath,
  };
  return forge(
    { typ: 'dpop+jwt', alg: 'EdDSA', jwk: key.jwk, ...parts.header },
    { ...payload, ...parts.over },
    key.privateKey,
  );
}
