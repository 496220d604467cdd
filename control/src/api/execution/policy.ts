/**
 * One row per route: who may call it, whose resource it is, what decides about the thing that it names, and what it costs.
 * A handler without a row, or a row without a handler, stops the boot. @see promise L6
 */
import type { TokenKind } from '@airlock/contract/claims';
import { SUPERVISOR_ROUTES } from '@airlock/contract/supervisor-api';
import type { ServedIn } from './version.ts';

export type ExecutionPolicyRow = {
  /** Kinds of token that may call; `public` = none needed; `ticket` = a proof of possession, but no token yet. */
  readonly tokens: readonly TokenKind[] | 'public' | 'ticket';
  /** `path`: the subject of the token must equal the id in the path. */
  readonly self: 'path' | 'none';
  /**
   * What decides about the thing named, before it is looked up: `own` = only what hangs on the caller's own row;
   * `variable`, `connection`, `xcom`, `run`, `dag`, `asset` = the declared needs (rights.ts, asset-rights.ts); `role` = the
   * registered role of a supervisor; `claim` = what this supervisor was given.
   */
  readonly rights: 'own' | 'variable' | 'connection' | 'xcom' | 'run' | 'dag' | 'asset' | 'role' | 'claim' | 'none';
  /** Absent = every version has the route. */
  readonly servedIn?: ServedIn;
  /** True for the few routes that tell an ended try how it stands; all others refuse it with 403. @see promise L1 */
  readonly tellsEnded?: boolean;
  /** Points per call; 0 = an honest try is never turned away for it. @see promise L16 */
  readonly cost: number;
  /** What the body is, and how many bytes it may have; absent = JSON of the server's usual size. */
  readonly body?: { readonly type: 'json' | 'bytes'; readonly maxBytes: number; readonly maxKeys?: number };
};

const MIB = 1024 * 1024;
const EXECUTION = ['execution'] as const;
const own = (cost: number): ExecutionPolicyRow => ({ tokens: EXECUTION, self: 'path', rights: 'own', cost });
const shared = (rights: ExecutionPolicyRow['rights'], cost: number): ExecutionPolicyRow => ({
  tokens: EXECUTION,
  self: 'none',
  rights,
  cost,
});
/** A triggerer may call it too, for a try whose trigger it runs: with what that try may use, and nothing else. */
const alsoTrigger = (row: ExecutionPolicyRow): ExecutionPolicyRow => ({ ...row, tokens: ['execution', 'trigger'] });

/** The subject of the token is the test itself, not a try. */
const CONNECTION_TEST: ExecutionPolicyRow = {
  tokens: ['workload'],
  self: 'path',
  rights: 'own',
  cost: 5,
  servedIn: { since: '2026-06-30' },
};
/** The subject of the token is a callback. */
const CALLBACK: ExecutionPolicyRow = { tokens: EXECUTION, self: 'path', rights: 'own', cost: 5, tellsEnded: true };
/** The versions that know state stores. */
const STORES: ServedIn = { since: '2026-06-30' };

export const EXECUTION_POLICY: Readonly<Record<string, ExecutionPolicyRow>> = {
  'GET /health': { tokens: 'public', self: 'none', rights: 'none', cost: 0 },
  'GET /health/ping': { tokens: 'public', self: 'none', rights: 'none', cost: 0 },

  'PATCH /task-instances/:task_instance_id/run': {
    tokens: ['execution', 'workload'],
    self: 'path',
    rights: 'own',
    cost: 0,
    tellsEnded: true,
  },
  'PATCH /task-instances/:task_instance_id/state': { ...own(0), tellsEnded: true },
  'PUT /task-instances/:task_instance_id/heartbeat': { ...own(0), tellsEnded: true },
  'PUT /task-instances/:task_instance_id/rtif': { ...own(2), tellsEnded: true },
  'PATCH /task-instances/:task_instance_id/rendered-map-index': own(1),
  'PATCH /task-instances/:task_instance_id/skip-downstream': own(10),
  'GET /task-instances/:task_instance_id/previous-successful-dagrun': own(2),
  'GET /task-instances/:task_instance_id/validate-inlets-and-outlets': own(5),
  'GET /task-reschedules/:task_instance_id/start_date': own(1),
  'GET /task-instances/count': alsoTrigger(shared('run', 20)),
  'GET /task-instances/states': alsoTrigger(shared('run', 20)),

  'GET /task-instances/breadcrumbs': shared('run', 20),
  'GET /task-instances/previous/:dag_id/:task_id': alsoTrigger(shared('run', 5)),

  'GET /dag-runs/count': alsoTrigger(shared('run', 20)),
  'GET /dag-runs/previous': { ...shared('run', 5), servedIn: { since: '2026-04-06' } },
  'GET /dag-runs/:dag_id/previous': { ...shared('run', 5), servedIn: { since: '2025-08-10', until: '2025-11-05' } },
  'GET /dag-runs/:dag_id/:run_id': { ...shared('run', 2), servedIn: { since: '2026-04-06' } },
  'GET /dag-runs/:dag_id/:run_id/state': alsoTrigger(shared('run', 2)),
  'POST /dag-runs/:dag_id/:run_id': {
    ...shared('dag', 50),
    body: { type: 'json', maxBytes: 4 * MIB, maxKeys: 100_000 },
  },
  'POST /dag-runs/:dag_id/:run_id/clear': shared('dag', 50),
  'GET /dags/:dag_id': { ...shared('dag', 2), servedIn: { since: '2026-04-06' } },

  'GET /assets/by-name': shared('asset', 2),
  'GET /assets/by-uri': shared('asset', 2),
  'GET /assets/by-alias': { ...shared('asset', 5), servedIn: { since: '2026-06-30' } },
  'GET /asset-events/by-asset': alsoTrigger(shared('asset', 50)),
  'GET /asset-events/by-asset-alias': shared('asset', 50),

  'GET /connection-tests/:connection_test_id/connection': CONNECTION_TEST,
  'PATCH /connection-tests/:connection_test_id': CONNECTION_TEST,

  'PATCH /callbacks/:callback_id/run': { ...CALLBACK, tokens: ['workload'], cost: 0 },
  'PATCH /callbacks/:callback_id/state': { ...CALLBACK, cost: 0 },
  'GET /callbacks/:callback_id/variables/*': { ...CALLBACK, rights: 'variable', cost: 1 },
  'GET /callbacks/:callback_id/connections/:conn_id': { ...CALLBACK, rights: 'connection', cost: 1 },
  'GET /callbacks/:callback_id/xcoms/:dag_id/:run_id/:task_id/*': { ...CALLBACK, rights: 'xcom', cost: 2 },
  'HEAD /callbacks/:callback_id/xcoms/:dag_id/:run_id/:task_id/*': { ...CALLBACK, rights: 'xcom', cost: 2 },

  'POST /hitlDetails/:task_instance_id': own(5),
  'PATCH /hitlDetails/:task_instance_id': alsoTrigger(own(5)),
  'GET /hitlDetails/:task_instance_id': alsoTrigger(own(1)),

  'GET /store/ti/:task_instance_id/*': { ...own(1), servedIn: STORES },
  'PUT /store/ti/:task_instance_id/*': { ...own(5), servedIn: STORES },
  'DELETE /store/ti/:task_instance_id/*': { ...own(5), servedIn: STORES },
  'DELETE /store/ti/:task_instance_id': { ...own(5), servedIn: STORES },
  'GET /store/asset/by-name/value': alsoTrigger({ ...shared('asset', 2), servedIn: STORES }),
  'PUT /store/asset/by-name/value': alsoTrigger({ ...shared('asset', 5), servedIn: STORES }),
  'DELETE /store/asset/by-name/value': alsoTrigger({ ...shared('asset', 5), servedIn: STORES }),
  'DELETE /store/asset/by-name/clear': alsoTrigger({ ...shared('asset', 5), servedIn: STORES }),
  'GET /store/asset/by-uri/value': alsoTrigger({ ...shared('asset', 2), servedIn: STORES }),
  'PUT /store/asset/by-uri/value': alsoTrigger({ ...shared('asset', 5), servedIn: STORES }),
  'DELETE /store/asset/by-uri/value': alsoTrigger({ ...shared('asset', 5), servedIn: STORES }),
  'DELETE /store/asset/by-uri/clear': alsoTrigger({ ...shared('asset', 5), servedIn: STORES }),

  'GET /xcoms/:dag_id/:run_id/:task_id/*': alsoTrigger(shared('xcom', 2)),
  'HEAD /xcoms/:dag_id/:run_id/:task_id/*': alsoTrigger(shared('xcom', 2)),
  'POST /xcoms/:dag_id/:run_id/:task_id/*': alsoTrigger({
    ...shared('xcom', 5),
    body: { type: 'json', maxBytes: 16 * MIB, maxKeys: 1_000_000 },
  }),
  'DELETE /xcoms/:dag_id/:run_id/:task_id/*': alsoTrigger(shared('xcom', 5)),

  'GET /variables/keys': alsoTrigger({ ...shared('variable', 20), servedIn: { since: '2026-06-30' } }),
  'GET /variables/*': alsoTrigger(shared('variable', 1)),
  'PUT /variables/*': alsoTrigger(shared('variable', 5)),
  'DELETE /variables/*': alsoTrigger(shared('variable', 5)),
  'GET /connections/:conn_id': alsoTrigger(shared('connection', 1)),

  [SUPERVISOR_ROUTES.register]: { tokens: 'ticket', self: 'none', rights: 'none', cost: 0 },
  [SUPERVISOR_ROUTES.heartbeat]: { tokens: ['worker', 'parse', 'trigger'], self: 'path', rights: 'role', cost: 0 },
  [SUPERVISOR_ROUTES.interpreter]: {
    tokens: ['parse'],
    self: 'path',
    rights: 'role',
    cost: 50,
    body: { type: 'json', maxBytes: 4 * MIB },
  },
  [SUPERVISOR_ROUTES.claim]: { tokens: ['worker'], self: 'none', rights: 'role', cost: 0 },
  [SUPERVISOR_ROUTES.exit]: { tokens: ['worker'], self: 'none', rights: 'claim', cost: 0 },
  [SUPERVISOR_ROUTES.module]: own(5),
  [SUPERVISOR_ROUTES.appendLog]: alsoTrigger({ ...own(2), body: { type: 'bytes', maxBytes: 4 * MIB } }),
  [SUPERVISOR_ROUTES.triggerSync]: {
    tokens: ['trigger'],
    self: 'none',
    rights: 'role',
    cost: 1,
    body: { type: 'json', maxBytes: 2 * MIB, maxKeys: 200_000 },
  },
  [SUPERVISOR_ROUTES.triggerOutcome]: {
    tokens: ['trigger'],
    self: 'none',
    rights: 'claim',
    cost: 1,
    body: { type: 'json', maxBytes: 16 * MIB, maxKeys: 1_000_000 },
  },
  [SUPERVISOR_ROUTES.watcherEvent]: {
    tokens: ['trigger'],
    self: 'none',
    rights: 'claim',
    cost: 1,
    body: { type: 'json', maxBytes: MIB },
  },
  // Of the team whose Dags name the trigger, and never where needs must be declared.
  [SUPERVISOR_ROUTES.watcherVariable]: { tokens: ['trigger'], self: 'none', rights: 'claim', cost: 5 },
  [SUPERVISOR_ROUTES.watcherConnection]: { tokens: ['trigger'], self: 'none', rights: 'claim', cost: 5 },
  // Of the assets that its row names, wherever it may speak for them.
  [SUPERVISOR_ROUTES.watcherState]: { tokens: ['trigger'], self: 'none', rights: 'claim', cost: 2 },
  [SUPERVISOR_ROUTES.watcherStatePut]: { tokens: ['trigger'], self: 'none', rights: 'claim', cost: 5 },
  [SUPERVISOR_ROUTES.watcherStateDelete]: { tokens: ['trigger'], self: 'none', rights: 'claim', cost: 5 },
  [SUPERVISOR_ROUTES.watcherStateClear]: { tokens: ['trigger'], self: 'none', rights: 'claim', cost: 5 },
  [SUPERVISOR_ROUTES.timetableClaim]: {
    tokens: ['parse'],
    self: 'none',
    rights: 'role',
    cost: 0,
    body: { type: 'json', maxBytes: 4 * MIB },
  },
  [SUPERVISOR_ROUTES.timetableAnswer]: {
    tokens: ['parse'],
    self: 'none',
    rights: 'claim',
    cost: 1,
    body: { type: 'json', maxBytes: 4 * MIB, maxKeys: 100_000 },
  },
  [SUPERVISOR_ROUTES.bundles]: { tokens: ['parse'], self: 'none', rights: 'role', cost: 10 },
  // Named by the top level of a Python Dag file: by the team of the bundle, and never where needs must be declared.
  [SUPERVISOR_ROUTES.bundleVariable]: { tokens: ['parse'], self: 'none', rights: 'role', cost: 5 },
  [SUPERVISOR_ROUTES.bundleConnection]: { tokens: ['parse'], self: 'none', rights: 'role', cost: 5 },
  [SUPERVISOR_ROUTES.parseReport]: {
    tokens: ['parse'],
    self: 'none',
    rights: 'role',
    cost: 50,
    body: { type: 'json', maxBytes: 32 * MIB, maxKeys: 1_000_000 },
  },
  [SUPERVISOR_ROUTES.bundleListing]: {
    tokens: ['parse'],
    self: 'none',
    rights: 'role',
    cost: 50,
    body: { type: 'json', maxBytes: 32 * MIB },
  },
};

/** Parameters that may name the subject of a token. */
export const SELF_PARAMETERS = ['task_instance_id', 'supervisor_id', 'connection_test_id', 'callback_id'] as const;

/**
 * Compares routes and rows. @throws TypeError naming every route without a row and every row without a route
 */
export function checkExecutionPolicy(
  handlers: Readonly<Record<string, unknown>>,
  policy: Readonly<Record<string, unknown>> = EXECUTION_POLICY,
): void {
  const without = (names: object, other: object) => Object.keys(names).filter((name) => !Object.hasOwn(other, name));
  const noRow = without(handlers, policy);
  const noHandler = without(policy, handlers);
  if (noRow.length + noHandler.length === 0) return;
  throw new TypeError(
    `The policy table of the Execution API does not fit its routes. Handlers without a row: ${noRow.join(', ') || 'none'}. ` +
      `Rows without a handler: ${noHandler.join(', ') || 'none'}.`,
  );
}
