/** The API server of a control process: one TCP listener for everybody, one socket for operators. */

import type { ControlValues } from '@airlock/contract/config/handed';
import { AppError } from '@airlock/contract/errors';
import type { JwksDocument } from '@airlock/contract/jwks';
import type { FastifyInstance } from 'fastify';
import type { ControlDeps } from '../deps.ts';
import { registerAuthApi } from './auth/index.ts';
import { mountDocs } from './docs/index.ts';
import { registerExecutionApi } from './execution/index.ts';
import { allowOrigins } from './http/cors.ts';
import { sendJson } from './http/errors.ts';
import { sendHomePage } from './http/page.ts';
import { createHttpServer } from './http/server.ts';
import { registerAuditRoutes } from './local/audit.ts';
import { registerEncryptionRoutes } from './local/encryption.ts';
import { registerKeyRoutes } from './local/keys.ts';
import { createLocalGate, listenLocally } from './local/socket.ts';
import { registerSupervisorRoutes } from './local/supervisors.ts';
import { registerTeamRoutes } from './local/teams.ts';
import { registerUserRoutes } from './local/users.ts';
import { mountRest, registerRestApi } from './rest/index.ts';
import { mountUi } from './ui/index.ts';

export type ApiOptions = {
  readonly controlSocket: string | null;
  readonly operatorUids: readonly number[];
  readonly jwks: () => JwksDocument;
  /** Null = plain http. */
  readonly tls: ControlValues['tls'];
};
export type RunningApi = { readonly url: string; readonly stop: () => Promise<void> };

/** How an address is written in a URL; one that means "all" is reached over loopback. */
function shownHost(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  if (host === '::') return '[::1]';
  return host.includes(':') ? `[${host}]` : host;
}

async function listen(app: FastifyInstance, host: string, port: number): Promise<number> {
  try {
    await app.listen({ host, port });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
    throw new AppError('PORT_IN_USE', { public: `Port ${port} on ${host} is used by another program.`, cause });
  }
  return (app.server.address() as { port: number }).port;
}

/** @throws PORT_IN_USE */
export async function startApi(deps: ControlDeps, options: ApiOptions): Promise<RunningApi> {
  const { config } = deps;
  const limits = {
    bodyLimitBytes: config.api.max_body_bytes,
    requestTimeoutMs: config.api.request_timeout * 1000,
  };
  const app = createHttpServer(deps, {
    ...limits,
    trustedProxies: config.api.trusted_proxies,
    tls: options.tls,
  });
  allowOrigins(app, config.api.access_control_allow_origins);
  registerAuthApi(app, deps);
  const rest = registerRestApi(app, deps);
  mountUi(app, rest);
  registerExecutionApi(app, deps);
  app.get('/', async (_request, reply) => sendHomePage(reply, config.api.enable_swagger_ui));
  const serveKeys = (to: FastifyInstance) =>
    to.get('/.well-known/jwks.json', async (_request, reply) => {
      reply.header('cache-control', 'public, max-age=15');
      return sendJson(reply, options.jwks());
    });
  serveKeys(app);
  mountDocs(app, config.api.enable_swagger_ui);

  let local: FastifyInstance | null = null;
  if (options.controlSocket !== null) {
    const gate = createLocalGate(options.operatorUids);
    local = createHttpServer(deps, limits);
    gate.guard(local);
    mountRest(local, rest, gate.identify);
    registerAuditRoutes(local, deps, gate.identify);
    registerKeyRoutes(local, deps, gate.identify);
    registerEncryptionRoutes(local, deps, gate.identify);
    registerUserRoutes(local, deps, gate.identify);
    registerTeamRoutes(local, deps, gate.identify);
    registerSupervisorRoutes(local, deps, gate.identify);
    serveKeys(local);
  }
  try {
    const port = await listen(app, config.api.host, config.api.port);
    if (local && options.controlSocket !== null) await listenLocally(local, options.controlSocket);
    return {
      url: `${options.tls === null ? 'http' : 'https'}://${shownHost(config.api.host)}:${port}`,
      stop: async () => {
        await Promise.all([app.close(), local?.close()]);
      },
    };
  } catch (error) {
    await Promise.allSettled([app.close(), local?.close()]);
    throw error;
  }
}
