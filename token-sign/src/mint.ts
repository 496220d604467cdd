import { SUPERVISOR_AUDIENCE, TASK_AUDIENCE, TOKEN_PROFILES, type TokenKind } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import type { JwksDocument, MintRequest } from '@airlock/contract/ipc/token-service';
import { createVerifier } from '@airlock/token-verify';
import { SignJWT } from 'jose';
import type { SigningKey } from './key-file.ts';

export type SignerOptions = {
  readonly key: SigningKey;
  readonly issuer: string | null;
  readonly userAudience: string;
  readonly taskAudience?: string;
  /** Epoch ms; what the requester calls now may differ from it by 5 minutes at most. */
  readonly nowMs: () => number;
};

export type Signer = {
  /**
   * Signs one token and verifies it as a stranger would before it leaves. Equal requests give equal tokens.
   * @throws BAD_REQUEST a lifetime, audience, binding, subject or instant that the kind does not allow
   */
  readonly mint: (request: Omit<MintRequest, 'id' | 'op'>) => Promise<string>;
  readonly jwks: () => JwksDocument;
};

/** How far the caller's clock may be from ours. A caller who could name any instant could outlive every cap. */
const MAX_CLOCK_DIFFERENCE_MS = 300_000;

export function createSigner(options: SignerOptions): Signer {
  const { key } = options;
  const jwks: JwksDocument = { keys: [{ ...key.jwk, kid: key.kid, alg: 'EdDSA', use: 'sig' }] };
  const taskAudience = options.taskAudience ?? TASK_AUDIENCE;
  const verifier = createVerifier({
    keys: jwks,
    userAudience: options.userAudience,
    taskAudiences: [taskAudience],
    issuer: options.issuer,
    leewaySeconds: 0,
    cacheSize: 0,
  });

  return {
    jwks: () => jwks,
    mint: async (request) => {
      const { kind, sub, ttl_seconds: ttlSeconds, jti, jkt, now_ms: nowMs } = request;
      const profile = TOKEN_PROFILES[kind];
      const aud = audienceOf(kind, options.userAudience, taskAudience);
      if (request.aud !== undefined && request.aud !== aud) throw refused('audience', kind);
      if (ttlSeconds > profile.maxTtlSeconds) throw refused('lifetime', kind);
      if (Math.abs(nowMs - options.nowMs()) > MAX_CLOCK_DIFFERENCE_MS) throw refused('instant', kind);
      const iat = Math.floor(nowMs / 1000);
      const scope = kind === 'workload' || kind === 'execution' ? kind : undefined;
      const claims = {
        ...(options.issuer === null ? {} : { iss: options.issuer }),
        aud,
        sub,
        ...(scope ? { scope } : {}),
        jti,
        iat,
        nbf: iat,
        exp: iat + ttlSeconds,
        ...(jkt === undefined ? {} : { cnf: { jkt } }),
      };
      // The profile decides what a token of this kind may say; user tokens, for one, have no binding.
      const wellFormed = profile.claims.safeParse(claims);
      if (!wellFormed.success) throw refused('claims', kind, wellFormed.error);
      const token = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA', kid: key.kid, typ: profile.typ })
        .sign(key.privateKey);
      const seen = await verifier.verify(kind, token, iat * 1000);
      if (seen.sub !== sub || seen.jti !== jti || seen.exp - seen.iat !== ttlSeconds) {
        throw new AppError('INTERNAL', { public: 'The signer made a token that it does not recognise.' });
      }
      return token;
    },
  };
}

function audienceOf(kind: TokenKind, userAudience: string, taskAudience: string): string {
  if (kind === 'user') return userAudience;
  return kind === 'workload' || kind === 'execution' ? taskAudience : SUPERVISOR_AUDIENCE;
}

function refused(what: string, kind: TokenKind, cause?: unknown): AppError {
  return new AppError('BAD_REQUEST', { public: `The ${what} asked for is not allowed for a ${kind} token.`, cause });
}
