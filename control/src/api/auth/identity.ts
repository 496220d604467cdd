/**
 * Who sent a request. The token says the name and nothing more: role, disabling and revocation are looked up, and what was
 * looked up is believed for at most a second, or until the store says that an account changed.
 * @see rest-api 2.1; promises L18, L19, L20
 */
import type { UserClaims } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import { getStanding, type Standing } from '@airlock/store/queries/account/get';
import type { FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';

/** Longest time that a standing is believed without asking again, ms. */
export const STANDING_TTL_MS = 1_000;
const MAX_CACHED = 5_000;

const SCHEME = /^bearer +([^ ]+) *$/i;

/** The value of one cookie, quotes removed; null when absent or empty. */
export function readCookie(header: string | undefined, name: string): string | null {
  for (const part of (header ?? '').split(';')) {
    const at = part.indexOf('=');
    if (at < 0 || part.slice(0, at).trim() !== name) continue;
    const value = part
      .slice(at + 1)
      .trim()
      .replace(/^"(.*)"$/, '$1');
    if (value !== '') return value;
  }
  return null;
}

/** Every credential that a request presents; a bearer always goes before the cookie. */
export function presentedTokens(request: FastifyRequest): Array<{ via: 'bearer' | 'cookie'; token: string }> {
  const bearer = SCHEME.exec(request.headers.authorization ?? '')?.[1];
  const cookie = readCookie(request.headers.cookie, '_token');
  return [
    ...(bearer ? [{ via: 'bearer' as const, token: bearer }] : []),
    ...(cookie ? [{ via: 'cookie' as const, token: cookie }] : []),
  ];
}

/** Tells a browser to forget the cookie. */
export function deletionCookie(request: FastifyRequest): string {
  const secure = request.protocol === 'https' ? '; Secure' : '';
  return `_token=""; expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Max-Age=0; Path=/; SameSite=lax${secure}`;
}

export type Authenticator = {
  /** @throws TOKEN_MISSING, TOKEN_EXPIRED, TOKEN_INVALID */
  readonly authenticate: (request: FastifyRequest) => Promise<User>;
  /** The claims of a user token whose signature and profile hold, whatever became of its holder. */
  readonly claimsOf: (token: string) => Promise<UserClaims>;
  /** Forgets every cached standing, here and now. */
  readonly forget: () => void;
};

const invalid = (internal: Record<string, unknown>) =>
  new AppError('TOKEN_INVALID', { public: 'Invalid JWT token', internal });
const expired = () => new AppError('TOKEN_EXPIRED', { public: 'Token Expired' });

function remember<V>(map: Map<string, V>, key: string, value: V): void {
  if (map.size >= MAX_CACHED) map.delete(map.keys().next().value!);
  map.set(key, value);
}

export function createAuthenticator(
  deps: Pick<ControlDeps, 'db' | 'clock' | 'verifier' | 'events' | 'config'>,
): Authenticator {
  const standings = new Map<string, { standing: Standing | null; atMs: number }>();
  let generation = 0;
  const forget = () => {
    generation++;
    standings.clear();
  };
  deps.events.on((event) => {
    if (event.kind === 'account') forget();
  });
  deps.events.onGap(forget);

  // The verifier remembers tokens by their whole text, so that a repeat costs no signature check; a rotation of keys renews it.
  const claimsOf = async (token: string): Promise<UserClaims> => {
    try {
      return await deps.verifier.verify('user', token, deps.clock.nowMs());
    } catch (error) {
      if (error instanceof AppError && error.code === 'TOKEN_EXPIRED') throw expired();
      if (error instanceof AppError && error.code !== 'KEY_UNAVAILABLE') throw invalid({ reason: error.message });
      throw error;
    }
  };

  const standingOf = async (token: string, claims: UserClaims): Promise<Standing | null> => {
    const nowMs = deps.clock.nowMs();
    const known = standings.get(token);
    if (known && nowMs - known.atMs < STANDING_TTL_MS && nowMs >= known.atMs) return known.standing;
    const before = generation;
    const standing = await getStanding(deps.db, { name: claims.sub, jti: claims.jti });
    standings.delete(token);
    // What was asked before a change became known may be from before that change: good for this request only.
    if (before === generation) remember(standings, token, { standing, atMs: nowMs });
    return standing;
  };

  return {
    claimsOf,
    forget,
    authenticate: async (request) => {
      const presented = presentedTokens(request)[0];
      if (!presented) throw new AppError('TOKEN_MISSING', { public: 'Not authenticated' });
      const claims = await claimsOf(presented.token);
      const standing = await standingOf(presented.token, claims);
      if (!standing) throw invalid({ reason: 'no such account', name: claims.sub });
      if (standing.disabled) throw invalid({ reason: 'account is disabled', name: claims.sub });
      if (standing.revoked) throw invalid({ reason: 'token is revoked', name: claims.sub });
      if (claims.iat < standing.valid_from)
        throw invalid({ reason: 'token is older than the account allows', name: claims.sub });
      return { name: claims.sub, role: standing.role, teams: standing.teams, via: presented.via };
    },
  };
}

/**
 * Refuses a write that a browser may have been led into by another site: cookies ride along, an Origin header does too.
 * @throws FORBIDDEN
 */
export function checkSameSite(request: FastifyRequest, user: User, publicOrigin: string | null): void {
  if (user.via !== 'cookie' || request.method === 'GET') return;
  const site = request.headers['sec-fetch-site'];
  const origin = request.headers.origin;
  const own = `${request.protocol}://${request.headers.host ?? ''}`;
  const foreignSite = site !== undefined && site !== 'same-origin' && site !== 'none';
  const foreignOrigin = origin !== undefined && origin !== own && origin !== publicOrigin;
  if (foreignSite || foreignOrigin) {
    throw new AppError('FORBIDDEN', {
      public: 'Forbidden',
      remedy: 'Send the request from the page of this server, or with a bearer token.',
    });
  }
}
