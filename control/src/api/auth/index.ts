/** The routes below `/auth`: trading a password for a token, and the page that says how. */
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { type AccountRow, getAccount } from '@airlock/store/queries/account/get';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { ControlDeps } from '../../deps.ts';
import { sendJson } from '../http/errors.ts';
import { nowIso } from '../http/instant.ts';
import { sendPage } from '../http/page.ts';
import { check } from '../http/validation.ts';
import { hashGate, verifyPassword } from './passwords.ts';
import { createThrottle } from './throttle.ts';

const credentials = z.strictObject({ username: z.string().max(1000), password: z.string().max(10_000) });
type Credentials = z.output<typeof credentials>;

const FORM = 'application/x-www-form-urlencoded';
/** Nothing near this size is a log-in. */
const LOGIN_BODY_LIMIT = 16 * 1024;

/** 32 hex digits; what revocation names. */
export function newJti(): string {
  return randomUUID().replaceAll('-', '');
}

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
    const account = await getAccount(deps.db, given.username.replaceAll('\0', ''));
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

async function logIn(deps: AuthDeps, request: FastifyRequest, given: Credentials, ttlSeconds: number): Promise<string> {
  const account = await checkCredentials(deps, request, given);
  // A token of the second in which the password changed would be refused: wait that second out.
  const waitMs = Date.parse(account.tokens_valid_from) - deps.clock.nowMs();
  if (waitMs > 0) await sleep(Math.min(waitMs, 1_000));
  const jti = newJti();
  await insertEventLog(deps.db, {
    nowIso: nowIso(deps.clock.nowMs()),
    event: 'login',
    owner: account.name,
    extra: JSON.stringify({ address: request.ip, jti }),
  });
  return deps.minter.mint('user', { sub: account.name, ttlSeconds, jti });
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
  const answer = (reply: FastifyReply, token: string) => sendJson(reply, { access_token: token }, 201);
  const options = { bodyLimit: LOGIN_BODY_LIMIT };

  app.post('/auth/token', options, async (request, reply) => {
    const given = readCredentials(request);
    return answer(reply, await logIn(deps, request, given, deps.config.api_auth.jwt_expiration_time));
  });
  app.post('/auth/token/cli', options, async (request, reply) => {
    const given = check(credentials, request.body, ['body']);
    return answer(reply, await logIn(deps, request, given, deps.config.api_auth.jwt_cli_expiration_time));
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
