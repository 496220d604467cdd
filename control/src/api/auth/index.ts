/** The routes below `/auth`: trading a password for a token, by an API or by the page. */
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError, type ErrorCode } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { type AccountRow, getAccount } from '@airlock/store/queries/account/get';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { ANONYMOUS, isOwnMachine } from '../../auth-managers/all-admins.ts';
import type { ControlDeps } from '../../deps.ts';
import { mapRestError, sendJson } from '../http/errors.ts';
import { nowIso } from '../http/instant.ts';
import { check } from '../http/validation.ts';
import { ACCOUNT_NAME } from './accounts.ts';
import { tokenCookie } from './cookie.ts';
import { sendLoginPage } from './login-page.ts';
import { safePath } from './next.ts';
import { hashGate, verifyPassword } from './passwords.ts';
import { LOGIN_POLICY } from './policy.ts';
import { requireOwnPage } from './same-site.ts';
import { beginSession, newJti } from './session.ts';
import { createThrottle } from './throttle.ts';

const credentials = z.strictObject({ username: z.string().max(1000), password: z.string().max(10_000) });
type Credentials = z.output<typeof credentials>;

const FORM = 'application/x-www-form-urlencoded';
/** Nothing near this size is a log-in. */
const LOGIN_BODY_LIMIT = 16 * 1024;

type AuthDeps = Pick<ControlDeps, 'db' | 'clock' | 'log' | 'config' | 'minter' | 'secrets'>;

/** The account whose password this is. Every way to fail costs the same and has the same answer. @throws INVALID_CREDENTIALS, RATE_LIMITED, BAD_REQUEST */
async function checkCredentials(deps: AuthDeps, request: FastifyRequest, given: Credentials): Promise<AccountRow> {
  if (given.username === '' || given.password === '') {
    throw new AppError('BAD_REQUEST', { public: 'Username and password must be provided' });
  }
  const throttle = createThrottle(deps, { username: given.username, address: request.ip });
  await throttle.refuse();
  return hashGate.enter(async () => {
    const takeBack = await throttle.count();
    // Taken as it was counted: whatever else it might be read as would be a name to count anew.
    const account = ACCOUNT_NAME.test(given.username) ? await getAccount(deps.db, given.username) : null;
    const right = await verifyPassword(account?.password_hash ?? null, given.password);
    if (account && right && !account.disabled) {
      await takeBack();
      return account;
    }
    // Never the name that was sent, unless it is one of ours: people type their password there.
    const user = account?.name ?? null;
    await insertEventLog(deps.db, {
      nowIso: nowIso(deps.clock.nowMs()),
      event: 'login_failed',
      owner: user,
      extra: JSON.stringify({ address: request.ip }),
    });
    request.log.warn({ user, address: request.ip }, 'a log-in failed');
    throw new AppError('INVALID_CREDENTIALS', { public: 'Invalid credentials' });
  });
}

/** Whoever knows the password. Waits out the second in which tokens of the account began to count anew. */
async function logIn(deps: AuthDeps, request: FastifyRequest, given: Credentials): Promise<AccountRow> {
  const account = await checkCredentials(deps, request, given);
  const waitMs = Date.parse(account.tokens_valid_from) - deps.clock.nowMs();
  if (waitMs > 0) await sleep(Math.min(waitMs, 1_000));
  return account;
}

async function tradeForToken(
  deps: AuthDeps,
  request: FastifyRequest,
  given: Credentials,
  ttlSeconds: number,
): Promise<string> {
  const { name } = admitsAnybody(deps, request) ? { name: ANONYMOUS } : await logIn(deps, request, given);
  return tokenFor(deps, request, name, ttlSeconds);
}

/** Whether nobody has to log in; see auth-managers/all-admins.ts. */
function admitsAnybody({ config }: AuthDeps, request: FastifyRequest): boolean {
  return config.core.simple_auth_manager_all_admins && isOwnMachine(request, config.api);
}

async function tokenFor(deps: AuthDeps, request: FastifyRequest, name: string, ttlSeconds: number): Promise<string> {
  const jti = newJti();
  const extra = JSON.stringify({ address: request.ip, jti });
  await insertEventLog(deps.db, { nowIso: nowIso(deps.clock.nowMs()), event: 'login', owner: name, extra });
  return deps.minter.mint('user', { sub: name, ttlSeconds, jti });
}

const isForm = (request: FastifyRequest): boolean =>
  (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase() === FORM;
const formOf = (request: FastifyRequest) => Object.fromEntries(new URLSearchParams(request.bodyText ?? ''));

const PROBLEMS: Partial<Record<ErrorCode, string>> = {
  BAD_REQUEST: 'Enter user name and password.',
  INVALID_CREDENTIALS: 'User name or password is wrong.',
  RATE_LIMITED: 'Too many log-ins failed. Wait a minute, then try again.',
};

/** The form of the page. Only a page of ours may send it, so that nobody is logged in as somebody else unawares. */
async function logInByPage(deps: AuthDeps, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  requireOwnPage(request, deps.config.api);
  if (!isForm(request)) throw new AppError('UNSUPPORTED_MEDIA_TYPE', { public: `Only ${FORM} is supported` });
  const { username, password, next } = formOf(request);
  // A log-out by POST ends here with what it sent, which is nothing.
  if (username === undefined && password === undefined) return reply.redirect('/auth/login', 303);
  const to = safePath(next, request);
  const given = credentials.safeParse({ username, password });
  try {
    if (!given.success) throw new AppError('INVALID_CREDENTIALS', { public: 'Invalid credentials' });
    const account = await logIn(deps, request, given.data);
    const token = await beginSession(deps, account.name, request.ip);
    return reply.header('set-cookie', tokenCookie(request, deps.config.api, token)).redirect(to ?? '/', 303);
  } catch (error) {
    const text = error instanceof AppError ? PROBLEMS[error.code] : undefined;
    if (text === undefined) throw error;
    const { status, retryAfter } = mapRestError(error);
    if (retryAfter !== undefined) reply.header('retry-after', String(retryAfter));
    return sendLoginPage(reply, { next: to, username: (username ?? '').slice(0, 250), problem: { text, status } });
  }
}

/** JSON or a form, and the plain-string refusals of this one route. */
function readCredentials(request: FastifyRequest): Credentials {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  let given: unknown;
  if (isForm(request)) given = formOf(request);
  else if (type === 'application/json') given = request.body ?? {};
  else {
    throw new AppError('UNSUPPORTED_MEDIA_TYPE', {
      public: 'Only application/json or application/x-www-form-urlencoded is supported',
    });
  }
  const result = credentials.safeParse(given);
  if (result.success) return result.data;
  const lines = result.error.issues.map((issue) => {
    const place = issue.code === 'unrecognized_keys' ? issue.keys.join(', ') : issue.path.join('.');
    return place ? `${place}: ${issue.message}` : issue.message;
  });
  throw new AppError('VALIDATION', { public: lines.join('; '), detail: lines.join('; ') });
}

/** Mounts `/auth`, route by route as `LOGIN_POLICY` has them. */
export function registerAuthApi(app: FastifyInstance, deps: AuthDeps): void {
  const answer = (reply: FastifyReply, token: string) => sendJson(reply, { access_token: token }, 201);
  const requireAllAdmins = (request: FastifyRequest) => {
    if (admitsAnybody(deps, request)) return;
    throw new AppError('FORBIDDEN', {
      public: 'This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True',
      remedy: 'Send user name and password by POST.',
    });
  };
  const nextOf = (request: FastifyRequest) => safePath((request.query as { next?: unknown }).next, request);

  const handlers: Record<keyof typeof LOGIN_POLICY, (request: FastifyRequest, reply: FastifyReply) => unknown> = {
    'POST /auth/token': async (request, reply) => {
      const given = readCredentials(request);
      return answer(reply, await tradeForToken(deps, request, given, deps.config.api_auth.jwt_expiration_time));
    },
    'POST /auth/token/cli': async (request, reply) => {
      const given = check(credentials, request.body, ['body']);
      return answer(reply, await tradeForToken(deps, request, given, deps.config.api_auth.jwt_cli_expiration_time));
    },
    'GET /auth/token': async (request, reply) => {
      return answer(reply, await tokenFor(deps, request, ANONYMOUS, deps.config.api_auth.jwt_expiration_time));
    },
    'GET /auth/token/login': async (request, reply) => {
      const token = await beginSession(deps, ANONYMOUS, request.ip);
      return reply
        .header('set-cookie', tokenCookie(request, deps.config.api, token))
        .redirect(nextOf(request) ?? '/', 307);
    },
    'POST /auth/login': (request, reply) => logInByPage(deps, request, reply),
    'GET /auth/*': async (request, reply) => sendLoginPage(reply, { next: nextOf(request) }),
  };
  for (const [route, handle] of Object.entries(handlers)) {
    const [method, url] = route.split(' ') as ['GET' | 'POST', string];
    app.route({
      method,
      url,
      bodyLimit: LOGIN_BODY_LIMIT,
      handler: async (request, reply) => {
        if (LOGIN_POLICY[route as keyof typeof LOGIN_POLICY] === 'all-admins') requireAllAdmins(request);
        return handle(request, reply);
      },
    });
  }
}
