/** Hands callbacks to workers that ask: workloads of their own, each with a token for itself alone. */
import { randomBytes } from 'node:crypto';
import type { ExecuteCallbackWorkload } from '@airlock/contract/callbacks';
import { type ClaimedCallback, claimCallbacks, releaseCallbacks } from '@airlock/store/queries/callback/claim';
import type { EventHub } from '../deps.ts';
import type { ClaimOptions, PlacementDeps } from './placement.ts';
import { makeOrRelease, workloadGit } from './workload-parts.ts';

/** Most callbacks that one request takes. */
const MAX_AT_ONCE = 20;
/** How soon a worker looks again that found none and heard of none: a notification may be lost. */
const LOOK_AGAIN_MS = 5_000;
/** From the claim to the start; a claim that was not started is taken back long before. */
const TOKEN_SECONDS = 60;

/**
 * When each supervisor found no callback, forgotten whenever one is announced: tasks are asked for far more often than there
 * are callbacks, and such a request must not cost a second statement.
 */
const foundNone = new WeakMap<EventHub, Map<string, number>>();

function noneOf(events: EventHub): Map<string, number> {
  const known = foundNone.get(events);
  if (known) return known;
  const none = new Map<string, number>();
  foundNone.set(events, none);
  events.on((event) => {
    if (event.kind === 'callback') none.clear();
  });
  events.onGap(() => none.clear());
  return none;
}

/** Claims callbacks, at most as many as the worker has slots; none is waited for. @throws DB_UNAVAILABLE, KEY_UNAVAILABLE */
export async function callbackWorkloads(
  deps: PlacementDeps,
  options: ClaimOptions,
): Promise<readonly ExecuteCallbackWorkload[]> {
  const { supervisorId } = options;
  const nowMs = deps.clock.nowMs();
  const none = noneOf(deps.events);
  if (nowMs - (none.get(supervisorId) ?? Number.NEGATIVE_INFINITY) < LOOK_AGAIN_MS) return [];
  // Before the look, so that what is announced meanwhile is not overlooked.
  none.set(supervisorId, nowMs);
  const rows = await claimCallbacks(deps.db, {
    supervisorId,
    queues: options.queues,
    commandQueues: deps.config.workers.command_queues,
    jtis: Array.from({ length: Math.min(options.slots, MAX_AT_ONCE) }, () => randomBytes(16).toString('hex')),
    nowIso: new Date(nowMs).toISOString(),
  });
  if (rows.length === 0) return [];
  none.delete(supervisorId);
  return await makeOrRelease({
    rows,
    make: (row) => makeWorkload(deps, options.jkt, row),
    release: () =>
      releaseCallbacks(deps.db, {
        supervisorId,
        jtis: rows.map((row) => row.workload_jti),
        nowIso: new Date(deps.clock.nowMs()).toISOString(),
      }),
    signal: options.signal,
  });
}

async function makeWorkload(deps: PlacementDeps, jkt: string, row: ClaimedCallback): Promise<ExecuteCallbackWorkload> {
  const token = await deps.minter.mint('workload', {
    sub: row.id,
    jti: row.workload_jti,
    ttlSeconds: TOKEN_SECONDS,
    jkt: deps.config.execution_api.token_binding === 'off' ? undefined : jkt,
  });
  const path = row.target?.path;
  return {
    type: 'ExecuteCallback',
    token,
    dag_rel_path: row.relative_fileloc,
    bundle_info: { name: row.bundle_name, version: row.bundle_version },
    log_path: `executor_callbacks/${row.dag_id}/${row.run_id}/${row.id}`,
    callback: {
      id: row.id,
      fetch_method: path === undefined ? 'dag_attribute' : 'import_path',
      // What it is called with is told at the start, with everything else.
      data: { path: path ?? `on_${row.event}_callback`, kwargs: {} },
    },
    airlock: {
      runtime: row.module_hash === null ? 'python' : 'typescript',
      bundle_path: row.bundle_path,
      ...workloadGit(row),
    },
  };
}
