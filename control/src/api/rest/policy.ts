/**
 * Who may call which route: one row per route, and no row means no. A handler without a row, or a row without a handler,
 * stops the boot. What each role may is the auth manager's business. @see rest-api 3.2
 */
import type { Method, Resource } from '../../auth-managers/auth-manager.ts';

export type PolicyRow =
  /** No credential is looked at. */
  | { readonly public: true }
  /** `item` names the path parameter that holds the resource's own id; null = a collection. */
  | {
      readonly resource: Resource;
      readonly method: Method;
      readonly item: string | null;
      /** What else the caller must be allowed, of no one thing. */
      readonly also?: ReadonlyArray<{ readonly resource: Resource; readonly method: Method }>;
    };

const of = (resource: Resource, method: Method, item: string | null = null): PolicyRow => ({ resource, method, item });
const and = (row: ReturnType<typeof of>, ...also: Array<[Resource, Method]>): PolicyRow => ({
  ...row,
  also: also.map(([resource, method]) => ({ resource, method })),
});
const RUN = '/dags/:dag_id/dagRuns/:dag_run_id';
const TI = `${RUN}/taskInstances`;

export const REST_POLICY: Readonly<Record<string, PolicyRow>> = {
  'GET /version': { public: true },
  'GET /monitor/health': { public: true },
  'GET /auth/login': { public: true },
  'GET /auth/logout': { public: true },
  'POST /auth/logout': { public: true },

  'GET /dags': of('dag', 'GET'),
  'PATCH /dags': of('dag', 'PUT'),
  'GET /dags/:dag_id': of('dag', 'GET', 'dag_id'),
  'GET /dags/:dag_id/details': of('dag', 'GET', 'dag_id'),
  'GET /dags/:dag_id/nextRuns': of('dag', 'GET', 'dag_id'),
  'PATCH /dags/:dag_id': of('dag', 'PUT', 'dag_id'),
  'DELETE /dags/:dag_id': of('dag', 'DELETE', 'dag_id'),
  // A star is the caller's own, and changes nothing of the Dag.
  'POST /dags/:dag_id/favorite': of('dag', 'GET', 'dag_id'),
  'POST /dags/:dag_id/unfavorite': of('dag', 'GET', 'dag_id'),
  'PUT /parseDagFile/:file_token': of('dag', 'PUT'),
  'GET /dagTags': of('dag', 'GET'),
  'GET /dagSources/:dag_id': of('code', 'GET', 'dag_id'),
  'GET /dagStats': of('run', 'GET'),
  'GET /dags/:dag_id/dagVersions': of('version', 'GET', 'dag_id'),
  'GET /dags/:dag_id/dagVersions/:version_number': of('version', 'GET', 'dag_id'),
  'GET /dagWarnings': of('warning', 'GET'),
  'GET /dags/:dag_id/observedNeeds': of('dag', 'GET', 'dag_id'),
  'GET /dags/:dag_id/tasks': of('task', 'GET', 'dag_id'),
  'GET /dags/:dag_id/tasks/:task_id': of('task', 'GET', 'dag_id'),

  'GET /dags/:dag_id/dagRuns': of('run', 'GET', 'dag_id'),
  'POST /dags/:dag_id/dagRuns': of('run', 'POST', 'dag_id'),
  'POST /dags/:dag_id/dagRuns/list': of('run', 'GET', 'dag_id'),
  [`GET ${RUN}`]: of('run', 'GET', 'dag_id'),
  [`GET ${RUN}/wait`]: of('run', 'GET', 'dag_id'),
  [`PATCH ${RUN}`]: of('run', 'PUT', 'dag_id'),
  [`DELETE ${RUN}`]: of('run', 'DELETE', 'dag_id'),
  [`POST ${RUN}/clear`]: of('run', 'PUT', 'dag_id'),
  'PATCH /dags/:dag_id/dagRuns': of('run', 'PUT', 'dag_id'),
  'POST /dags/:dag_id/clearDagRuns': of('run', 'PUT', 'dag_id'),
  'POST /dags/:dag_id/clearPartitions': of('run', 'PUT', 'dag_id'),

  [`GET ${RUN}/waiting`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${RUN}/deadlines`]: of('run', 'GET', 'dag_id'),
  [`GET ${RUN}/callbacks`]: of('task_logs', 'GET', 'dag_id'),
  [`GET ${TI}`]: of('task_instance', 'GET', 'dag_id'),
  [`PATCH ${TI}`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${RUN}/taskGroupInstances/:group_id`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${RUN}/taskGroupInstances/:group_id/dry_run`]: of('task_instance', 'PUT', 'dag_id'),
  [`POST ${TI}/list`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/listMapped`]: of('task_instance', 'GET', 'dag_id'),
  [`PATCH ${TI}/:task_id`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/:map_index`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/dry_run`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/:map_index/dry_run`]: of('task_instance', 'PUT', 'dag_id'),
  [`DELETE ${TI}/:task_id`]: of('task_instance', 'DELETE', 'dag_id'),
  [`GET ${TI}/:task_id/dependencies`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/dependencies`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/links`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/externalLogUrl/:try_number`]: of('task_logs', 'GET', 'dag_id'),
  'POST /dags/:dag_id/clearTaskInstances': of('task_instance', 'PUT', 'dag_id'),
  [`GET ${TI}/:task_id/tries`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/tries`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/tries/:task_try_number`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/tries/:task_try_number`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/logs/:try_number`]: of('task_logs', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/xcomEntries`]: of('xcom', 'GET', 'dag_id'),
  [`GET ${RUN}/hitlDetails`]: of('hitl_detail', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/hitlDetails`]: of('hitl_detail', 'GET', 'dag_id'),
  [`PATCH ${TI}/:task_id/:map_index/hitlDetails`]: of('hitl_detail', 'PUT', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/hitlDetails/tries/:try_number`]: of('hitl_detail', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/state-store`]: of('task_instance', 'GET', 'dag_id'),
  [`DELETE ${TI}/:task_id/state-store`]: of('task_instance', 'DELETE', 'dag_id'),
  [`GET ${TI}/:task_id/state-store/*`]: of('task_instance', 'GET', 'dag_id'),
  [`PUT ${TI}/:task_id/state-store/*`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/state-store/*`]: of('task_instance', 'PUT', 'dag_id'),
  [`DELETE ${TI}/:task_id/state-store/*`]: of('task_instance', 'DELETE', 'dag_id'),
  [`POST ${TI}/:task_id/xcomEntries`]: of('xcom', 'POST', 'dag_id'),
  [`GET ${TI}/:task_id/xcomEntries/*`]: of('xcom', 'GET', 'dag_id'),
  [`PATCH ${TI}/:task_id/xcomEntries/*`]: of('xcom', 'PUT', 'dag_id'),
  [`DELETE ${TI}/:task_id/xcomEntries/*`]: of('xcom', 'DELETE', 'dag_id'),

  'GET /backfills': of('run', 'GET'),
  'POST /backfills': of('run', 'POST'),
  'POST /backfills/dry_run': of('run', 'POST'),
  'GET /backfills/:backfill_id': of('run', 'GET'),
  'PUT /backfills/:backfill_id/pause': of('run', 'PUT'),
  'PUT /backfills/:backfill_id/unpause': of('run', 'PUT'),
  'PUT /backfills/:backfill_id/cancel': of('run', 'PUT'),

  'GET /assets': and(of('asset', 'GET'), ['asset_alias', 'GET']),
  'GET /assets/aliases': of('asset_alias', 'GET'),
  'GET /assets/aliases/:asset_alias_id': of('asset_alias', 'GET', 'asset_alias_id'),
  'GET /assets/:asset_id': and(of('asset', 'GET', 'asset_id'), ['asset_alias', 'GET']),
  // Which Dag makes the asset, and whether the caller may trigger it, is found out by the handler.
  'POST /assets/:asset_id/materialize': of('asset', 'POST', 'asset_id'),
  'GET /assets/:asset_id/state-store': of('asset', 'GET', 'asset_id'),
  'DELETE /assets/:asset_id/state-store': of('asset', 'DELETE', 'asset_id'),
  'GET /assets/:asset_id/state-store/*': of('asset', 'GET', 'asset_id'),
  'PUT /assets/:asset_id/state-store/*': of('asset', 'PUT', 'asset_id'),
  'DELETE /assets/:asset_id/state-store/*': of('asset', 'DELETE', 'asset_id'),
  'GET /assets/events': of('asset', 'GET'),
  'POST /assets/events': of('asset', 'POST'),
  [`GET ${RUN}/upstreamAssetEvents`]: and(of('run', 'GET', 'dag_id'), ['asset', 'GET']),
  'GET /assets/:asset_id/queuedEvents': of('asset', 'GET', 'asset_id'),
  'DELETE /assets/:asset_id/queuedEvents': and(of('asset', 'DELETE', 'asset_id'), ['dag', 'PUT']),
  'GET /dags/:dag_id/assets/queuedEvents': and(of('dag', 'GET', 'dag_id'), ['asset', 'GET']),
  'DELETE /dags/:dag_id/assets/queuedEvents': and(of('dag', 'PUT', 'dag_id'), ['asset', 'DELETE']),
  'GET /dags/:dag_id/assets/:asset_id/queuedEvents': and(of('dag', 'GET', 'dag_id'), ['asset', 'GET']),
  'DELETE /dags/:dag_id/assets/:asset_id/queuedEvents': and(of('dag', 'PUT', 'dag_id'), ['asset', 'DELETE']),

  'GET /variables': of('variable', 'GET'),
  'POST /variables': of('variable', 'POST'),
  'PATCH /variables': of('variable', 'PUT'),
  'GET /variables/*': of('variable', 'GET', '*'),
  'PATCH /variables/*': of('variable', 'PUT', '*'),
  'DELETE /variables/*': of('variable', 'DELETE', '*'),
  'GET /connections': of('connection', 'GET'),
  'POST /connections': of('connection', 'POST'),
  'PATCH /connections': of('connection', 'PUT'),
  'POST /connections/test': of('connection', 'POST'),
  'POST /connections/enqueue-test': of('connection', 'POST'),
  'GET /connections/enqueue-test': of('connection', 'GET'),
  'POST /connections/defaults': of('connection', 'POST'),
  'GET /connections/:connection_id': of('connection', 'GET', 'connection_id'),
  'PATCH /connections/:connection_id': of('connection', 'PUT', 'connection_id'),
  'DELETE /connections/:connection_id': of('connection', 'DELETE', 'connection_id'),
  'GET /pools': of('pool', 'GET'),
  'POST /pools': of('pool', 'POST'),
  'PATCH /pools': of('pool', 'PUT'),
  'GET /pools/*': of('pool', 'GET', '*'),
  'PATCH /pools/*': of('pool', 'PUT', '*'),
  'DELETE /pools/*': of('pool', 'DELETE', '*'),

  'GET /importErrors': of('import_errors', 'GET'),
  'GET /importErrors/:import_error_id': of('import_errors', 'GET', 'import_error_id'),
  'GET /eventLogs': of('audit_log', 'GET'),
  'GET /eventLogs/:event_log_id': of('audit_log', 'GET', 'event_log_id'),
  'GET /jobs': of('jobs', 'GET'),
  'GET /providers': of('providers', 'GET'),
  'GET /plugins': of('plugins', 'GET'),
  'GET /plugins/importErrors': of('plugins', 'GET'),
  'GET /config': of('configuration', 'GET'),
  'GET /config/section/:section/option/:option': of('configuration', 'GET'),
};
