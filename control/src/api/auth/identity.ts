/**
 * Who sent a request. The token says the name and nothing more: role, disabling and revocation are looked up for each request,
 * so that a change counts on every replica from its commit on. Requests with the same token that arrive together share one
 * look-up, and never one that had begun before they came.
 * @see rest-api 2.1; promises L18, L19, L20
 */
import type { UserClaims } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import { getStanding } from '@airlock/store/queries/account/get';
import type { FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import { createSharedReads } from '../http/share.ts';
import { readTokenCookie } from './cookie.ts';
import { renewedToken } from './session.ts';

const SCHEME = /^bearer +([^ ]+) *$/i;

/** Every credential that a request presents; a bearer always goes before the cookie. */
export function presentedTokens(request: FastifyRequest): Array<{ via: 'bearer' | 'cookie'; token: string }> {
  const bearer = SCHEME.exec(request.headers.authorization ?? '')?.[1];
  const cookie = readTokenCookie(request);
  return [
    ...(bearer ? [{ via: 'bearer' as const, token: bearer }] : []),
    ...(cookie ? [{ via: 'cookie' as const, token: cookie }] : []),
  ];
}

export type Authenticator = {
  /** @throws TOKEN_MISSING, TOKEN_EXPIRED, TOKEN_INVALID */
  readonly authenticate: (request: FastifyRequest) => Promise<User>;
  /** A newer token for the cookie that has just been accepted, when it is due; see session.ts. */
  readonly renew: (request: FastifyRequest) => Promise<string | null>;
  /** The claims of a user token whose signature and profile hold, whatever became of its holder. */
  readonly claimsOf: (token: string) => Promise<UserClaims>;
};

const invalid = (internal: Record<string, unknown>) =>
  new AppError('TOKEN_INVALID', { public: 'Invalid JWT token', internal });
const expired = () => new AppError('TOKEN_EXPIRED', { public: 'Token Expired' });

export function createAuthenticator(
  deps: Pick<ControlDeps, 'db' | 'clock' | 'verifier' | 'minter' | 'config'>,
): Authenticator {
  const shared = createSharedReads();

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

  return {
    claimsOf,
    renew: async (request) => {
      const cookie = readTokenCookie(request);
      return cookie === null ? null : renewedToken(deps, await claimsOf(cookie));
    },
    authenticate: async (request) => {
      const presented = presentedTokens(request)[0];
      if (!presented) throw new AppError('TOKEN_MISSING', { public: 'Not authenticated' });
      const claims = await claimsOf(presented.token);
      const { sub: name, jti } = claims;
      const standing = await shared(`${jti} ${name}`, () => getStanding(deps.db, { name, jti }));
      if (!standing) throw invalid({ reason: 'no such account', name });
      if (standing.disabled) throw invalid({ reason: 'account is disabled', name });
      if (standing.revoked) throw invalid({ reason: 'token is revoked', name });
      if (claims.iat < standing.valid_from) throw invalid({ reason: 'token is older than the account allows', name });
      return { name, role: standing.role, teams: standing.teams, via: presented.via };
    },
  };
}
