/**
 * The key of one supervisor process: made at its start, kept in memory only, and proven with every request.
 * @see RFC 9449 (DPoP), RFC 8037 (Ed25519 as JWK), RFC 7638 (thumbprint)
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';
import type { PublicJwk } from '@airlock/contract/claims';

const base64url = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('base64url');

export type ProofKey = {
  readonly publicJwk: PublicJwk;
  /**
   * A proof for one request. `url` is the full address without query; `token` the one that is sent beside it; `nonce` the
   * name of the one server process that shall take it, absent for any.
   * @returns a compact JWS; single use, good for a minute
   */
  proof(method: string, url: string, nowMs: number, token?: string, nonce?: string): string;
};

/**
 * Signs with Node's own synchronous Ed25519 (0.05 ms). jose signs through WebCrypto, which takes a turn on the thread pool
 * (0.3 ms), and a try makes at least four requests, one after the other; tests check these proofs with jose.
 */
export function createProofKey(): ProofKey {
  const pair = generateKeyPairSync('ed25519');
  const { x } = pair.publicKey.export({ format: 'jwk' });
  const publicJwk: PublicJwk = { kty: 'OKP', crv: 'Ed25519', x: String(x) };
  const header = base64url(JSON.stringify({ typ: 'dpop+jwt', alg: 'EdDSA', jwk: publicJwk }));
  return { publicJwk, proof: (...args) => makeProof(pair.privateKey, header, ...args) };
}

function makeProof(
  key: KeyObject,
  header: string,
  method: string,
  url: string,
  nowMs: number,
  token: string | undefined,
  nonce: string | undefined,
): string {
  const claims = {
    jti: randomBytes(16).toString('hex'),
    htm: method,
    htu: url,
    iat: Math.floor(nowMs / 1000),
    ...(token === undefined ? {} : { ath: createHash('sha256').update(token).digest('base64url') }),
    ...(nonce === undefined ? {} : { nonce }),
  };
  const input = `${header}.${base64url(JSON.stringify(claims))}`;
  return `${input}.${sign(null, Buffer.from(input), key).toString('base64url')}`;
}
