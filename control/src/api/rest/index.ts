/** The REST API v2: every route of this release, below /api/v2. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { User } from '../../auth-managers/auth-manager.ts';
import type { ControlDeps } from '../../deps.ts';
import { createAuthenticator } from '../auth/identity.ts';
import { assetEventRoutes } from './asset-events.ts';
import { assetRoutes } from './assets.ts';
import { backfillRoutes } from './backfills.ts';
import { callbackRoutes } from './callbacks.ts';
import { configurationRoutes } from './configuration.ts';
import { connectionTestRoutes } from './connection-tests.ts';
import { connectionRoutes } from './connections.ts';
import { dagChangeRoutes } from './dag-changes.ts';
import { dagRoutes } from './dags.ts';
import { deadlineRoutes } from './deadlines.ts';
import { extensionRoutes } from './extensions.ts';
import { hitlRoutes } from './hitl.ts';
import { logRoutes } from './logs.ts';
import { metaRoutes } from './meta.ts';
import { nextRunRoutes } from './next-runs.ts';
import { observedNeedsRoutes } from './observed-needs.ts';

import { REST_POLICY } from './policy.ts';
import { poolRoutes } from './pools.ts';
import { queuedEventRoutes } from './queued-events.ts';
import { makeDeps, mountRoutes, type RestDeps, type RestRoute } from './route.ts';
import { runBulkRoutes } from './run-bulk.ts';
import { runChangeRoutes } from './run-changes.ts';
import { runClearRoutes } from './run-clear.ts';
import { runWaitRoutes } from './run-wait.ts';
import { runRoutes } from './runs.ts';
import { sessionRoutes } from './session.ts';
import { stateStoreRoutes } from './state-stores.ts';
import { taskBulkRoutes } from './task-bulk.ts';
import { taskChangeRoutes } from './task-changes.ts';
import { taskClearRoutes } from './task-clear.ts';
import { taskFactRoutes } from './task-facts.ts';
import { taskGroupRoutes } from './task-groups.ts';
import { taskRoutes } from './tasks.ts';
import { variableRoutes } from './variables.ts';
import { waitingRoutes } from './waiting.ts';
import { xcomRoutes } from './xcoms.ts';

export const REST_PREFIX = '/api/v2';

export const REST_ROUTES: readonly RestRoute[] = [
  ...metaRoutes,
  ...configurationRoutes,
  ...sessionRoutes,
  ...dagRoutes,
  ...dagChangeRoutes,
  ...callbackRoutes,
  ...deadlineRoutes,
  ...nextRunRoutes,
  ...observedNeedsRoutes,
  ...runRoutes,
  ...runWaitRoutes,
  ...runChangeRoutes,
  ...backfillRoutes,
  ...runClearRoutes,
  ...runBulkRoutes,
  ...taskRoutes,
  ...taskChangeRoutes,
  ...taskClearRoutes,
  ...taskGroupRoutes,
  ...taskBulkRoutes,
  ...taskFactRoutes,
  ...waitingRoutes,
  ...logRoutes,
  ...xcomRoutes,
  ...assetRoutes,
  ...assetEventRoutes,
  ...queuedEventRoutes,
  ...stateStoreRoutes,
  ...hitlRoutes,
  ...extensionRoutes,
  ...variableRoutes,
  ...connectionTestRoutes,
  ...connectionRoutes,
  ...poolRoutes,
];

/** Mounts the routes; `identify` says who a request is from. @throws when routes and policy table differ */
export function mountRest(
  app: FastifyInstance,
  deps: RestDeps,
  identify: (request: FastifyRequest) => Promise<User>,
): void {
  app.register(
    async (scope) => {
      mountRoutes(scope, deps, REST_ROUTES, REST_POLICY, identify);
    },
    { prefix: REST_PREFIX },
  );
}

/** Mounts the REST API for tokens. @returns its deps, for the operator socket */
export function registerRestApi(app: FastifyInstance, deps: ControlDeps): RestDeps {
  const rest = makeDeps(deps, createAuthenticator(deps));
  rest.auth.register(app);
  mountRest(app, rest, rest.auth.userOf);
  return rest;
}
