/**
 * One trigger: what it says goes to the log of the task that waits for it, what it asks is asked for that task, and the first
 * outcome is told to the server until the server has heard it.
 */
import { isAppError } from '@airlock/contract/errors';
import {
  TRIGGER_TRY_HEADER,
  type TriggerOutcome,
  type TriggerWorkload,
  triggerOutcomeAnswer,
} from '@airlock/contract/supervisor-api';
import type { ExecutionClient } from '../client/index.ts';
import { relayedPath } from '../python/relay.ts';
import type { RoleContext } from '../role-context.ts';
import { type Masker, newMasker } from '../task/mask.ts';
import { PATIENT } from '../task/report.ts';
import { TryLog } from '../task/try-log.ts';
import { createCalls } from './calls.ts';
import type { TriggerHost, TriggerHosts } from './hosts.ts';

/** A trigger that a try waits for. */
export type TaskTrigger = TriggerWorkload & { readonly ti: NonNullable<TriggerWorkload['ti']> };

export type RunningTrigger = {
  /** It has ended and the server knows, or it is no longer ours. Never rejects. */
  readonly done: Promise<void>;
  /** Nobody waits for it here any more. @param ended by a person or in time; false: another triggerer has it */
  cancel(ended: boolean): void;
  /** This triggerer stops: the trigger is somebody else's to run. */
  leave(): void;
};

export function startTrigger(ctx: RoleContext, hosts: TriggerHosts, workload: TaskTrigger): RunningTrigger {
  const { ti } = workload;
  const done = Promise.withResolvers<void>();
  const masker = newMasker(ctx.config);
  const gone = new AbortController();
  // Asked for this try: the server looks at its row, and whether its trigger is ours.
  const client: ExecutionClient = {
    ...ctx.client,
    call: (options) => ctx.client.call({ ...options, headers: { ...options.headers, [TRIGGER_TRY_HEADER]: ti.id } }),
  };
  const log = new TryLog({
    client,
    token: ctx.token,
    taskInstanceId: ti.id,
    masker,
    clock: ctx.clock,
    maxBytes: ctx.config.logging.max_log_bytes,
    hold: () => undefined,
    offset: workload.log_offset,
  });
  let host: TriggerHost | null = null;
  let settled = false;

  const end = () => {
    settled = true;
    gone.abort();
    host?.leave();
    done.resolve();
  };
  const report = async (outcome: TriggerOutcome) => {
    if (settled) return;
    settled = true;
    // The log is complete before the task can go on: what is said later, nobody may write any more.
    await log.flush();
    try {
      const answer = await ctx.client.call({
        token: ctx.token,
        method: 'POST',
        path: `/triggers/${workload.id}/outcome`,
        json: outcome,
        retry: PATIENT,
        signal: gone.signal,
      });
      if (answer.status !== 200) {
        ctx.log.warn({ trigger: workload.id, status: answer.status }, 'the server did not take an outcome');
        if (outcome.kind !== 'failure' && answer.status >= 400 && answer.status < 500 && answer.status !== 403) {
          settled = false;
          const reason = `The server refused what the trigger came to (${answer.status}).`;
          return await report({ kind: 'failure', traceback: [reason] });
        }
      } else if (!triggerOutcomeAnswer.parse(answer.json()).accepted)
        ctx.log.info({ trigger: workload.id }, 'nobody waited for an outcome any more');
    } catch (error) {
      if (!gone.signal.aborted) ctx.log.warn({ err: error, trigger: workload.id }, 'an outcome could not be told');
    }
    end();
  };
  const fail = (reason: string) => {
    log.add('airlock', 'error', reason);
    void report({ kind: 'failure', traceback: [reason] });
  };
  const calls = createCalls({
    ctx,
    client,
    pathFor: (path) => relayedPath(path, ti.id),
    masker,
    signal: gone.signal,
    send: (answer) => host?.send(answer),
  });
  try {
    host = hosts.enter({
      workload,
      onFrame(frame) {
        if (frame.type === 'trigger_call') void calls.serve(frame);
        else if (settled || frame.type === 'trigger_event') return;
        else if (frame.type === 'trigger_log') log.add('trigger', frame.level, frame.event, frame.fields);
        else void report(shownOf(masker, frame.outcome));
      },
      fail,
      onRestart: () =>
        log.add('airlock', 'warning', 'The process that runs the trigger has died; the trigger begins anew.'),
    });
  } catch (error) {
    ctx.log.warn({ err: error, trigger: workload.id }, 'a trigger could not be started');
    fail(isAppError(error) ? `${error.message} ${error.remedy}` : 'The triggerer could not start this trigger.');
  }
  return {
    done: done.promise,
    cancel(ended) {
      if (settled) return;
      host?.send({ type: 'trigger_cancel', id: workload.id, kill: ended });
      log.close();
      end();
    },
    leave() {
      log.close();
      end();
    },
  };
}

/** The reason of a failure is what people read; what an event carries is data, and stays. */
function shownOf(masker: Masker, outcome: TriggerOutcome): TriggerOutcome {
  if (outcome.kind !== 'failure') return outcome;
  return { ...outcome, traceback: outcome.traceback?.map((line) => masker.maskCut(line)) ?? null };
}
