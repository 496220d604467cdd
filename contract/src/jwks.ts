/** Public keys as they are published. @see RFC 7517 4, RFC 8037 2, docs/security/jwt_token_authentication.md */
import { z } from 'zod';

const coordinate = z.string().regex(/^[A-Za-z0-9_-]{43}$/);
const named = { kid: z.string().min(1).max(256), use: z.literal('sig') };
/** One published key. Closed: a private member has no place in it. */
export const jwksKey = z.discriminatedUnion('kty', [
  z.strictObject({
    ...named,
    kty: z.literal('OKP'),
    crv: z.literal('Ed25519'),
    x: coordinate,
    alg: z.literal('EdDSA'),
  }),
  z.strictObject({
    ...named,
    kty: z.literal('EC'),
    crv: z.literal('P-256'),
    x: coordinate,
    y: coordinate,
    alg: z.literal('ES256'),
  }),
  z.strictObject({
    ...named,
    kty: z.literal('RSA'),
    // At most 8192 bits: the signature must fit into a token of 4 KiB.
    n: z.string().regex(/^[A-Za-z0-9_-]{2,1366}$/),
    e: z.string().regex(/^[A-Za-z0-9_-]{1,8}$/),
    alg: z.enum(['RS256', 'RS512']),
  }),
]);
/** Empty when tokens are signed with a secret, which is never published. */
export const jwksDocument = z.strictObject({ keys: z.array(jwksKey).max(100) });
export type JwksKey = z.infer<typeof jwksKey>;
export type JwksDocument = z.infer<typeof jwksDocument>;
