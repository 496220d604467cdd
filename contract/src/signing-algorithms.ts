/**
 * The signature algorithms of tokens. Without the schema library, since options are read with them.
 * @see RFC 7518 3.1, RFC 8037 3.1 (EdDSA)
 */

/** A key pair signs; everybody may hold the public half. */
export const PAIR_ALGORITHMS = ['EdDSA', 'RS256', 'RS512', 'ES256'] as const;
/** One secret both signs and verifies. */
export const SECRET_ALGORITHMS = ['HS256', 'HS384', 'HS512'] as const;
export const SIGNING_ALGORITHMS = [...PAIR_ALGORITHMS, ...SECRET_ALGORITHMS] as const;
export type PairAlgorithm = (typeof PAIR_ALGORITHMS)[number];
export type SecretAlgorithm = (typeof SECRET_ALGORITHMS)[number];
export type SigningAlgorithm = (typeof SIGNING_ALGORITHMS)[number];

/** Fewest bytes of a secret: the size of the hash. @see RFC 7518 3.2 */
export const LEAST_SECRET_BYTES: Readonly<Record<SecretAlgorithm, number>> = { HS256: 32, HS384: 48, HS512: 64 };
/** Fewest bits of an RSA modulus. @see RFC 7518 3.3 */
export const LEAST_RSA_BITS = 2048;
