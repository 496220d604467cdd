import { createHash } from 'node:crypto';

/** The public members of a key, of any kind that we know. */
export type ThumbprintedJwk =
  | { readonly kty: 'OKP'; readonly crv: string; readonly x: string }
  | { readonly kty: 'EC'; readonly crv: string; readonly x: string; readonly y: string }
  | { readonly kty: 'RSA'; readonly n: string; readonly e: string };

/**
 * The name of a public key: base64url of the SHA-256 over its required members in lexical order, 43 characters.
 * Synchronous, unlike jose's, because the proof of possession of each request asks for it.
 * @see RFC 7638 3.2, RFC 8037 A.3, RFC 7638 3.1 (test vectors)
 */
export function thumbprint(jwk: ThumbprintedJwk): string {
  return createHash('sha256').update(requiredMembers(jwk)).digest('base64url');
}

function requiredMembers(jwk: ThumbprintedJwk): string {
  if (jwk.kty === 'RSA') return JSON.stringify({ e: jwk.e, kty: jwk.kty, n: jwk.n });
  if (jwk.kty === 'EC') return JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x, y: jwk.y });
  return JSON.stringify({ crv: jwk.crv, kty: jwk.kty, x: jwk.x });
}
