import { createHash } from 'node:crypto';
import type { PublicJwk } from '@airlock/contract/claims';

/**
 * The name of a public Ed25519 key: base64url of the SHA-256 over its required members in lexical order, 43 characters.
 * Synchronous, unlike jose's, because the proof of possession of each request asks for it.
 * @see RFC 7638 3, RFC 8037 A.3 (test vector)
 */
export function thumbprint(jwk: PublicJwk): string {
  return createHash('sha256').update(`{"crv":"${jwk.crv}","kty":"${jwk.kty}","x":"${jwk.x}"}`).digest('base64url');
}
