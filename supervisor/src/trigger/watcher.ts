/**
 * One trigger that watches for assets: each of its events is told to the server, one after the other, and when it ends it
 * begins anew, for as long as the server wants it. No task waits, so what it says is in the triggerer's own log.
 */
import { randomUUID } from 'node:crypto';
import { isAppError } from '@airlock/contract/errors';
import { type TriggerWorkload, triggerOutcomeAnswer } from '@airlock/contract/supervisor-api';
import { watcherPath } from '../python/relay.ts';
import type { RoleContext } from '../role-context.ts';
import { newMasker } from '../task/mask.ts';
import { PATIENT } from '../task/report.ts';
import { CallRefused, createCalls } from './calls.ts';
import type { TriggerFrame, TriggerHost, TriggerHosts } from './hosts.ts';
import type { RunningTrigger } from './running.ts';

/** Before it begins anew: after an end without a failure, and after the first of several failures, each twice the one before. */
const PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 300_000;
/** Of one line of a log, characters. */
const MAX_LINE = 2000;

export function startWatcher(ctx: RoleContext, hosts: TriggerHosts, workload: TriggerWorkload): RunningTrigger {
  const done = Promise.withResolvers<void>();
  const masker = newMasker(ctx.config);
  const gone = new AbortController();
  const log = ctx.log.child({ trigger: workload.id, assets: workload.assets?.map(({ name }) => name) });
  let host: TriggerHost | null = null;
  let pause: NodeJS.Timeout | null = null;
  let failures = 0;
  /** Events are told in their order. */
  let told: Promise<unknown> = Promise.resolve();

  const shown = (text: string) => masker.mask(text).slice(0, MAX_LINE);
  const again = (afterMs: number) => {
    if (gone.signal.aborted || pause !== null) return;
    host?.leave();
    host = null;
    pause = setTimeout(() => {
      pause = null;
      begin();
    }, afterMs).unref();
  };
  const failed = (reason: string) => {
    if (gone.signal.aborted || pause !== null) return;
    const pauseMs = Math.min(LONGEST_PAUSE_MS, PAUSE_MS * 2 ** failures++);
    log.warn({ reason: shown(reason), pauseMs }, 'a trigger of an asset has failed, and begins anew after a pause');
    again(pauseMs);
  };
  /** What has happened outside is said until the server has heard it, however long that takes. */
  const tell = async (payload: string): Promise<boolean> => {
    const json = { event_id: randomUUID(), payload };
    for (;;) {
      const answer = await ctx.client
        .call({
          token: ctx.token,
          method: 'POST',
          path: `/triggers/${workload.id}/events`,
          json,
          retry: PATIENT,
          signal: gone.signal,
        })
        .catch((error: unknown) => {
          gone.signal.throwIfAborted();
          log.warn({ err: error }, 'an event of an asset could not be told; it is said again');
          return null;
        });
      if (answer?.status === 200) return triggerOutcomeAnswer.parse(answer.json()).accepted;
      if (answer !== null && answer.status < 500)
        throw new CallRefused(`The server refused the event (${answer.status}).`);
    }
  };
  const calls = createCalls({
    ctx,
    client: ctx.client,
    pathFor: (path) => watcherPath(path, workload.id),
    masker,
    signal: gone.signal,
    send: (answer) => host?.send(answer),
  });
  const onFrame = (frame: TriggerFrame) => {
    // Between two lives it says nothing that counts.
    if (host === null) return;
    switch (frame.type) {
      case 'trigger_call':
        void calls.serve(frame);
        return;
      case 'trigger_event':
        failures = 0;
        void calls.answer(frame.id, () => {
          const mine = told.then(() => tell(frame.payload));
          told = mine.catch(() => undefined);
          return mine;
        });
        return;
      case 'trigger_log':
        log.info({ level_said: frame.level, line: shown(frame.event) }, 'a trigger of an asset says');
        return;
      case 'trigger_outcome':
        if (frame.outcome.kind === 'failure' && frame.outcome.traceback !== null)
          failed(frame.outcome.traceback.join(''));
        else again(PAUSE_MS);
    }
  };
  const begin = () => {
    try {
      host = hosts.enter({ workload, onFrame, fail: failed, onRestart: () => undefined });
    } catch (error) {
      failed(isAppError(error) ? `${error.message} ${error.remedy}` : 'The triggerer could not start it.');
    }
  };
  const end = () => {
    gone.abort();
    if (pause !== null) clearTimeout(pause);
    host?.leave();
    done.resolve();
  };
  begin();
  return {
    done: done.promise,
    cancel() {
      // Nothing that it began elsewhere has to end: nobody's task was ended.
      host?.send({ type: 'trigger_cancel', id: workload.id, kill: false });
      end();
    },
    leave: end,
  };
}
