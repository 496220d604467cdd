/** `/api/v2/auth/login` and `/api/v2/auth/logout`. @see rest-api 2.4; promise L20 */
import type { UserClaims } from '@airlock/contract/claims';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { revokeToken } from '@airlock/store/queries/account/revoke-token';
import { endSession } from '@airlock/store/queries/account/session';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { deletionCookie, readTokenCookie } from '../auth/cookie.ts';
import { presentedTokens } from '../auth/identity.ts';
import { isSafeNext } from '../auth/next.ts';
import { requestProvenance, requireOwnPage } from '../auth/same-site.ts';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { optionalOne } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

const LOGIN_PAGE = '/auth/login';
const loginQuery = z.object({ next: optionalOne(wire.text()) });

async function login(context: RestContext): Promise<unknown> {
  const { request, reply } = context;
  const { next } = parseQuery(loginQuery, request);
  const { loginPath } = context.deps.auth;
  if (next === undefined || next === '') return reply.code(307).header('location', loginPath).send();
  if (!isSafeNext(next, `${request.protocol}://${request.headers.host ?? 'localhost'}`)) {
    throw new AppError('BAD_REQUEST', { public: 'Invalid or unsafe next URL' });
  }
  return reply
    .code(307)
    .header('location', `${loginPath}?${new URLSearchParams({ next })}`)
    .send();
}

/** Ends every valid token in the list, all or none. One that is no valid token needs no ending. */
async function revokeAll(context: RestContext, tokens: readonly string[]): Promise<void> {
  const { deps, request, nowIso } = context;
  const leewayMs = deps.config.api_auth.jwt_leeway * 1000;
  const valid: UserClaims[] = [];
  for (const token of tokens) {
    const claims = await deps.authenticator.claimsOf(token).catch((error: unknown) => {
      if (error instanceof AppError && error.code !== 'KEY_UNAVAILABLE') return null;
      throw error;
    });
    if (claims) valid.push(claims);
  }
  if (valid.length === 0) return;
  await deps.db.transaction(async (tx) => {
    for (const { jti, exp, sub } of valid) {
      await endSession(tx, jti);
      await revokeToken(tx, { jti, expiresIso: new Date(exp * 1000 + leewayMs).toISOString() });
      const extra = JSON.stringify({ jti, method: request.method });
      await insertEventLog(tx, { nowIso, event: 'logout', owner: sub, extra });
    }
  });
}

const tokensOf = (request: FastifyRequest) => presentedTokens(request).map(({ token }) => token);
const toLogin = (reply: FastifyReply) => reply.code(307).header('location', LOGIN_PAGE);

/** To where the auth manager ends its own session, or to our page; never to a page that would log in again by itself. */
async function afterLogout({ deps, request, reply }: RestContext): Promise<unknown> {
  const location = (await deps.auth.logoutUrl()) ?? LOGIN_PAGE;
  return reply
    .code(307)
    .header('location', location)
    .header('set-cookie', deletionCookie(request, deps.config.api))
    .send();
}

/** Ends every credential that was presented, on every replica, before it answers. A cookie must come from a page of ours. */
async function logout(context: RestContext): Promise<unknown> {
  const { deps, request } = context;
  if (readTokenCookie(request) !== null) requireOwnPage(request, deps.config.api);
  await revokeAll(context, tokensOf(request));
  return afterLogout(context);
}

/** The same for Airflow's clients, which know only GET. A link or picture on another site may send a browser here: then nothing ends. */
async function logoutByGet(context: RestContext): Promise<unknown> {
  const { deps, request, reply } = context;
  if (requestProvenance(request, deps.config.api) === 'foreign') return toLogin(reply).send();
  await revokeAll(context, tokensOf(request));
  return afterLogout(context);
}

export const sessionRoutes: RestRoute[] = [
  { method: 'GET', path: '/auth/login', handle: login, query: loginQuery, status: 307 },
  { method: 'GET', path: '/auth/logout', handle: logoutByGet, status: 307 },
  { method: 'POST', path: '/auth/logout', handle: logout, status: 307 },
];
