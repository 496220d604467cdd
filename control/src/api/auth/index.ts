/** The routes below `/auth`: trading a password for a token, and the page that says how. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { getAccount } from '@airlock/store/queries/account/get';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ControlDeps } from '../../deps.ts';
import { sendJson } from '../http/errors.ts';
import { sendPage } from '../http/page.ts';
import { check } from '../http/validation.ts';
import { verifyPassword } from './passwords.ts';
import { createThrottle, type Throttle } from './throttle.ts';

const credentials = z.strictObject({ username: z.string().max(1000), password: z.string().max(10_000) });
type Credentials = z.output<typeof credentials>;

const FORM = 'application/x-www-form-urlencoded';
/** Nothing near this size is a log-in. */
const LOGIN_BODY_LIMIT = 16 * 1024;

/** 32 hex digits; what revocation names. */
export function newJti(): string {
  return randomUUID().replaceAll('-', '');
}

type AuthDeps = Pick<ControlDeps, 'db' | 'clock' | 'log' | 'config' | 'minter'>;

async function logIn(
  deps: AuthDeps,
  throttle: Throttle,
  request: FastifyRequest,
  given: Credentials,
  ttlSeconds: number,
): Promise<string> {
  if (given.username === '' || given.password === '') {
    throw new AppError('BAD_REQUEST', { public: 'Username and password must be provided' });
  }
  const takeBack = throttle.attempt([`account ${given.username}`, `address ${request.ip}`], deps.clock.nowMs());
  const account = await getAccount(deps.db, given.username.replaceAll('\0', ''));
  const right = await verifyPassword(account?.password_hash ?? null, given.password);
  if (!account || !right || account.disabled) {
    request.log.warn({ username: given.username.slice(0, 250), address: request.ip }, 'a log-in failed');
    throw new AppError('INVALID_CREDENTIALS', { public: 'Invalid credentials' });
  }
  takeBack();
  // A token of the second in which the password changed would be refused: wait that second out.
  const waitMs = Date.parse(account.tokens_valid_from) - deps.clock.nowMs();
  if (waitMs > 0) await sleep(Math.min(waitMs, 1_000));
  return deps.minter.mint('user', { sub: account.name, ttlSeconds, jti: newJti() });
}

/** JSON or a form, and the plain-string refusals of this one route. */
function readCredentials(request: FastifyRequest): Credentials {
  const type = (request.headers['content-type'] ?? '').split(';')[0]!.trim().toLowerCase();
  let given: unknown;
  if (type === FORM) given = Object.fromEntries(new URLSearchParams(request.bodyText ?? ''));
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

/** Mounts `/auth`. */
export function registerAuthApi(app: FastifyInstance, deps: AuthDeps): void {
  const throttle = createThrottle();
  const answer = (reply: FastifyReply, token: string) => sendJson(reply, { access_token: token }, 201);
  const options = { bodyLimit: LOGIN_BODY_LIMIT };

  app.post('/auth/token', options, async (request, reply) => {
    const token = await logIn(
      deps,
      throttle,
      request,
      readCredentials(request),
      deps.config.api_auth.jwt_expiration_time,
    );
    return answer(reply, token);
  });
  app.post('/auth/token/cli', options, async (request, reply) => {
    const given = check(credentials, request.body, ['body']);
    return answer(reply, await logIn(deps, throttle, request, given, deps.config.api_auth.jwt_cli_expiration_time));
  });
  const onlyAllAdmins = async () => {
    throw new AppError('FORBIDDEN', {
      public: 'This method is only allowed if ``[core] simple_auth_manager_all_admins`` is True',
      remedy: 'Send user name and password by POST; the all-admins mode does not exist here.',
    });
  };
  app.get('/auth/token', onlyAllAdmins);
  app.get('/auth/token/login', onlyAllAdmins);
  app.get('/auth/*', async (_request, reply) => sendPage(reply, 'login'));
}
