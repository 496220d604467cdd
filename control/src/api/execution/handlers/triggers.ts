/** How triggerers are given what to run, and say what it came to. @see scheduling semantics 7.5 */

import { isAppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import {
  type TriggerOutcome,
  type TriggerWorkload,
  triggerOutcome,
  triggerSync,
  watcherEvent,
} from '@airlock/contract/supervisor-api';
import type { RunFacts } from '@airlock/store/queries/dag-run/facts';
import { type ClaimedTrigger, claimTriggers, findLostTriggers } from '@airlock/store/queries/trigger/sync';
import { type ClaimedWatcher, claimWatchers } from '@airlock/store/queries/trigger/watch';
import { documentOfOne } from '../../../domain/start-trigger.ts';
import { waitForEvents } from '../../../executors/wait.ts';
import { workloadGit, workloadTi } from '../../../executors/workload-parts.ts';
import { endTrigger, findModel, recordWatcherEvent } from '../../../runs/index.ts';
import { nowIso, wireInstant } from '../../http/instant.ts';
import { parseJsonBody } from '../../http/json.ts';
import { check, parseBody } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import { secretOwner } from '../../secrets/stored.ts';
import type { Call, ExecutionContext } from '../context.ts';
import { dagRunContext } from '../run-context.ts';
import { forSupervisor } from './supervisors.ts';

/** A triggerer that falls silent sends no event, nor does a Dag that is paused. */
const LOOK_MS = 5_000;

export const sync = forSupervisor(async (context, call) => {
  const body = parseBody(triggerSync, call.request);
  const { config, db, clock, events } = context.deps;
  const supervisorId = call.identity.claims.sub;
  const gone = new AbortController();
  const onClose = () => gone.abort();
  call.request.raw.socket.once('close', onClose);
  try {
    const signal = AbortSignal.any([gone.signal, context.closing]);
    const untilMs = call.nowMs + body.wait_seconds * 1000;
    const found = await waitForEvents(
      { events, clock, kinds: ['trigger'], lookEveryMs: LOOK_MS, untilMs, signal },
      async () => {
        const now = clock.nowMs();
        const cancel = await findLostTriggers(db, { supervisorId, holds: body.holds });
        const wanted = {
          supervisorId,
          holds: body.holds,
          limit: body.slots,
          queues: body.queues,
          seenBeforeIso: nowIso(now - config.triggerer.triggerer_health_check_threshold * 1000),
          nowIso: nowIso(now),
        };
        // Tasks first: what watches for assets has the slots that they leave.
        const claimed = body.slots === 0 ? [] : await claimTriggers(db, wanted);
        const watchers = await claimWatchers(db, { ...wanted, limit: body.slots - claimed.length });
        if (cancel.length + claimed.length + watchers.length === 0) return null;
        return { cancel, run: [...(await workloadsOf(context, call, claimed)), ...watchers.map(watcherWorkload)] };
      },
    );
    return { status: 200, body: found ?? { cancel: [], run: [] } };
  } finally {
    call.request.raw.socket.off('close', onClose);
  }
});

/** Of what was claimed, all whose arguments can be read. The task of any other goes on to fail, and holds nobody up. */
async function workloadsOf(
  context: ExecutionContext,
  call: Call,
  claimed: readonly ClaimedTrigger[],
): Promise<TriggerWorkload[]> {
  const workloads: TriggerWorkload[] = [];
  for (const row of claimed) {
    try {
      workloads.push(await workloadOf(context, row));
    } catch (error) {
      if (!isAppError(error, 'KEY_UNAVAILABLE')) throw error;
      const traceback = ['No configured key opens the arguments of the trigger: see [core] fernet_key.'];
      await end(context, call, row.id, { kind: 'failure', traceback });
    }
  }
  return workloads;
}

async function workloadOf(context: ExecutionContext, row: ClaimedTrigger): Promise<TriggerWorkload> {
  const start = row.run === null ? null : await startOf(context, row, row.run);
  return {
    id: row.id,
    classpath: row.classpath,
    kwargs: row.is_encrypted ? context.box.open(row.kwargs, secretOwner.trigger(row.ti_id)) : row.kwargs,
    runtime: row.runtime === 'typescript' ? 'typescript' : 'python',
    team: row.team,
    bundle_name: row.bundle_name,
    bundle_path: row.bundle_path,
    ...gitOf(row),
    timeout_after: wireInstant(row.trigger_timeout),
    log_offset: row.log_offset,
    ti: workloadTi(row.ti_id, row),
    ...(start === null ? {} : { start }),
  };
}

/** What renders the templates in the arguments of a trigger that its task starts with; null = there are none. */
async function startOf(
  context: ExecutionContext,
  row: ClaimedTrigger,
  run: RunFacts,
): Promise<TriggerWorkload['start'] | null> {
  const model = await findModel(context.db, row.dag_version_id);
  if (!model?.tasks.get(row.task_id)?.startTrigger?.templated) return null;
  return { dag_data: documentOfOne(model.document, row.task_id), dag_run_data: dagRunContext(run) };
}

/** Where a triggerer finds the files of a git bundle, at the commit that was kept; nothing for others. */
function gitOf(row: Pick<ClaimedTrigger, 'bundle_git' | 'bundle_version'>): Pick<TriggerWorkload, 'git'> {
  const { git } = workloadGit(row);
  return git === undefined ? {} : { git: { ...git, version: row.bundle_version ?? '' } };
}

function watcherWorkload(row: ClaimedWatcher): TriggerWorkload {
  return {
    id: row.id,
    classpath: row.classpath,
    kwargs: row.kwargs,
    runtime: 'python',
    team: row.team,
    bundle_name: row.bundle_name,
    bundle_path: row.bundle_path,
    ...gitOf(row),
    timeout_after: null,
    log_offset: 0,
    ti: null,
    assets: [...row.assets],
  };
}

const path = z.object({ trigger_id: wire.int({ ge: 1 }) });

/** The trigger in the path. */
export function triggerIdOf(call: Call): number {
  return check(path, { trigger_id: call.params.trigger_id }, ['path']).trigger_id;
}

/** One event of the assets that a trigger watches for; whose it is and who may take it is decided by the trigger's row. */
export const event = forSupervisor(async (context, call) => {
  const triggerId = triggerIdOf(call);
  const { event_id: eventId, payload } = parseBody(watcherEvent, call.request);
  parseJsonBody(payload);
  const accepted = await context.db.transaction((tx) =>
    recordWatcherEvent(tx, {
      triggerId,
      supervisorId: call.identity.claims.sub,
      eventId,
      payload,
      multiTeam: context.rights.multiTeam,
      nowIso: call.nowIso,
    }),
  );
  return { status: 200, body: { accepted } };
});

export const outcome = forSupervisor(async (context, call) => {
  const triggerId = triggerIdOf(call);
  const body = parseBody(triggerOutcome, call.request);
  requireJson(body);
  const accepted = await end(context, call, triggerId, body);
  return { status: 200, body: { accepted } };
});

/** @throws VALIDATION a value of the author that is no JSON, or too deep */
function requireJson(outcome: TriggerOutcome): void {
  if (outcome.kind === 'event') parseJsonBody(outcome.payload);
  if (outcome.kind === 'end') for (const text of Object.values(outcome.xcoms)) parseJsonBody(text);
}

async function end(
  context: ExecutionContext,
  call: Call,
  triggerId: number,
  outcome: TriggerOutcome,
): Promise<boolean> {
  return await context.db.transaction((tx) =>
    endTrigger(tx, {
      triggerId,
      supervisorId: call.identity.claims.sub,
      outcome,
      nowIso: call.nowIso,
      maxRetryDelaySeconds: context.deps.config.core.max_task_retry_delay,
    }),
  );
}
