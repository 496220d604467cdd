import { SUPERVISOR_AUDIENCE, TASK_AUDIENCE, TOKEN_PROFILES, type TokenKind } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import type { MintRequest, VerificationKeys } from '@airlock/contract/ipc/token-service';
import { createVerifier, type TokenVerifier } from '@airlock/token-verify';
import type { SigningKey, SigningKeys } from './signing-keys.ts';

export type SignerOptions = {
  readonly keys: SigningKeys;
  readonly issuer: string | null;
  readonly userAudience: string;
  readonly taskAudience?: string;
  /** Epoch ms; what the requester calls now may differ from it by 5 minutes at most. */
  readonly nowMs: () => number;
};

export type Signer = {
  /**
   * Signs one token and verifies it as a stranger would before it leaves. Equal requests give equal claims; while one key
   * signs, and with every algorithm but ES256, also equal bytes.
   * @throws BAD_REQUEST a lifetime, audience, binding, subject or instant that the kind does not allow
   */
  readonly mint: (request: Omit<MintRequest, 'id' | 'op'>) => Promise<string>;
};

/** How far the caller's clock may be from ours. A caller who could name any instant could outlive every cap. */
const MAX_CLOCK_DIFFERENCE_MS = 300_000;

export function createSigner(options: SignerOptions): Signer {
  const taskAudience = options.taskAudience ?? TASK_AUDIENCE;
  let verifier: TokenVerifier | null = null;
  let verifiesBy: VerificationKeys | null = null;
  /** The code that a stranger would run, with the keys of this moment. */
  const verifierNow = (): TokenVerifier => {
    const keys = options.keys.verificationKeys();
    if (verifier && verifiesBy === keys) return verifier;
    verifiesBy = keys;
    verifier = createVerifier({
      keys: keys.jwks,
      secret: options.keys.secret,
      userAudience: options.userAudience,
      taskAudiences: [taskAudience],
      issuers: options.issuer === null ? [] : [options.issuer],
      leewaySeconds: 0,
      cacheSize: 0,
    });
    return verifier;
  };

  return {
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
      const key = options.keys.current();
      const stranger = verifierNow();
      const token = await signCompact(key, profile.typ, claims);
      const seen = await stranger.verify(kind, token, iat * 1000);
      if (seen.sub !== sub || seen.jti !== jti || seen.exp - seen.iat !== ttlSeconds) {
        throw new AppError('INTERNAL', { public: 'The signer made a token that it does not recognise.' });
      }
      return token;
    },
  };
}

/** @see RFC 7515 7.1 */
async function signCompact(key: SigningKey, typ: string, claims: object): Promise<string> {
  const input = `${encode({ alg: key.alg, kid: key.kid, typ })}.${encode(claims)}`;
  return `${input}.${(await key.sign(Buffer.from(input))).toString('base64url')}`;
}

function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString('base64url');
}

function audienceOf(kind: TokenKind, userAudience: string, taskAudience: string): string {
  if (kind === 'user') return userAudience;
  return kind === 'workload' || kind === 'execution' ? taskAudience : SUPERVISOR_AUDIENCE;
}

function refused(what: string, kind: TokenKind, cause?: unknown): AppError {
  return new AppError('BAD_REQUEST', { public: `The ${what} asked for is not allowed for a ${kind} token.`, cause });
}
