/** `/api/v2/auth/login` and `/api/v2/auth/logout`. @see rest-api 2.4; promise L20 */
import { AppError } from '@airlock/contract/errors';
import { notify } from '@airlock/store';
import { revokeToken } from '@airlock/store/queries/account/revoke-token';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { deletionCookie, presentedTokens } from '../auth/identity.ts';
import type { RestContext, RestRoute } from './route.ts';

const LOGIN_PAGE = '/auth/login';

/** A path of this host: no scheme tricks, no other host, nothing that a browser would read as one. */
export function isSafeNext(next: string, ownOrigin: string): boolean {
  let decoded: string;
  try {
    decoded = decodeURIComponent(next).replaceAll('\\', '/').trim();
  } catch {
    return false;
  }
  if (decoded.startsWith('//')) return false;
  try {
    const url = new URL(decoded, ownOrigin);
    return (url.protocol === 'http:' || url.protocol === 'https:') && url.origin === new URL(ownOrigin).origin;
  } catch {
    return false;
  }
}

async function login(context: RestContext): Promise<unknown> {
  const { request, reply } = context;
  const given = (request.query as { next?: string | string[] }).next;
  const next = Array.isArray(given) ? given.at(-1) : given;
  if (next === undefined || next === '') return reply.code(307).header('location', LOGIN_PAGE).send();
  if (!isSafeNext(next, `${request.protocol}://${request.headers.host ?? 'localhost'}`)) {
    throw new AppError('BAD_REQUEST', { public: 'Invalid or unsafe next URL' });
  }
  return reply
    .code(307)
    .header('location', `${LOGIN_PAGE}?${new URLSearchParams({ next })}`)
    .send();
}

/** Ends every credential that was presented, then deletes the cookie. One that is no valid token needs no ending. */
async function logout(context: RestContext): Promise<unknown> {
  const { deps, request, reply } = context;
  // A page of another site may lead a browser here; its cookie is then not what the person meant to end.
  const foreign = request.headers['sec-fetch-site'] === 'cross-site';
  for (const { via, token } of presentedTokens(request)) {
    if (foreign && via === 'cookie') continue;
    const claims = await deps.authenticator.claimsOf(token).catch((error: unknown) => {
      if (error instanceof AppError && error.code !== 'KEY_UNAVAILABLE') return null;
      throw error;
    });
    if (!claims) continue;
    const leewayMs = deps.config.api_auth.jwt_leeway * 1000;
    await deps.db.transaction(async (tx) => {
      await revokeToken(tx, { jti: claims.jti, expiresIso: new Date(claims.exp * 1000 + leewayMs).toISOString() });
      const extra = JSON.stringify({ jti: claims.jti, method: 'GET' });
      await insertEventLog(tx, { nowIso: context.nowIso, event: 'logout', owner: claims.sub, extra });
      await notify(tx, { kind: 'account' });
    });
  }
  deps.authenticator.forget();
  return reply.code(307).header('location', LOGIN_PAGE).header('set-cookie', deletionCookie(request)).send();
}

export const sessionRoutes: RestRoute[] = [
  { method: 'GET', path: '/auth/login', handle: login },
  { method: 'GET', path: '/auth/logout', handle: logout },
];
