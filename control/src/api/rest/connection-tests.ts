/**
 * Tests of connections: asked for here, done by a worker in a sandboxed child, off by default. A result is a word and a text; it
 * saves no connection, whoever asked. @see rest-api 5.9; promise L25
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { findConnection } from '@airlock/store/queries/connection/get';
import { getConnectionTest } from '@airlock/store/queries/connection-test/by-person';
import { insertConnectionTest } from '@airlock/store/queries/connection-test/queue';
import { nowIso, wireInstant } from '../http/instant.ts';
import { check, parseBody } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { openConnection } from '../secrets/stored.ts';
import { type ConnectionBody, connectionBody, connectionEntity, fromBody, mergeExtra, sealed } from './connections.ts';
import { HIDDEN } from './mask.ts';
import type { RestContext, RestRoute } from './route.ts';
import { checkTeam, named, withTeams } from './team.ts';

/** One test, from the start of its child. */
const TIMEOUT_SECONDS = 60;
/** Tests of a deployment that wait or run at once; each is a process on a worker. */
const MAX_ACTIVE = 20;
/** Longest wait of a caller who waits for the answer: the sweep has ended the test by then. */
const LONGEST_WAIT_MS = (TIMEOUT_SECONDS + 45) * 1000;
const LOOK_MS = 200;

const enqueueBody = withTeams((teamName) =>
  connectionEntity(teamName).extend({
    commit_on_success: z.boolean().default(false),
    executor: wire.text({ max: 500 }).nullish(),
    queue: wire.text({ max: 256 }).nullish(),
  }),
);

/** @throws FORBIDDEN */
function requireEnabled({ deps }: RestContext): void {
  if (deps.config.core.test_connection === 'Enabled') return;
  throw new AppError('FORBIDDEN', {
    public: 'Testing connections is disabled in Airflow configuration. Contact your deployment admin to enable it.',
    remedy: 'Set [core] test_connection = Enabled, or run a task that uses the connection.',
  });
}

/**
 * What is tested: the body, its gaps filled from the stored connection of that name. Stored credentials go only where they
 * were stored for: whoever may not read them could else have them sent to a host of his own.
 * @throws BAD_REQUEST another host or port without credentials
 */
async function tested(context: RestContext, body: ConnectionBody): Promise<ReturnType<typeof fromBody>> {
  const { deps } = context;
  const given = fromBody(body);
  const isReal = (text: string | null) => text !== null && text !== '' && text !== HIDDEN;
  const row = await findConnection(deps.db, body.connection_id, named(context));
  if (!row) return { ...given, password: given.password === HIDDEN ? null : given.password };
  const stored = openConnection(deps.secrets, row);
  const moved = (body.host ?? stored.host) !== stored.host || (body.port ?? stored.port) !== stored.port;
  const retyped = body.conn_type !== stored.conn_type;
  if ((moved || retyped) && !isReal(given.password)) {
    throw new AppError('BAD_REQUEST', {
      public:
        'The host or port to test differs from the stored connection. Include the credentials to test in the request body.',
    });
  }
  // Nothing stored is secret to him who brings all himself; but an extra may hold secrets too.
  const extra = body.extra
    ? mergeExtra(deps, moved || retyped ? null : stored.extra, body.extra)
    : moved || retyped
      ? null
      : stored.extra;
  return {
    ...given,
    team: stored.team,
    host: given.host ?? stored.host,
    schema: given.schema ?? stored.schema,
    login: given.login ?? stored.login,
    port: given.port ?? stored.port,
    password: isReal(given.password) ? given.password : stored.password,
    extra,
  };
}

/** @returns the id of the test. @throws CONFLICT, RATE_LIMITED, BAD_REQUEST, FORBIDDEN */
async function ask(context: RestContext, body: ConnectionBody, event: string): Promise<string> {
  const { deps, user } = context;
  const id = randomUUID();
  await context.mutate(event, {}, async (tx) => {
    const target = { resource: 'connection', method: 'POST', item: body.connection_id } as const;
    await checkTeam(tx, context, target, body.team_name ?? null);
    const values = sealed(deps, await tested(context, body));
    const at = nowIso(deps.clock.nowMs());
    const test = {
      id,
      values,
      requestedBy: user.name,
      timeoutSeconds: TIMEOUT_SECONDS,
      nowIso: at,
      maxActive: MAX_ACTIVE,
    };
    const asked = await insertConnectionTest(tx, test).catch((error: unknown) => {
      if ((error as { code?: string }).code !== '23505') throw error;
      throw new AppError('CONFLICT', {
        public: `An active connection test already exists for connection_id \`${body.connection_id}\`.`,
        remedy: 'Wait for its result, then ask again.',
      });
    });
    if (!asked) throw new AppError('RATE_LIMITED', { public: `${MAX_ACTIVE} connection tests are under way already.` });
  });
  return id;
}

async function test(context: RestContext): Promise<unknown> {
  requireEnabled(context);
  const id = await ask(context, parseBody(connectionBody(context), context.request), 'test_connection');
  const untilMs = performance.now() + LONGEST_WAIT_MS;
  while (performance.now() < untilMs && !context.request.raw.socket.destroyed) {
    const row = await getConnectionTest(context.deps.db, context.visible, id);
    if (row?.state === 'success' || row?.state === 'failed')
      return { status: row.state === 'success', message: row.result_message ?? '' };
    await delay(LOOK_MS);
  }
  return { status: false, message: 'No worker answered in time.' };
}

async function enqueue(context: RestContext): Promise<unknown> {
  requireEnabled(context);
  const { commit_on_success, executor, queue: _, ...body } = parseBody(enqueueBody(context), context.request);
  const refuse = (text: string, remedy: string) => new AppError('VALIDATION', { public: text, remedy, detail: text });
  if (commit_on_success)
    throw refuse(
      'A connection test never saves the connection.',
      'Save it with POST or PATCH /connections, then test it.',
    );
  if (executor) throw refuse(`Executor '${executor}' is not configured.`, 'Leave executor out: any worker does it.');
  const id = await ask(context, body as ConnectionBody, 'enqueue_connection_test');
  return { token: id, connection_id: body.connection_id, state: 'pending' };
}

const TOKEN_HEADER = 'airflow-connection-test-token';
const tokenHeader = z.object({ [TOKEN_HEADER]: wire.text({ max: 100 }) });
const TEST_TOKEN = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** How a test that a worker does has come out. A token that is unknown, and one of another team's test, get the same words. */
async function poll(context: RestContext): Promise<unknown> {
  const token = check(tokenHeader, context.request.headers, ['header'])[TOKEN_HEADER]!;
  const row = TEST_TOKEN.test(token) ? await getConnectionTest(context.deps.db, context.visible, token) : null;
  if (!row) throw new AppError('NOT_FOUND', { public: `No connection test found for token: \`${token}\`` });
  return {
    token: row.id,
    connection_id: row.conn_id,
    state: row.state,
    result_message: row.result_message,
    created_at: wireInstant(row.created_at),
  };
}

const audit = { hide: ['password'], hideValues: ['extra'] };
export const connectionTestRoutes: RestRoute[] = [
  { method: 'POST', path: '/connections/test', handle: test, body: connectionBody, event: 'test_connection', audit },
  {
    method: 'POST',
    path: '/connections/enqueue-test',
    handle: enqueue,
    body: enqueueBody,
    status: 202,
    event: 'enqueue_connection_test',
    audit,
  },
  { method: 'GET', path: '/connections/enqueue-test', handle: poll },
];
