/**
 * What `control` and `token-service` say to each other on the Unix socket `$AIRLOCK_HOME/run/token/token.sock`:
 * one JSON object per line in each direction, answers in any order, matched by `id`.
 * The service answers only a peer whose user id and process id it was told at start (SO_PEERCRED).
 */
import { z } from 'zod';
import { MAX_TOKEN_BYTES } from '../claims.ts';
import { jwksDocument } from '../jwks.ts';
import { SECRET_ALGORITHMS } from '../signing-algorithms.ts';

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
/** The keys by which tokens are verified. */
export const keysRequest = z.strictObject({ id: z.int(), op: z.literal('keys') });
/** Whether the secret signed this token; nothing is said about its claims. Only where tokens are signed with a secret. */
export const checkRequest = z.strictObject({
  id: z.int(),
  op: z.literal('check'),
  token: z.string().max(MAX_TOKEN_BYTES),
});
/** What an operator does with the keys that Airlock makes itself. */
export const listKeysRequest = z.strictObject({ id: z.int(), op: z.literal('list_keys') });
export const rotateKeyRequest = z.strictObject({ id: z.int(), op: z.literal('rotate_key') });
export const retireKeyRequest = z.strictObject({ id: z.int(), op: z.literal('retire_key'), kid: z.string().max(256) });
export const tokenServiceRequest = z.discriminatedUnion('op', [
  mintRequest,
  keysRequest,
  checkRequest,
  listKeysRequest,
  rotateKeyRequest,
  retireKeyRequest,
]);

export const verificationKeys = z.strictObject({
  jwks: jwksDocument,
  /** The secret's name and algorithm, when tokens are signed with one; `jwks` is empty then. */
  secret: z.strictObject({ kid: z.string(), alg: z.enum(SECRET_ALGORITHMS) }).nullable(),
});
export const listedKey = z.strictObject({
  kid: z.string(),
  alg: z.string(),
  /** next: published, does not sign yet; former: verifies what it signed; expired: nothing that it signed can be valid. */
  state: z.enum(['next', 'signing', 'former', 'expired']),
  /** Epoch second from which it signs; null = always has. */
  signs_from: z.int().nullable(),
  /** Epoch second after which it is dropped by itself; null = not yet known. */
  verifies_until: z.int().nullable(),
});
export const tokenServiceAnswer = z.union([
  z.strictObject({ id: z.int(), token: z.string() }),
  z.strictObject({ id: z.int(), keys: verificationKeys }),
  z.strictObject({ id: z.int(), valid: z.boolean() }),
  z.strictObject({ id: z.int(), listed: z.array(listedKey).readonly() }),
  z.strictObject({
    id: z.int(),
    error: z.strictObject({ code: z.string(), message: z.string(), remedy: z.string().optional() }),
  }),
]);
export type MintRequest = z.infer<typeof mintRequest>;
export type TokenServiceRequest = z.infer<typeof tokenServiceRequest>;
export type TokenServiceAnswer = z.infer<typeof tokenServiceAnswer>;
export type ListedKey = z.infer<typeof listedKey>;
export type VerificationKeys = z.infer<typeof verificationKeys>;

/** Longest line in either direction, bytes, line feed included. */
export const MAX_TOKEN_SERVICE_LINE_BYTES = 16 * 1024;
