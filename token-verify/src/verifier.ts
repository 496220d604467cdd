import {
  AIRFLOW_WORKLOAD_PROFILE,
  type ClaimsOf,
  TASK_AUDIENCE,
  TOKEN_PROFILES,
  type TokenKind,
} from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import type { JwksDocument } from '@airlock/contract/jwks';
import { parseObject, splitCompact } from './compact.ts';
import { checkSignature, invalid, readCompact, type SecretChecker } from './jws.ts';
import { type KeySet, publicKeyOf } from './key-set.ts';

export type VerifierOptions = {
  /** Public keys whose tokens count; each is named by its `kid`. */
  readonly keys: JwksDocument;
  /** `aud` of user tokens. */
  readonly userAudience: string;
  /** `aud` values accepted in workload and execution tokens; the wire's own by default. */
  readonly taskAudiences?: readonly string[];
  /** Keys of others that count too; a name that `keys` has is never theirs. */
  readonly trusted?: KeySet;
  /** The keys of others may also sign workload tokens in Airflow's own form; false by default. */
  readonly airflowWorkloads?: boolean;
  /** Where tokens are signed with a secret: who checks that. It must answer false for anything which is not signed by it. */
  readonly secret?: SecretChecker | null;
  /** `iss` values of which every token must carry one; absent or empty = no token may carry one. */
  readonly issuers?: readonly string[];
  /** Accepted clock difference for exp, nbf and iat, seconds. */
  readonly leewaySeconds: number;
  /** Verified tokens that are remembered, by their whole text; 0 = none. */
  readonly cacheSize?: number;
};

export type TokenVerifier = {
  /**
   * The claims of a token of exactly this kind: signed by a known `kid` with that key's algorithm, the kind's own `typ`,
   * audience, closed claims, and a lifetime that the kind allows. Nothing is negotiated, and nothing about revocation or state is known here.
   * @param nowMs epoch ms.
   * @throws TOKEN_EXPIRED only the time has run out · TOKEN_INVALID everything else, without saying what
   */
  readonly verify: <K extends TokenKind>(kind: K, compact: string, nowMs: number) => Promise<ClaimsOf[K]>;
};

type Times = { readonly iat: number; readonly nbf: number; readonly exp: number };
type Remembered = { readonly kind: TokenKind; readonly claims: Times };

const HEADER_FIELDS = 'alg,kid,typ';
const KIND_BY_TYP = new Map<unknown, TokenKind>([
  ...(Object.keys(TOKEN_PROFILES) as TokenKind[]).map((kind) => [TOKEN_PROFILES[kind].typ, kind] as const),
  [AIRFLOW_WORKLOAD_PROFILE.typ, 'workload'],
]);

/**
 * What kind a token says that it is, to choose the one profile which it then must fit. Nothing here is proven.
 * @returns null when it names none of ours.
 */
export function peekUnverifiedKind(compact: string): TokenKind | null {
  return KIND_BY_TYP.get(splitCompact(compact)?.header.typ) ?? null;
}

/** Whether a verified token came in the form of Airflow's scheduler. Its `typ` is part of what was signed. */
export function isOfAirflowForm(verified: string): boolean {
  return splitCompact(verified)?.header.typ === AIRFLOW_WORKLOAD_PROFILE.typ;
}

/** Builds the one verification function of a process. @throws CONFIG_INVALID a key that is none */
export function createVerifier(options: VerifierOptions): TokenVerifier {
  const own: KeySet = new Map(options.keys.keys.map((jwk) => [jwk.kid, publicKeyOf(jwk)] as const));
  const others: KeySet = new Map([...(options.trusted ?? [])].filter(([kid]) => !own.has(kid)));
  const keys: KeySet = new Map([...own, ...others]);
  const issuers = options.issuers ?? [];
  const taskAudiences = options.taskAudiences ?? [TASK_AUDIENCE];
  const audiencesOf = (kind: TokenKind): readonly string[] | null => {
    if (kind === 'user') return [options.userAudience];
    return kind === 'workload' || kind === 'execution' ? taskAudiences : null; // the rest is pinned by the profile itself
  };
  /** A token of Airflow's form is proven by the keys of others alone, never by ours and never by a secret. */
  const signersOf = (kind: TokenKind, typ: unknown) =>
    kind === 'workload' && options.airflowWorkloads === true && typ === AIRFLOW_WORKLOAD_PROFILE.typ
      ? { profile: AIRFLOW_WORKLOAD_PROFILE, by: others, secret: null }
      : { profile: TOKEN_PROFILES[kind], by: keys, secret: options.secret };
  const remembered = rememberer(options.cacheSize ?? 20_000);

  const prove = async (kind: TokenKind, compact: string): Promise<Times> => {
    const jws = readCompact(compact);
    const { profile, by, secret } = signersOf(kind, jws.header.typ);
    if (Object.keys(jws.header).sort().join() !== HEADER_FIELDS) throw invalid('other header fields');
    if (jws.header.typ !== profile.typ) throw invalid('other typ');
    await checkSignature(compact, jws, by, secret);
    const parsed = profile.claims.safeParse(parseObject(jws.payloadText));
    if (!parsed.success) throw invalid('claims', parsed.error);
    const claims = parsed.data;
    if (audiencesOf(kind)?.includes(claims.aud) === false) throw invalid('audience');
    if (issuers.length === 0 ? claims.iss !== undefined : !issuers.includes(claims.iss ?? '')) throw invalid('issuer');
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
