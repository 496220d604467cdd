/**
 * Users whom an identity provider vouches for, by the authorization code flow with PKCE. Who has logged in gets a token of
 * ours, and from then on is a user like any other: looked up for each request, revocable, disabled by `airlock users disable`.
 * @see OpenID Connect Core 1.0 3.1; RFC 9700
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { readCookie, tokenCookie } from '../../api/auth/cookie.ts';
import { safePathAt } from '../../api/auth/next.ts';
import { newJti } from '../../api/auth/session.ts';
import type { ControlDeps } from '../../deps.ts';
import type { AuthManager } from '../auth-manager.ts';
import { admit } from './admit.ts';
import { ATTEMPT_COOKIE, ATTEMPT_SECONDS, openAttempt, sealAttempt } from './attempt.ts';
import { CALLBACK_PATH, createProvider } from './provider.ts';
import { openIdSettings } from './settings.ts';

export const OPENID_LOGIN_PATH = '/auth/oidc/login';

type OpenIdDeps = Pick<ControlDeps, 'db' | 'clock' | 'config' | 'minter' | 'secrets'>;

/** @throws CONFIG_INVALID `[oidc]` is incomplete or contradicts itself */
export function openIdManager(deps: OpenIdDeps): Pick<AuthManager, 'loginPath' | 'logoutUrl' | 'register'> {
  const settings = openIdSettings(deps.config, deps.secrets.encrypts);
  const provider = createProvider(settings, deps.clock);
  const secure = settings.baseUrl.startsWith('https:') ? '; Secure' : '';
  const attemptCookie = (value: string, seconds: number) =>
    `${ATTEMPT_COOKIE}=${value}; HttpOnly; Path=/auth/oidc; SameSite=lax; Max-Age=${seconds}${secure}`;
  const leave = (reply: FastifyReply, url: string) =>
    reply.code(303).header('location', url).header('cache-control', 'no-store').send();

  const login = async (request: FastifyRequest, reply: FastifyReply) => {
    const { next } = request.query as { next?: unknown };
    const path = next === undefined || next === '' ? '/' : safePathAt(next, settings.baseUrl);
    if (path === null) throw new AppError('BAD_REQUEST', { public: 'Invalid or unsafe next URL' });
    const { url, ...begun } = await provider.begin();
    const expires = deps.clock.nowMs() + ATTEMPT_SECONDS * 1000;
    const sealed = sealAttempt(deps.secrets, { ...begun, next: path, expires });
    reply.header('set-cookie', attemptCookie(sealed, ATTEMPT_SECONDS));
    return leave(reply, url);
  };

  const callback = async (request: FastifyRequest, reply: FastifyReply) => {
    // Whatever comes of it, this attempt is over.
    reply.header('set-cookie', attemptCookie('', 0));
    try {
      const attempt = openAttempt(deps.secrets, readCookie(request, ATTEMPT_COOKIE), deps.clock.nowMs());
      const mark = request.url.indexOf('?');
      const identity = await provider.finish(mark < 0 ? '' : request.url.slice(mark), attempt);
      const { name, validFromMs } = await admit(deps, settings, attempt, identity);
      // A token of the second in which the earlier ones were ended would be refused: wait that second out.
      const waitMs = validFromMs - deps.clock.nowMs();
      if (waitMs > 0) await sleep(Math.min(waitMs, 1_000));
      const token = await deps.minter.mint('user', { sub: name, ttlSeconds: settings.sessionSeconds, jti: newJti() });
      reply.header('set-cookie', [attemptCookie('', 0), tokenCookie(request, deps.config.api, token)]);
      return leave(reply, attempt.next);
    } catch (error) {
      if (error instanceof AppError)
        request.log.warn({ err: error, ...error.internal }, 'a log-in by OpenID Connect failed');
      throw error;
    }
  };

  return {
    loginPath: OPENID_LOGIN_PATH,
    logoutUrl: provider.logoutUrl,
    register: (app: FastifyInstance) => {
      app.get(OPENID_LOGIN_PATH, login);
      app.get(CALLBACK_PATH, callback);
    },
  };
}
