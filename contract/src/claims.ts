/**
 * The closed claim profiles, one per token kind. A token is accepted by exactly one profile or not at all:
 * `typ`, audience, claim names and claim types are all fixed here, and nothing about them is negotiated.
 * @see docs/security/jwt_token_authentication.md; RFC 7519 4.1, RFC 8725 3.11 (typ), RFC 7800 3.1 (cnf)
 */
import { z } from 'zod';

/** Largest compact token, in bytes, that is looked at. */
export const MAX_TOKEN_BYTES = 4096;
export { TASK_AUDIENCE } from './config/audiences.ts';
export const SUPERVISOR_AUDIENCE = 'urn:airlock:supervisor';

const uuid = z.string().regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/);
const seconds = z.int().min(0).max(0xffff_ffff);
/** 32 hex digits, unique per token; what revocation and single use name. */
const jti = z.string().regex(/^[0-9a-f]{32}$/);
/** Thumbprint (RFC 7638) of the key whose possession every request must prove. */
const confirmation = z.strictObject({ jkt: z.string().regex(/^[A-Za-z0-9_-]{43}$/) });
const registered = {
  iss: z.string().min(1).max(256).optional(),
  iat: seconds,
  nbf: seconds,
  exp: seconds,
  jti,
};

export const userClaims = z.strictObject({ ...registered, aud: z.string(), sub: z.string().min(1).max(250) });
export const workloadClaims = z.strictObject({
  ...registered,
  aud: z.string(),
  sub: uuid,
  scope: z.literal('workload'),
  cnf: confirmation.optional(),
});
/** As Airflow's own scheduler makes them: the same claims, and no way to bind them to a key. */
const airflowWorkloadClaims = workloadClaims.omit({ cnf: true });
export const executionClaims = z.strictObject({
  ...registered,
  aud: z.string(),
  sub: uuid,
  scope: z.literal('execution'),
  cnf: confirmation.optional(),
});
/** worker, parse and trigger tokens always prove possession: their holders are all ours. */
export const supervisorClaims = z.strictObject({
  ...registered,
  aud: z.literal(SUPERVISOR_AUDIENCE),
  sub: uuid,
  cnf: confirmation,
});

export type TokenKind = 'user' | 'workload' | 'execution' | 'worker' | 'parse' | 'trigger';

/** Kind → `typ`, schema of the claims, and the longest lifetime that the signer grants. */
export const TOKEN_PROFILES = {
  user: { typ: 'airlock-user+jwt', claims: userClaims, maxTtlSeconds: 7 * 86_400 },
  workload: { typ: 'airlock-workload+jwt', claims: workloadClaims, maxTtlSeconds: 86_400 },
  execution: { typ: 'airlock-execution+jwt', claims: executionClaims, maxTtlSeconds: 300 },
  worker: { typ: 'airlock-worker+jwt', claims: supervisorClaims, maxTtlSeconds: 300 },
  parse: { typ: 'airlock-parse+jwt', claims: supervisorClaims, maxTtlSeconds: 300 },
  trigger: { typ: 'airlock-trigger+jwt', claims: supervisorClaims, maxTtlSeconds: 300 },
} as const satisfies Record<TokenKind, { typ: string; claims: z.ZodType; maxTtlSeconds: number }>;

/**
 * Workload tokens of an Airflow scheduler, accepted only where `[execution_api] airflow_workload_tokens` says so, and only
 * by keys of `[api_auth] trusted_jwks_url`. No key of ours ever signs this `typ`. @see execution API 2.1
 */
export const AIRFLOW_WORKLOAD_PROFILE = { typ: 'JWT', claims: airflowWorkloadClaims, maxTtlSeconds: 86_400 } as const;

export type UserClaims = z.infer<typeof userClaims>;
export type WorkloadClaims = z.infer<typeof workloadClaims>;
export type ExecutionClaims = z.infer<typeof executionClaims>;
export type SupervisorClaims = z.infer<typeof supervisorClaims>;
export type ClaimsOf = {
  user: UserClaims;
  workload: WorkloadClaims;
  execution: ExecutionClaims;
  worker: SupervisorClaims;
  parse: SupervisorClaims;
  trigger: SupervisorClaims;
};
/** A public Ed25519 key as JSON, RFC 8037 2. */
export const publicJwk = z.strictObject({
  kty: z.literal('OKP'),
  crv: z.literal('Ed25519'),
  x: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
});
export type PublicJwk = z.infer<typeof publicJwk>;
