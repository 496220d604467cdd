/** Hands queued task instances, and callbacks, to workers that ask. Nothing is placed ahead of time: a worker asks when it has a slot. */
import { randomBytes } from 'node:crypto';
import { decodeNeeds, NO_NEEDS } from '@airlock/contract/dag/needs';
import type { ExecuteTaskWorkload, TestConnectionWorkload, Workload } from '@airlock/contract/supervisor-api';
import { claimConnectionTest } from '@airlock/store/queries/connection-test/queue';
import { type ClaimedRow, claimQueued, releaseClaims } from '@airlock/store/queries/task-instance/claim';
import type { ControlDeps } from '../deps.ts';
import { logPath } from '../logs/log-path.ts';
import { callbackWorkloads } from './callbacks.ts';
import { waitForEvents } from './wait.ts';
import { makeOrRelease, workloadGit, workloadTi } from './workload-parts.ts';

export type ClaimOptions = {
  readonly supervisorId: string;
  /** Thumbprint of the worker's key; its workload tokens are bound to it. */
  readonly jkt: string;
  readonly slots: number;
  /** Null = every queue. */
  readonly queues: readonly string[] | null;
  /** Epoch ms until which the worker waits when there is nothing. */
  readonly untilMs: number;
  /** The worker is gone, or the server closes. */
  readonly signal: AbortSignal;
};

export type PlacementDeps = Pick<ControlDeps, 'db' | 'clock' | 'config' | 'events' | 'minter' | 'log'>;

/**
 * Claims up to `slots` callbacks and queued task instances, waiting for the first. Callbacks go first: they are few, and say
 * what has gone wrong. Claims whose tokens could not be made, or whose worker has gone meanwhile, are given back at once.
 * @throws DB_UNAVAILABLE, KEY_UNAVAILABLE
 */
export async function claimWorkloads(deps: PlacementDeps, options: ClaimOptions): Promise<Workload[]> {
  const { events, clock } = deps;
  const found = await waitForEvents({ events, clock, kinds: ['queue', 'callback'], ...options }, async () => {
    const callbacks = await callbackWorkloads(deps, options);
    const slots = options.slots - callbacks.length;
    const rows = slots === 0 ? [] : await claimTries(deps, options, slots);
    const tries = rows.length === 0 ? [] : await makeWorkloads(deps, options, rows);
    if (callbacks.length + rows.length > 0) return [...callbacks, ...tries];
    const test = await claimTest(deps, options);
    return test === null ? null : [test];
  });
  return found ?? [];
}

/** Tasks come first: a test waits until one of the workers has nothing else to take. */
async function claimTest(deps: PlacementDeps, { jkt }: ClaimOptions): Promise<TestConnectionWorkload | null> {
  const { config, db, minter } = deps;
  if (config.core.test_connection !== 'Enabled') return null;
  const jti = randomBytes(16).toString('hex');
  const row = await claimConnectionTest(db, jti);
  if (!row) return null;
  const token = await minter.mint('workload', {
    sub: row.id,
    jti,
    // Time to start a Python, and to report.
    ttlSeconds: Math.ceil(row.timeout_seconds) + 60,
    jkt: config.execution_api.token_binding === 'off' ? undefined : jkt,
  });
  return {
    type: 'TestConnection',
    token,
    connection_test_id: row.id,
    connection_id: row.conn_id,
    timeout: row.timeout_seconds,
  };
}

function claimTries(deps: PlacementDeps, options: ClaimOptions, slots: number): Promise<ClaimedRow[]> {
  return claimQueued(deps.db, {
    supervisorId: options.supervisorId,
    queues: options.queues,
    jtis: Array.from({ length: slots }, () => randomBytes(16).toString('hex')),
    nowIso: new Date(deps.clock.nowMs()).toISOString(),
  });
}

async function makeWorkloads(
  deps: PlacementDeps,
  options: ClaimOptions,
  rows: readonly ClaimedRow[],
): Promise<ExecuteTaskWorkload[]> {
  return await makeOrRelease({
    rows,
    make: (row) => makeWorkload(deps, options.jkt, row),
    release: () =>
      releaseClaims(deps.db, {
        supervisorId: options.supervisorId,
        jtis: rows.map((row) => row.workload_jti),
        nowIso: new Date(deps.clock.nowMs()).toISOString(),
      }),
    signal: options.signal,
  });
}

/** The token is made only now: none ever lies in a queue or a table. */
async function makeWorkload(deps: PlacementDeps, jkt: string, row: ClaimedRow): Promise<ExecuteTaskWorkload> {
  const plain = isPlainBearer(deps, row);
  const token = await deps.minter.mint('workload', {
    sub: row.id,
    jti: row.workload_jti,
    ttlSeconds: Math.ceil(deps.config.scheduler.task_queued_timeout),
    jkt: plain || deps.config.execution_api.token_binding === 'off' ? undefined : jkt,
  });
  const airlock = plain ? undefined : runtimeOf(row);
  return {
    type: 'ExecuteTask',
    token,
    ti: workloadTi(row.id, row),
    dag_rel_path: row.relative_fileloc,
    bundle_info: { name: row.bundle_name, version: row.bundle_version },
    log_path: logPath({
      dagId: row.dag_id,
      runId: row.run_id,
      taskId: row.task_id,
      mapIndex: row.map_index,
      tryNumber: row.try_number,
    }),
    sentry_integration: '',
    ...(airlock === undefined ? {} : { airlock }),
  };
}

/** How our own worker runs it; undefined when what it would run is not there: a module, or a bundle. */
function runtimeOf(row: ClaimedRow): ExecuteTaskWorkload['airlock'] {
  const shared = { execution_timeout: row.execution_timeout_seconds, workload_jti: row.workload_jti };
  if (row.runtime !== 'typescript') {
    if (row.bundle_path === null) return undefined;
    return { runtime: 'python', bundle_path: row.bundle_path, ...workloadGit(row), ...shared };
  }
  if (row.module_hash === null) return undefined;
  const needs = decodeNeeds(row.needs ?? undefined) ?? NO_NEEDS;
  return { runtime: 'typescript', module_hash: row.module_hash, needs, ...shared };
}

/** Only the queues of `[workers] command` hold workers that know no proof of possession. */
function isPlainBearer(deps: PlacementDeps, row: ClaimedRow): boolean {
  if (row.runtime === 'typescript' || deps.config.execution_api.token_binding === 'required') return false;
  const { command_queues: queues } = deps.config.workers;
  return queues.includes(row.queue) || queues.includes('*');
}
