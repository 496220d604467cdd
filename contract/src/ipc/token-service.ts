/**
 * What `control` and `token-service` say to each other on the Unix socket `$AIRLOCK_HOME/run/token/token.sock`:
 * one JSON object per line in each direction, answers in any order, matched by `id`.
 * The service answers only a peer whose user id and process id it was told at start (SO_PEERCRED).
 */
import { z } from 'zod';
import { publicJwk } from '../claims.ts';

export const mintRequest = z.strictObject({
  id: z.int(),
  op: z.literal('mint'),
  kind: z.enum(['user', 'workload', 'execution', 'worker', 'parse', 'trigger']),
  sub: z.string().min(1).max(250),
  /** Whole seconds; refused beyond the kind's `maxTtlSeconds`. */
  ttl_seconds: z.int().min(1),
  /** 32 hex digits chosen by the caller, so that it can be stored in the same transaction. */
  jti: z.string(),
  /** Audience, for the kinds where configuration names it; otherwise the profile's. */
  aud: z.string().optional(),
  /** Thumbprint of the key to bind to; required for worker, parse, trigger. */
  jkt: z.string().optional(),
  now_ms: z.int(),
});
export const jwksRequest = z.strictObject({ id: z.int(), op: z.literal('jwks') });
export const tokenServiceRequest = z.discriminatedUnion('op', [mintRequest, jwksRequest]);

export const jwksKey = publicJwk.extend({ kid: z.string(), alg: z.literal('EdDSA'), use: z.literal('sig') });
export const jwksDocument = z.strictObject({ keys: z.array(jwksKey).min(1) });
export const tokenServiceAnswer = z.union([
  z.strictObject({ id: z.int(), token: z.string() }),
  z.strictObject({ id: z.int(), jwks: jwksDocument }),
  z.strictObject({ id: z.int(), error: z.strictObject({ code: z.string(), message: z.string() }) }),
]);
export type MintRequest = z.infer<typeof mintRequest>;
export type TokenServiceRequest = z.infer<typeof tokenServiceRequest>;
export type TokenServiceAnswer = z.infer<typeof tokenServiceAnswer>;
export type JwksDocument = z.infer<typeof jwksDocument>;

/** Longest line in either direction, bytes, line feed included. */
export const MAX_TOKEN_SERVICE_LINE_BYTES = 16 * 1024;
