/** How a REST route is written and mounted: credential, policy row, validation, handler, in this order, the same for all. */
import assert from 'node:assert/strict';
import { AppError } from '@airlock/contract/errors';
import type { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { Visible } from '@airlock/store/queries/team/visible';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { AuthManager, Question, User } from '../../auth-managers/auth-manager.ts';
import { createAuthManager } from '../../auth-managers/index.ts';
import type { ControlDeps } from '../../deps.ts';
import { createLogStore, type LogStore } from '../../logs/log-store.ts';
import { deletionCookie, readTokenCookie, tokenCookie } from '../auth/cookie.ts';
import type { Authenticator } from '../auth/identity.ts';
import { requireOwnPage } from '../auth/same-site.ts';
import { type Budgets, createBudgets, type Payer, POINTS_PER_ROW, refusalPoints } from '../http/budget.ts';
import { sendJson } from '../http/errors.ts';
import { nowIso } from '../http/instant.ts';
import { createSharedReads, type SharedReads } from '../http/share.ts';
import { type AuditOptions, type AuditTarget, auditExtra } from './audit.ts';
import { authorize } from './authorize.ts';
import { createMasker, type Masker } from './mask.ts';
import type { PolicyRow } from './policy.ts';
import { createSearchGate, isSearch, POINTS_PER_SEARCH_MS, type SearchGate, searchDatabase } from './search.ts';

export type RestDeps = ControlDeps & {
  readonly authenticator: Authenticator;
  readonly auth: AuthManager;
  readonly masker: Masker;
  /** For reading, and for removing what a deleted run leaves; the Execution API has the one that appends. */
  readonly logs: Pick<LogStore, 'open' | 'removeRun'>;
  readonly sharedReads: SharedReads;
  readonly searches: SearchGate;
  readonly budgets: Budgets;
};

/** What a handler is given. */
export type RestContext = {
  readonly deps: RestDeps;
  readonly user: User;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** The one instant of this request. */
  readonly nowIso: string;
  /** Path parameter; the empty text when the route has none of that name. */
  readonly param: (name: string) => string;
  /** What a list shows to this user; every list query takes it. */
  readonly visible: Visible;
  /** Whether the user may do something that the route's row does not speak of. */
  readonly may: (question: Question) => boolean;
  /** Whether the same request would still be let in, asked anew: for answers that take their time. */
  readonly stillMay: () => Promise<boolean>;
  /** Aborted when the server begins to stop. */
  readonly closing: AbortSignal;
  /**
   * Runs `work` in one transaction together with the audit row of this request: both are kept or neither.
   * `target` says which Dag, run and task the row is about.
   */
  readonly mutate: <T>(event: string, target: AuditTarget, work: (tx: Db) => Promise<T>) => Promise<T>;
};

export type RestRoute = {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE' | 'PUT';
  /** Below /api/v2, in the router's notation. */
  readonly path: string;
  /** What it returns is the answer's body; undefined with status 204, or when it has answered itself. */
  readonly handle: (context: RestContext) => Promise<unknown>;
  /** What the handler reads the query and the body with: the handler and the OpenAPI document have one schema. */
  readonly query?: z.ZodObject;
  readonly body?: z.ZodType | { readonly shown: z.ZodType };
  /** The query may say by `team_name` which team's thing is meant; see team.ts. */
  readonly ofTeam?: boolean;
  /** Default 200. */
  readonly status?: number;
  /** Event of the audit row; also what a refused attempt is recorded as. Only for routes that change something. */
  readonly event?: string;
  readonly audit?: AuditOptions;
  /** Bytes; default that of the server. */
  readonly bodyLimit?: number;
};

/** Points of a request before anything is known of its answer. */
const READ_POINTS = 5;
const WRITE_POINTS = 50;
/** Who pays for what a user asks. Operators on this machine pay nothing. */
const payerOf = ({ name, teams, via }: User): Payer | null => (via === 'socket' ? null : { caller: name, teams });

/** No answer counts for more rows: the lines of a log are no rows of the database, and one log must not silence its reader. */
const MAX_ROWS_CHARGED = 1000;

/** Rows of a page, or results of a bulk body, as far as they are charged. */
function rowsIn(body: unknown): number {
  if (typeof body !== 'object' || body === null) return 0;
  const rows = Object.values(body).reduce((sum: number, value) => sum + (Array.isArray(value) ? value.length : 0), 0);
  return Math.min(rows, MAX_ROWS_CHARGED);
}

const NOBODY: User = { name: '', role: 'viewer', teams: [], via: 'bearer' };

/** Names of routes and of policy rows must be the same set. @throws when they are not: the process does not start */
export function checkPolicy(routes: readonly RestRoute[], policy: Readonly<Record<string, PolicyRow>>): void {
  const mounted = routes.map((route) => `${route.method} ${route.path}`);
  const withoutRow = mounted.filter((name) => !Object.hasOwn(policy, name));
  const withoutHandler = Object.keys(policy).filter((name) => !mounted.includes(name));
  assert.deepEqual(withoutRow, [], 'routes without a policy row');
  assert.deepEqual(withoutHandler, [], 'policy rows without a route');
  assert.equal(new Set(mounted).size, mounted.length, 'a route is mounted twice');
}

/** Records a refusal before its answer leaves. */
async function recordRefusal(
  deps: RestDeps,
  user: User,
  request: FastifyRequest,
  route: RestRoute,
  at: string,
): Promise<void> {
  const params = request.params as Record<string, string>;
  await insertEventLog(deps.db, {
    nowIso: at,
    event: route.event ?? `${route.method} ${route.path}`,
    owner: user.name,
    dagId: params.dag_id ?? null,
    taskId: params.task_id ?? null,
    runId: params.dag_run_id ?? null,
    extra: JSON.stringify({ method: route.method, refused: true }),
  });
}

export function makeDeps(deps: ControlDeps, authenticator: Authenticator): RestDeps {
  const { sensitive_var_conn_names: names, hide_sensitive_var_conn_fields: hide } = deps.config.core;
  const { base_log_folder: root, max_log_bytes: maxBytes } = deps.config.logging;
  return {
    ...deps,
    authenticator,
    auth: createAuthManager(deps, authenticator),
    masker: createMasker(names, hide),
    logs: createLogStore({ root, maxBytes }),
    sharedReads: createSharedReads(),
    searches: createSearchGate(),
    budgets: createBudgets(deps.config.api),
  };
}

/** Free-path routes aside, a parameter that is empty or holds a slash means that no such route exists. */
function isNoRoute(params: Record<string, string>): boolean {
  for (const name in params) if (name !== '*' && (params[name] === '' || params[name]!.includes('/'))) return true;
  return false;
}

/** Prolongs the session of a browser. When it can't be done now, the next request will. */
async function renewCookie(deps: RestDeps, request: FastifyRequest, reply: FastifyReply): Promise<void> {
  try {
    const token = await deps.authenticator.renew(request);
    if (token !== null) reply.header('set-cookie', tokenCookie(request, deps.config.api, token));
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    request.log.warn({ err: error }, 'a session was not renewed');
  }
}

/** What the handler answers. A search waits for its turn, is stopped when it takes too long, and is paid for by the time that it took. */
async function handled(route: RestRoute, context: RestContext, payer: Payer | null): Promise<unknown> {
  const { deps, request, user } = context;
  if (!isSearch(request)) return route.handle(context);
  return deps.searches.run(user.name, async () => {
    // Who has gone while he waited is answered by nobody; his turn is another's.
    if (request.raw.socket.destroyed) throw new AppError('REQUEST_TIMEOUT', { public: 'The caller has gone' });
    const db = searchDatabase(deps.db, deps.config.api.search_timeout);
    const beganMs = performance.now();
    try {
      return await route.handle({ ...context, deps: { ...deps, db } });
    } finally {
      const points = (performance.now() - beganMs) * POINTS_PER_SEARCH_MS;
      deps.budgets.charge(payer, points, deps.clock.nowMs());
    }
  });
}

/**
 * Mounts routes under the prefix that `app` already carries.
 * @param identify how a request is authenticated here; the operator socket has its own way.
 */
export function mountRoutes(
  app: FastifyInstance,
  deps: RestDeps,
  routes: readonly RestRoute[],
  policy: Readonly<Record<string, PolicyRow>>,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  checkPolicy(routes, policy);
  const closing = new AbortController();
  app.addHook('preClose', async () => closing.abort());
  for (const route of routes) {
    const row = policy[`${route.method} ${route.path}`]!;
    const status = route.status ?? 200;
    const points = route.method === 'GET' ? READ_POINTS : WRITE_POINTS;
    const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply | undefined> => {
      const params = request.params as Record<string, string>;
      if (isNoRoute(params)) {
        if (route.method === 'GET') return sendJson(reply, { error: 'API route not found' }, 404);
        reply.header('allow', 'GET');
        return sendJson(reply, { detail: 'Method Not Allowed' }, 405);
      }
      const at = nowIso(deps.clock.nowMs());
      let user = NOBODY;
      let payer: Payer | null = null;
      if (!('public' in row)) {
        user = await identify(request).catch((error: unknown) => {
          // A cookie that is no use any more would be sent for ever.
          if (readTokenCookie(request) !== null) reply.header('set-cookie', deletionCookie(request, deps.config.api));
          throw error;
        });
        payer = payerOf(user);
        deps.budgets.spend(payer, points, deps.clock.nowMs());
        try {
          await authorize(deps, user, row, params);
          if (user.via === 'cookie' && route.method !== 'GET') requireOwnPage(request, deps.config.api);
        } catch (error) {
          if (error instanceof AppError) {
            deps.budgets.charge(payer, refusalPoints(points), deps.clock.nowMs());
            await recordRefusal(deps, user, request, route, at);
          }
          throw error;
        }
        if (user.via === 'cookie') await renewCookie(deps, request, reply);
      }
      const context: RestContext = {
        deps,
        user,
        request,
        reply,
        nowIso: at,
        param: (name) => params[name] ?? '',
        visible: 'public' in row ? { teams: [] } : deps.auth.visible(user, row),
        may: (question) => deps.auth.isAuthorized(user, question),
        stillMay: async () => {
          if ('public' in row) return true;
          try {
            await authorize(deps, await identify(request), row, params);
            return true;
          } catch (error) {
            if (error instanceof AppError) return false;
            throw error;
          }
        },
        closing: closing.signal,
        mutate: (event, target, work) =>
          deps.db.transaction(async (tx) => {
            const extra = auditExtra(request, deps.masker, target, route.audit);
            await insertEventLog(tx, { nowIso: at, event, owner: user.name, ...target, extra });
            return work(tx);
          }),
      };
      const body = await handled(route, context, payer).catch(async (error: unknown) => {
        // What the row could not know: a thing that the body names, or that was found on the way.
        if (error instanceof AppError && error.code === 'FORBIDDEN') {
          deps.budgets.charge(payer, refusalPoints(points), deps.clock.nowMs());
          await recordRefusal(deps, user, request, route, at);
        }
        throw error;
      });
      deps.budgets.charge(payer, rowsIn(body) * POINTS_PER_ROW, deps.clock.nowMs());
      if (reply.sent || body === reply) return reply;
      if (status === 204) return reply.code(204).send();
      return sendJson(reply, body, status);
    };
    app.route({
      method: route.method,
      url: route.path,
      handler,
      config: { declared: { query: route.query, body: route.body } },
      ...(route.bodyLimit === undefined ? {} : { bodyLimit: route.bodyLimit }),
    });
  }
}
