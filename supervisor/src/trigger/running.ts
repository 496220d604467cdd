/**
 * One trigger: what it says goes to the log of the task that waits for it, what it asks is asked for that task, and the first
 * outcome is told to the server until the server has heard it.
 */
import { isAppError } from '@airlock/contract/errors';
import type { CallAnswer } from '@airlock/contract/ipc/trigger';
import {
  TRIGGER_TRY_HEADER,
  type TriggerOutcome,
  type TriggerWorkload,
  triggerOutcomeAnswer,
} from '@airlock/contract/supervisor-api';
import type { ExecutionClient } from '../client/index.ts';
import { learnSecrets, relayedPath } from '../python/relay.ts';
import type { RoleContext } from '../role-context.ts';
import { type Masker, newMasker } from '../task/mask.ts';
import { PATIENT } from '../task/report.ts';
import { TryLog } from '../task/try-log.ts';
import type { TriggerFrame, TriggerHost, TriggerHosts } from './hosts.ts';

/** Requests of one trigger that are under way at once. */
const MAX_CALLS = 16;
const ANSWER_HEADERS = ['airflow-api-version', 'content-type', 'content-range', 'retry-after'];

export type RunningTrigger = {
  /** It has ended and the server knows, or it is no longer ours. Never rejects. */
  readonly done: Promise<void>;
  /** Nobody waits for it here any more. @param ended by a person or in time; false: another triggerer has it */
  cancel(ended: boolean): void;
  /** This triggerer stops: the trigger is somebody else's to run. */
  leave(): void;
};

export function startTrigger(ctx: RoleContext, hosts: TriggerHosts, workload: TriggerWorkload): RunningTrigger {
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
  let calls = 0;

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
  const call = async (frame: Extract<TriggerFrame, { type: 'trigger_call' }>) => {
    const path = relayedPath(`/execution${frame.path}`, ti.id);
    if (path === null) return { status: 404, headers: {}, body: '{"detail":"Not Found"}' };
    const answer = await client.call({
      token: ctx.token,
      method: frame.method,
      path,
      headers: pick(frame.headers, ['airflow-api-version']),
      ...(frame.body === null ? {} : { body: frame.body, contentType: 'application/json' }),
      signal: gone.signal,
    });
    if (answer.status === 200 && frame.method === 'GET') learnSecrets(masker, path, answer);
    return { status: answer.status, headers: pick(answer.headers, ANSWER_HEADERS), body: answer.text() };
  };
  const serve = async (frame: Extract<TriggerFrame, { type: 'trigger_call' }>) => {
    const refuse = (message: string) =>
      host?.send({ type: 'answer', id: frame.id, error: { status: null, code: 'API_UNREACHABLE', message } });
    if (calls >= MAX_CALLS) return refuse(`more than ${MAX_CALLS} requests of one trigger at once`);
    calls++;
    try {
      const value: CallAnswer = await call(frame);
      host?.send({ type: 'answer', id: frame.id, value });
    } catch {
      refuse('The server could not be reached.');
    } finally {
      calls--;
    }
  };
  try {
    host = hosts.enter({
      workload,
      onFrame(frame) {
        if (frame.type === 'trigger_call') void serve(frame);
        else if (settled) return;
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
  return { ...outcome, traceback: outcome.traceback?.map((line) => masker.mask(line)) ?? null };
}

function pick(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  names: readonly string[],
): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') picked[name] = value;
  }
  return picked;
}
