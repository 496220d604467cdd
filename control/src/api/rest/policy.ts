/**
 * Who may call which route: one row per route, and no row means no. A handler without a row, or a row without a handler,
 * stops the boot. PATCH and clearing ask for PUT, as in the reference. @see rest-api 2.9, 3.2
 */
import type { AccountRole } from '@airlock/store/queries/account/get';

export type Resource =
  | 'dag'
  | 'run'
  | 'task'
  | 'task_instance'
  | 'task_logs'
  | 'xcom'
  | 'code'
  | 'version'
  | 'warning'
  | 'audit_log'
  | 'pool'
  | 'variable'
  | 'connection'
  | 'configuration'
  | 'import_errors'
  | 'jobs'
  | 'plugins'
  | 'providers';
export type Verb = 'GET' | 'POST' | 'PUT' | 'DELETE';
export type PolicyRow =
  /** No credential is looked at. */
  | { readonly public: true }
  /** `item` names the path parameter that holds the resource's own id; null = a collection. */
  | { readonly resource: Resource; readonly verb: Verb; readonly item: string | null };

const RANK: Readonly<Record<AccountRole, number>> = { viewer: 0, user: 1, op: 2, admin: 3 };

/** Least role that may read, and that may write; null = nobody but an admin. */
const NEEDS: Readonly<Record<Resource, { read: AccountRole; write: AccountRole }>> = {
  dag: { read: 'viewer', write: 'user' },
  run: { read: 'viewer', write: 'user' },
  task: { read: 'viewer', write: 'user' },
  task_instance: { read: 'viewer', write: 'user' },
  task_logs: { read: 'viewer', write: 'user' },
  xcom: { read: 'viewer', write: 'user' },
  code: { read: 'viewer', write: 'user' },
  version: { read: 'viewer', write: 'user' },
  warning: { read: 'viewer', write: 'user' },
  audit_log: { read: 'viewer', write: 'user' },
  pool: { read: 'viewer', write: 'op' },
  configuration: { read: 'op', write: 'op' },
  connection: { read: 'op', write: 'op' },
  variable: { read: 'op', write: 'op' },
  import_errors: { read: 'viewer', write: 'admin' },
  jobs: { read: 'viewer', write: 'admin' },
  plugins: { read: 'viewer', write: 'admin' },
  providers: { read: 'viewer', write: 'admin' },
};

/** Whether somebody of this role may do that. Pure. */
export function isAllowed(role: AccountRole, row: Exclude<PolicyRow, { public: true }>): boolean {
  const needs = NEEDS[row.resource];
  return RANK[role] >= RANK[row.verb === 'GET' ? needs.read : needs.write];
}

const of = (resource: Resource, verb: Verb, item: string | null = null): PolicyRow => ({ resource, verb, item });
const RUN = '/dags/:dag_id/dagRuns/:dag_run_id';
const TI = `${RUN}/taskInstances`;

export const REST_POLICY: Readonly<Record<string, PolicyRow>> = {
  'GET /version': { public: true },
  'GET /monitor/health': { public: true },
  'GET /auth/login': { public: true },
  'GET /auth/logout': { public: true },

  'GET /dags': of('dag', 'GET'),
  'PATCH /dags': of('dag', 'PUT'),
  'GET /dags/:dag_id': of('dag', 'GET', 'dag_id'),
  'GET /dags/:dag_id/details': of('dag', 'GET', 'dag_id'),
  'PATCH /dags/:dag_id': of('dag', 'PUT', 'dag_id'),
  'GET /dagTags': of('dag', 'GET'),
  'GET /dagSources/:dag_id': of('code', 'GET', 'dag_id'),
  'GET /dagStats': of('run', 'GET'),
  'GET /dags/:dag_id/dagVersions': of('version', 'GET', 'dag_id'),
  'GET /dags/:dag_id/dagVersions/:version_number': of('version', 'GET', 'dag_id'),
  'GET /dagWarnings': of('warning', 'GET'),
  'GET /dags/:dag_id/tasks': of('task', 'GET', 'dag_id'),
  'GET /dags/:dag_id/tasks/:task_id': of('task', 'GET', 'dag_id'),

  'GET /dags/:dag_id/dagRuns': of('run', 'GET', 'dag_id'),
  'POST /dags/:dag_id/dagRuns': of('run', 'POST', 'dag_id'),
  'POST /dags/:dag_id/dagRuns/list': of('run', 'GET', 'dag_id'),
  [`GET ${RUN}`]: of('run', 'GET', 'dag_id'),
  [`PATCH ${RUN}`]: of('run', 'PUT', 'dag_id'),
  [`DELETE ${RUN}`]: of('run', 'DELETE', 'dag_id'),
  [`POST ${RUN}/clear`]: of('run', 'PUT', 'dag_id'),

  [`GET ${TI}`]: of('task_instance', 'GET', 'dag_id'),
  [`POST ${TI}/list`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/listMapped`]: of('task_instance', 'GET', 'dag_id'),
  [`PATCH ${TI}/:task_id`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/:map_index`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/dry_run`]: of('task_instance', 'PUT', 'dag_id'),
  [`PATCH ${TI}/:task_id/:map_index/dry_run`]: of('task_instance', 'PUT', 'dag_id'),
  'POST /dags/:dag_id/clearTaskInstances': of('task_instance', 'PUT', 'dag_id'),
  [`GET ${TI}/:task_id/tries`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/tries`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/tries/:task_try_number`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/:map_index/tries/:task_try_number`]: of('task_instance', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/logs/:try_number`]: of('task_logs', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/xcomEntries`]: of('xcom', 'GET', 'dag_id'),
  [`GET ${TI}/:task_id/xcomEntries/*`]: of('xcom', 'GET', 'dag_id'),

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
};
