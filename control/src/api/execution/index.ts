/**
 * The Execution API, mounted at /execution with an error edge and a body parser of its own.
 * One pipeline for every route: version → token and proof → kind and self rule → body → budget → handler, which reads the
 * caller's row together with its data and decides rights before anything is looked up → renewal of the token.
 */
import { randomBytes } from 'node:crypto';
import { AppError, isAppError } from '@airlock/contract/errors';
import { readCaller } from '@airlock/store/queries/task-instance/reads';
import { readConnectionsFor, readVariablesFor } from '@airlock/store/queries/token/named';
import { createProofVerifier } from '@airlock/token-verify';
import type { FastifyInstance, FastifyReply, FastifyRequest, HTTPMethods } from 'fastify';
import type { ControlDeps } from '../../deps.ts';
import { createLogStore } from '../../logs/log-store.ts';
import { createBudgets, POINTS_PER_ROW, refusalPoints } from '../http/budget.ts';
import { sendJson } from '../http/errors.ts';
import { nowIso } from '../http/instant.ts';
import { asksForTry, createAuthenticator, type Identity } from './authenticate.ts';
import { createBatcher } from './batcher.ts';
import { addBodyParser } from './body.ts';
import type { Answer, Call, ExecutionContext } from './context.ts';
import { sendError } from './errors.ts';
import { createHeartbeatBatcher } from './heartbeats.ts';
import { migrateAnswer } from './migrations.ts';
import { allowedMethods } from './not-found.ts';
import { createPayers } from './payers.ts';
import { checkExecutionPolicy, EXECUTION_POLICY, type ExecutionPolicyRow, SELF_PARAMETERS } from './policy.ts';
import { type Refused, recordRefusal } from './refusals.ts';
import { EXECUTION_ROUTES, type Route } from './routes.ts';
import { createServedQueues } from './served-queues.ts';
import { createShownProofs } from './shown-proofs.ts';
import { callerKey, notLive } from './token-life.ts';
import { createUseRecorder } from './uses.ts';
import { type ApiVersion, NEWEST_VERSION, negotiateVersion, VERSION_CONSTRAINT, versionConstraint } from './version.ts';

declare module 'fastify' {
  interface FastifyRequest {
    /** Execution API only. */
    apiVersion: ApiVersion;
    identity: Identity | null;
    /** A refused credential, held back until the body is known to be JSON, which the wire reports first. */
    refusal: AppError | undefined;
  }
}

/** Bodies up to this size are read before a refused credential is answered. */
const SMALL_BODY_BYTES = 1024 * 1024;

/** Mounts the API. @throws TypeError when routes and policy rows differ: the process does not start */
export function registerExecutionApi(app: FastifyInstance, deps: ControlDeps): void {
  checkExecutionPolicy(EXECUTION_ROUTES);
  const { config, clock, db } = deps;
  const closing = new AbortController();
  // A new name with each start: what an earlier process has taken nobody takes again.
  const nonce = randomBytes(18).toString('base64url');
  const shownProofs = createShownProofs(db, clock.nowMs);
  const rights = { mode: config.execution_api.rights_mode, multiTeam: config.core.multi_team };
  const context: ExecutionContext = {
    deps,
    db,
    box: deps.secrets,
    logs: createLogStore({ root: config.logging.base_log_folder, maxBytes: config.logging.max_log_bytes }),
    rights,
    heartbeats: createHeartbeatBatcher(db, clock.nowMs),
    servedQueues: createServedQueues(db),
    variables: createBatcher({ send: (reads) => readVariablesFor(db, reads, nowIso(clock.nowMs()), rights) }),
    connections: createBatcher({ send: (reads) => readConnectionsFor(db, reads, nowIso(clock.nowMs()), rights) }),
    uses: createUseRecorder({
      db,
      rights,
      nowMs: clock.nowMs,
      onError: (err) => deps.log.warn({ err }, 'what tasks have used is not written down yet'),
    }),
    executionTtlSeconds: config.execution_api.jwt_expiration_time,
    closing: closing.signal,
  };
  const authenticator = createAuthenticator({
    verifier: deps.verifier,
    proofs: createProofVerifier({ nonce }),
    bindingRequired: config.execution_api.token_binding === 'required',
    firstShown: shownProofs,
    nowMs: clock.nowMs,
    publicBases: publicBases(config.api.base_url, config.core.execution_api_server_url),
  });
  const budget = createBudgets(config.api);
  const payerOf = createPayers(db, config.core.multi_team);
  // Long polls end before the server waits for them.
  app.addHook('preClose', async () => closing.abort());
  app.addHook('onClose', async () => context.uses.close());

  if (!app.hasConstraintStrategy(VERSION_CONSTRAINT)) app.addConstraintStrategy(versionConstraint);
  app.register(
    async (api) => {
      api.decorateRequest('apiVersion', NEWEST_VERSION);
      api.decorateRequest('identity', null);
      api.decorateRequest('refusal', undefined);
      addBodyParser(api);
      api.setErrorHandler((error, request, reply) => sendError(request, reply, error));
      api.addHook('onRequest', async (request, reply) => {
        const asked = request.headers['airflow-api-version'] as string | undefined;
        const correlation = request.headers['correlation-id'];
        reply.header('airflow-api-version', printable(asked ?? NEWEST_VERSION));
        if (typeof correlation === 'string') reply.header('correlation-id', printable(correlation));
        if (request.headers.dpop !== undefined) reply.header('dpop-nonce', nonce);
        request.apiVersion = negotiateVersion(asked);
      });
      api.setNotFoundHandler((request, reply) => {
        const methods = allowedMethods(request.url, request.apiVersion);
        if (methods.length === 0 || methods.includes(request.method)) {
          return sendError(request, reply, new AppError('NOT_FOUND', { public: 'Not Found' }));
        }
        reply.header('allow', methods.join(', '));
        return sendError(request, reply, new AppError('METHOD_NOT_ALLOWED', { public: 'Method Not Allowed' }));
      });
      for (const name of Object.keys(EXECUTION_ROUTES)) mount(api, name);
    },
    { prefix: '/execution' },
  );

  function mount(api: FastifyInstance, name: string): void {
    const row = EXECUTION_POLICY[name]!;
    const route = EXECUTION_ROUTES[name]!;
    const [method, url] = name.split(' ') as [HTTPMethods, string];
    const largeBody = (row.body?.maxBytes ?? 0) > SMALL_BODY_BYTES;
    api.route({
      method,
      url,
      ...(row.servedIn ? { constraints: { [VERSION_CONSTRAINT]: JSON.stringify(row.servedIn) } } : {}),
      bodyLimit: row.body?.maxBytes,
      config: { bodyType: row.body?.type ?? 'json', maxKeys: row.body?.maxKeys },
      onRequest: async (request) => {
        if (!Array.isArray(row.tokens)) return;
        try {
          const params = request.params as Record<string, string>;
          const selfId = SELF_PARAMETERS.map((key) => params[key]).find((value) => value !== undefined);
          request.identity = await authenticator.identify(request, row, selfId ?? null);
        } catch (error) {
          if (!isAppError(error)) throw error;
          if (largeBody) throw await refuse(request, error); // a stranger's 16 MB are not read at all
          request.refusal = error;
        }
      },
      handler: async (request, reply) => {
        if (request.refusal !== undefined) throw await refuse(request, request.refusal);
        return send(reply, await answer(request, reply, route, row), request.apiVersion);
      },
    });
  }

  /** A credential that is right, but not for this. @returns the error that is answered */
  async function refuse(request: FastifyRequest, error: AppError): Promise<AppError> {
    const who = error.internal.refused as Refused | undefined;
    if (!who) return error;
    budget.spend({ caller: who.sub, teams: [] }, refusalPoints(0), clock.nowMs());
    await recordRefusal(context, request, who, error);
    return error;
  }

  async function answer(
    request: FastifyRequest,
    reply: FastifyReply,
    route: Route,
    row: ExecutionPolicyRow,
  ): Promise<Answer> {
    if ('open' in route) return await route.open(context, request);
    if ('withKey' in route) return await route.withKey(context, request, await authenticator.proveKey(request));
    const { identity } = request;
    if (!identity) throw new AppError('TOKEN_MISSING', { public: 'Missing auth token' });
    const nowMs = clock.nowMs();
    const call: Call = {
      request,
      reply,
      identity,
      params: request.params as Record<string, string>,
      nowMs,
      nowIso: nowIso(nowMs),
      version: request.apiVersion,
    };
    // What costs nothing asks for no team either.
    const payer = row.cost === 0 ? { caller: identity.claims.sub, teams: [] } : await payerOf(identity);
    budget.spend(payer, row.cost, nowMs);
    try {
      const given = await route.withToken(context, call);
      if (given.rows !== undefined) budget.charge(payer, given.rows * POINTS_PER_ROW, nowMs);
      return given;
    } catch (thrown) {
      let error = thrown;
      // What is wrong with a request is told to a live try only.
      if (
        isAppError(thrown, 'VALIDATION') &&
        (identity.kind === 'execution' || asksForTry(identity.kind, row)) &&
        !row.tellsEnded
      ) {
        const caller = await readCaller(db, callerKey(call));
        if (!caller?.live) error = await notLive(context, call, caller);
      }
      const { sub } = identity.claims;
      const refused = await recordRefusal(context, request, { kind: identity.kind, sub }, error);
      if (refused || isAppError(error, 'TOKEN_INVALID', 'VALIDATION')) {
        budget.charge(payer, refusalPoints(row.cost), nowMs);
      }
      throw error;
    }
  }
}

function send(reply: FastifyReply, answer: Answer, version: ApiVersion): FastifyReply {
  if (answer.refreshed) reply.header('refreshed-api-token', answer.refreshed);
  if (answer.headers) reply.headers(answer.headers);
  if (answer.text !== undefined) {
    if (!answer.headers?.['content-type']) reply.header('content-type', 'application/json');
    return reply.code(answer.status).send(Buffer.from(answer.text));
  }
  if (answer.body !== undefined) {
    const body = answer.shape ? migrateAnswer(answer.shape, answer.body, version) : answer.body;
    return sendJson(reply, body, answer.status);
  }
  return reply.code(answer.status).send();
}

/** Addresses under which a proxy may publish this API, without a slash at the end. */
function publicBases(baseUrl: string | null, executionUrl: string | null): string[] {
  const bases = [executionUrl, baseUrl === null ? null : `${baseUrl.replace(/\/+$/, '')}/execution`];
  return bases.flatMap((base) => (base === null ? [] : [base.replace(/\/+$/, '')]));
}

/** What is echoed in a header. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 200);
}
