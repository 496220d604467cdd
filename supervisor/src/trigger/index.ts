/**
 * The trigger role: runs the triggers that deferred tasks wait for and those that watch for assets, in one sandboxed child for
 * each team and bundle, and says what each came to. Which are its own is the server's to say, each time: what it holds it tells, and what it should hold it
 * is told.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type TriggerWorkload, triggerSyncAnswer } from '@airlock/contract/supervisor-api';
import type { Role, RoleContext } from '../role-context.ts';
import { createTriggerHosts } from './hosts.ts';
import { type RunningTrigger, startTrigger } from './running.ts';
import { startWatcher } from './watcher.ts';

/** How long a request waits at the server; while there is something to run, no longer than a cancellation may take. */
const WAIT_SECONDS = 20;
const BUSY_WAIT_SECONDS = 2;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

export function startTriggerRole(ctx: RoleContext): Role {
  const { triggerer } = ctx.config;
  const running = new Map<number, RunningTrigger>();
  const hosts = createTriggerHosts(ctx);
  const stopped = new AbortController();
  const { signal } = stopped;

  const accept = (workload: TriggerWorkload) => {
    const { ti } = workload;
    const one = ti === null ? startWatcher(ctx, hosts, workload) : startTrigger(ctx, hosts, { ...workload, ti });
    running.set(workload.id, one);
    void one.done.finally(() => {
      if (running.get(workload.id) === one) running.delete(workload.id);
    });
  };
  const syncOnce = async (): Promise<boolean> => {
    const free = triggerer.capacity - running.size;
    const answer = await ctx.client.call({
      token: ctx.token,
      method: 'POST',
      path: '/triggers/sync',
      json: {
        holds: [...running.keys()],
        slots: Math.max(0, Math.min(free, triggerer.max_trigger_to_select_per_loop)),
        queues: triggerer.queues_enabled && triggerer.queues.length > 0 ? triggerer.queues : null,
        wait_seconds: running.size > 0 ? BUSY_WAIT_SECONDS : WAIT_SECONDS,
      },
      timeoutMs: (WAIT_SECONDS + 10) * 1000,
      retry: false,
      signal,
    });
    if (answer.status !== 200) {
      ctx.log.warn({ status: answer.status }, 'the server gives no triggers');
      return false;
    }
    const { run, cancel } = triggerSyncAnswer.parse(answer.json());
    for (const { id, ended } of cancel) running.get(id)?.cancel(ended);
    for (const workload of run) if (!running.has(workload.id)) accept(workload);
    // What was cancelled is held until it has ended: without a pause the server would say so again at once.
    if (cancel.length > 0) await delay(FIRST_PAUSE_MS, undefined, { signal });
    return true;
  };
  const loop = (async () => {
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const fine = await syncOnce().catch((error: unknown) => {
        if (!signal.aborted) ctx.log.warn({ err: error }, 'asking for triggers failed');
        return false;
      });
      if (fine) pauseMs = FIRST_PAUSE_MS;
      else {
        await delay(pauseMs, undefined, { signal }).catch(() => undefined);
        pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      }
    }
  })();
  return {
    async stop() {
      stopped.abort();
      await loop;
      for (const one of running.values()) one.leave();
      await hosts.stop();
      await Promise.allSettled([...running.values()].map((one) => one.done));
    },
  };
}
