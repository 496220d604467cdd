/**
 * Proof of possession (DPoP): the closed shape of the JWS that a supervisor makes for each request with its own key.
 * @see RFC 9449 4.2
 */
import { z } from 'zod';
import { publicJwk } from './claims.ts';

/** Oldest proof that is accepted, seconds. */
export const PROOF_MAX_AGE_SECONDS = 60;
/** How far the clock of the proof may run ahead, seconds. */
export const PROOF_MAX_AHEAD_SECONDS = 10;

/** Characters of the name of one server process, which a proof may name to be judged by that process alone. */
export const PROOF_NONCE = /^[A-Za-z0-9_-]{16,64}$/;

export const proofHeader = z.strictObject({ typ: z.literal('dpop+jwt'), alg: z.literal('EdDSA'), jwk: publicJwk });
export const proofClaims = z.strictObject({
  /** Unique per proof. */
  jti: z.string().min(16).max(128),
  /** Method, and address without query and fragment. */
  htm: z.string().max(16),
  htu: z.string().max(4096),
  /** Epoch seconds. */
  iat: z.number().min(0).max(0xffff_ffff),
  /**
   * The `DPoP-Nonce` of one server process. Only that process takes the proof, and remembers by itself that it has; without
   * it every process takes it, and they remember together, which costs a statement. RFC 9449 8.
   */
  nonce: z.string().regex(PROOF_NONCE).optional(),
  /** base64url SHA-256 of the token beside it; absent when there is none yet. */
  ath: z.string().length(43).optional(),
});
