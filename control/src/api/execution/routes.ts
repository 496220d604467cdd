/** Every route of the Execution API with its handler; policy.ts has a row for each, and the boot compares the two. */
import { SUPERVISOR_ROUTES } from '@airlock/contract/supervisor-api';
import type { ProvenKey } from '@airlock/token-verify';
import type { FastifyRequest } from 'fastify';
import type { Answer, ExecutionContext, Handler } from './context.ts';
import * as assets from './handlers/assets.ts';
import { bundles, listing, report } from './handlers/bundles.ts';
import * as callbacks from './handlers/callbacks.ts';
import { fetchConnection, reportResult } from './handlers/connection-tests.ts';
import * as dagRuns from './handlers/dag-runs.ts';
import { clearRun, triggerRun } from './handlers/dag-runs-write.ts';
import { getDag } from './handlers/dags.ts';
import { health, ping } from './handlers/health.ts';
import { heartbeat } from './handlers/heartbeat.ts';
import * as hitl from './handlers/hitl.ts';
import { count, states } from './handlers/instances.ts';
import { breadcrumbs, previousInstance } from './handlers/instances-of-runs.ts';
import { interpreter } from './handlers/interpreter.ts';
import { appendLog } from './handlers/logs.ts';
import { deleteVariable, getConnection, getVariable, putVariable } from './handlers/named.ts';
import {
  dagModule,
  previousSuccess,
  renderedMapIndex,
  rescheduleStart,
  setRtif,
  skip,
  validateAssets,
} from './handlers/own.ts';
import { run } from './handlers/run.ts';
import { state } from './handlers/state.ts';
import * as stores from './handlers/state-stores.ts';
import * as supervisors from './handlers/supervisors.ts';
import { bundleConnection, bundleVariable, watcherConnection, watcherVariable } from './handlers/team-reads.ts';
import * as timetables from './handlers/timetables.ts';
import * as triggers from './handlers/triggers.ts';
import { variableKeys } from './handlers/variable-keys.ts';
import * as watcherStates from './handlers/watcher-states.ts';
import * as xcoms from './handlers/xcoms.ts';

/** A handler that needs no caller, or one that has proven a key but has no token yet. */
export type OpenHandler = (context: ExecutionContext, request: FastifyRequest) => Promise<Answer>;
export type KeyHandler = (context: ExecutionContext, request: FastifyRequest, key: ProvenKey) => Promise<Answer>;
export type Route = { readonly open: OpenHandler } | { readonly withKey: KeyHandler } | { readonly withToken: Handler };

const withToken = (handler: Handler): Route => ({ withToken: handler });

export const EXECUTION_ROUTES: Readonly<Record<string, Route>> = {
  'GET /health': { open: health },
  'GET /health/ping': { open: ping },

  'PATCH /task-instances/:task_instance_id/run': withToken(run),
  'PATCH /task-instances/:task_instance_id/state': withToken(state),
  'PUT /task-instances/:task_instance_id/heartbeat': withToken(heartbeat),
  'PUT /task-instances/:task_instance_id/rtif': withToken(setRtif),
  'PATCH /task-instances/:task_instance_id/rendered-map-index': withToken(renderedMapIndex),
  'PATCH /task-instances/:task_instance_id/skip-downstream': withToken(skip),
  'GET /task-instances/:task_instance_id/previous-successful-dagrun': withToken(previousSuccess),
  'GET /task-instances/:task_instance_id/validate-inlets-and-outlets': withToken(validateAssets),
  'GET /task-reschedules/:task_instance_id/start_date': withToken(rescheduleStart),
  'GET /task-instances/count': withToken(count),
  'GET /task-instances/states': withToken(states),

  'GET /task-instances/breadcrumbs': withToken(breadcrumbs),
  'GET /task-instances/previous/:dag_id/:task_id': withToken(previousInstance),

  'GET /dag-runs/count': withToken(dagRuns.countRuns),
  'GET /dag-runs/previous': withToken(dagRuns.previousRun),
  'GET /dag-runs/:dag_id/previous': withToken(dagRuns.previousRunOfDag),
  'GET /dag-runs/:dag_id/:run_id': withToken(dagRuns.getRun),
  'GET /dag-runs/:dag_id/:run_id/state': withToken(dagRuns.getRunState),
  'POST /dag-runs/:dag_id/:run_id': withToken(triggerRun),
  'POST /dag-runs/:dag_id/:run_id/clear': withToken(clearRun),
  'GET /dags/:dag_id': withToken(getDag),

  'GET /assets/by-name': withToken(assets.assetByName),
  'GET /assets/by-uri': withToken(assets.assetByUri),
  'GET /assets/by-alias': withToken(assets.assetsByAlias),
  'GET /asset-events/by-asset': withToken(assets.eventsByAsset),
  'GET /asset-events/by-asset-alias': withToken(assets.eventsByAlias),

  'GET /connection-tests/:connection_test_id/connection': withToken(fetchConnection),
  'PATCH /connection-tests/:connection_test_id': withToken(reportResult),

  'PATCH /callbacks/:callback_id/run': withToken(callbacks.start),
  'PATCH /callbacks/:callback_id/state': withToken(callbacks.report),
  'GET /callbacks/:callback_id/variables/*': withToken(callbacks.readVariable),
  'GET /callbacks/:callback_id/connections/:conn_id': withToken(callbacks.readConnection),
  'GET /callbacks/:callback_id/xcoms/:dag_id/:run_id/:task_id/*': withToken(xcoms.getForCallback),
  'HEAD /callbacks/:callback_id/xcoms/:dag_id/:run_id/:task_id/*': withToken(xcoms.headForCallback),

  'POST /hitlDetails/:task_instance_id': withToken(hitl.createRequest),
  'PATCH /hitlDetails/:task_instance_id': withToken(hitl.takeDefaults),
  'GET /hitlDetails/:task_instance_id': withToken(hitl.readAnswer),

  'GET /store/ti/:task_instance_id/*': withToken(stores.getTaskState),
  'PUT /store/ti/:task_instance_id/*': withToken(stores.putTask),
  'DELETE /store/ti/:task_instance_id/*': withToken(stores.deleteTask),
  'DELETE /store/ti/:task_instance_id': withToken(stores.clearTask),
  'GET /store/asset/by-name/value': withToken(stores.getAssetState('name')),
  'PUT /store/asset/by-name/value': withToken(stores.putAsset('name')),
  'DELETE /store/asset/by-name/value': withToken(stores.deleteAsset('name')),
  'DELETE /store/asset/by-name/clear': withToken(stores.clearAsset('name')),
  'GET /store/asset/by-uri/value': withToken(stores.getAssetState('uri')),
  'PUT /store/asset/by-uri/value': withToken(stores.putAsset('uri')),
  'DELETE /store/asset/by-uri/value': withToken(stores.deleteAsset('uri')),
  'DELETE /store/asset/by-uri/clear': withToken(stores.clearAsset('uri')),

  'GET /xcoms/:dag_id/:run_id/:task_id/*': withToken(xcoms.get),
  'HEAD /xcoms/:dag_id/:run_id/:task_id/*': withToken(xcoms.head),
  'POST /xcoms/:dag_id/:run_id/:task_id/*': withToken(xcoms.set),
  'DELETE /xcoms/:dag_id/:run_id/:task_id/*': withToken(xcoms.remove),

  'GET /variables/keys': withToken(variableKeys),
  'GET /variables/*': withToken(getVariable),
  'PUT /variables/*': withToken(putVariable),
  'DELETE /variables/*': withToken(deleteVariable),
  'GET /connections/:conn_id': withToken(getConnection),

  [SUPERVISOR_ROUTES.register]: { withKey: supervisors.register },
  [SUPERVISOR_ROUTES.heartbeat]: withToken(supervisors.heartbeat),
  [SUPERVISOR_ROUTES.interpreter]: withToken(interpreter),
  [SUPERVISOR_ROUTES.claim]: withToken(supervisors.claim),
  [SUPERVISOR_ROUTES.exit]: withToken(supervisors.exit),
  [SUPERVISOR_ROUTES.module]: withToken(dagModule),
  [SUPERVISOR_ROUTES.appendLog]: withToken(appendLog),
  [SUPERVISOR_ROUTES.timetableClaim]: withToken(timetables.claim),
  [SUPERVISOR_ROUTES.timetableAnswer]: withToken(timetables.answer),
  [SUPERVISOR_ROUTES.triggerSync]: withToken(triggers.sync),
  [SUPERVISOR_ROUTES.triggerOutcome]: withToken(triggers.outcome),
  [SUPERVISOR_ROUTES.watcherEvent]: withToken(triggers.event),
  [SUPERVISOR_ROUTES.watcherVariable]: withToken(watcherVariable),
  [SUPERVISOR_ROUTES.watcherConnection]: withToken(watcherConnection),
  [SUPERVISOR_ROUTES.watcherState]: withToken(watcherStates.get),
  [SUPERVISOR_ROUTES.watcherStatePut]: withToken(watcherStates.put),
  [SUPERVISOR_ROUTES.watcherStateDelete]: withToken(watcherStates.remove),
  [SUPERVISOR_ROUTES.watcherStateClear]: withToken(watcherStates.clear),
  [SUPERVISOR_ROUTES.bundles]: withToken(bundles),
  [SUPERVISOR_ROUTES.parseReport]: withToken(report),
  [SUPERVISOR_ROUTES.bundleListing]: withToken(listing),
  [SUPERVISOR_ROUTES.bundleVariable]: withToken(bundleVariable),
  [SUPERVISOR_ROUTES.bundleConnection]: withToken(bundleConnection),
};
