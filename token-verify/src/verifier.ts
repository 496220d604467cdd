import { createPublicKey, type KeyObject } from 'node:crypto';
import { type ClaimsOf, TASK_AUDIENCE, TOKEN_PROFILES, type TokenKind } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import type { JwksDocument } from '@airlock/contract/ipc/token-service';
import { compactVerify } from 'jose';
import { parseObject, splitCompact } from './compact.ts';

export type VerifierOptions = {
  /** Public keys whose tokens count; each is named by its `kid`. */
  readonly keys: JwksDocument;
  /** `aud` of user tokens. */
  readonly userAudience: string;
  /** `aud` values accepted in workload and execution tokens; the wire's own by default. */
  readonly taskAudiences?: readonly string[];
  /** `iss` that every token must carry; absent or null = no token may carry one. */
  readonly issuer?: string | null;
  /** Accepted clock difference for exp, nbf and iat, seconds. */
  readonly leewaySeconds: number;
  /** Verified tokens that are remembered, by their whole text; 0 = none. */
  readonly cacheSize?: number;
};

export type TokenVerifier = {
  /**
   * The claims of a token of exactly this kind: EdDSA by a known `kid`, the kind's own `typ`, audience, closed claims, and
   * a lifetime that the kind allows. Nothing is negotiated, and nothing about revocation or state is known here.
   * @param nowMs epoch ms.
   * @throws TOKEN_EXPIRED only the time has run out · TOKEN_INVALID everything else, without saying what
   */
  readonly verify: <K extends TokenKind>(kind: K, compact: string, nowMs: number) => Promise<ClaimsOf[K]>;
};

type Times = { readonly iat: number; readonly nbf: number; readonly exp: number };
type Remembered = { readonly kind: TokenKind; readonly claims: Times };

const HEADER_FIELDS = 'alg,kid,typ';
const KIND_BY_TYP = new Map<unknown, TokenKind>(
  (Object.keys(TOKEN_PROFILES) as TokenKind[]).map((kind) => [TOKEN_PROFILES[kind].typ, kind]),
);

/**
 * What kind a token says that it is, to choose the one profile which it then must fit. Nothing here is proven.
 * @returns null when it names none of ours.
 */
export function peekUnverifiedKind(compact: string): TokenKind | null {
  return KIND_BY_TYP.get(splitCompact(compact)?.header.typ) ?? null;
}

/** Builds the one verification function of a process. @throws TypeError a key that is no Ed25519 key */
export function createVerifier(options: VerifierOptions): TokenVerifier {
  const keys = new Map<string, KeyObject>(
    options.keys.keys.map((jwk) => [
      jwk.kid,
      createPublicKey({ key: { kty: jwk.kty, crv: jwk.crv, x: jwk.x }, format: 'jwk' }),
    ]),
  );
  const taskAudiences = options.taskAudiences ?? [TASK_AUDIENCE];
  const audiencesOf = (kind: TokenKind): readonly string[] | null => {
    if (kind === 'user') return [options.userAudience];
    return kind === 'workload' || kind === 'execution' ? taskAudiences : null; // the rest is pinned by the profile itself
  };
  const remembered = rememberer(options.cacheSize ?? 20_000);

  const prove = async (kind: TokenKind, compact: string): Promise<Times> => {
    const profile = TOKEN_PROFILES[kind];
    const jws = splitCompact(compact);
    if (!jws) throw invalid('not a compact Ed25519 token of at most 4 KiB');
    const { header } = jws;
    if (Object.keys(header).sort().join() !== HEADER_FIELDS) throw invalid('other header fields');
    if (header.alg !== 'EdDSA') throw invalid('other algorithm');
    if (header.typ !== profile.typ) throw invalid('other typ');
    const key = typeof header.kid === 'string' ? keys.get(header.kid) : undefined;
    if (!key) throw invalid('unknown key');
    try {
      await compactVerify(compact, key, { algorithms: ['EdDSA'] });
    } catch (cause) {
      throw invalid('signature', cause);
    }
    const parsed = profile.claims.safeParse(parseObject(jws.payloadText));
    if (!parsed.success) throw invalid('claims', parsed.error);
    const claims = parsed.data;
    if (audiencesOf(kind)?.includes(claims.aud) === false) throw invalid('audience');
    if (claims.iss !== (options.issuer ?? undefined)) throw invalid('issuer');
    const ttl = claims.exp - claims.iat;
    if (ttl <= 0 || ttl > profile.maxTtlSeconds) throw invalid('lifetime');
    return claims;
  };

  return {
    verify: async <K extends TokenKind>(kind: K, compact: string, nowMs: number): Promise<ClaimsOf[K]> => {
      let found = remembered.get(compact);
      if (found?.kind !== kind) {
        found = { kind, claims: await prove(kind, compact) };
        remembered.put(compact, found);
      }
      checkTimes(found.claims, nowMs / 1000, options.leewaySeconds);
      if (found.claims.exp * 1000 <= nowMs) remembered.drop(compact);
      return found.claims as ClaimsOf[K];
    },
  };
}

function checkTimes(claims: Times, nowSeconds: number, leewaySeconds: number): void {
  if (claims.nbf > nowSeconds + leewaySeconds || claims.iat > nowSeconds + leewaySeconds)
    throw invalid('not yet valid');
  if (claims.exp <= nowSeconds - leewaySeconds) {
    throw new AppError('TOKEN_EXPIRED', { public: 'The token has expired.', internal: { exp: claims.exp } });
  }
}

function invalid(why: string, cause?: unknown): AppError {
  return new AppError('TOKEN_INVALID', { public: 'The token is not valid.', internal: { why }, cause });
}

/** Oldest out first. The key is the whole token text, so a hit says no more than a second verification would. */
function rememberer(size: number) {
  const byText = new Map<string, Remembered>();
  return {
    get: (compact: string) => byText.get(compact),
    put: (compact: string, entry: Remembered) => {
      if (size === 0) return;
      if (byText.size >= size) byText.delete(byText.keys().next().value as string);
      byText.set(compact, entry);
    },
    drop: (compact: string) => void byText.delete(compact),
  };
}
