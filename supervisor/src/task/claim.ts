/** Asks for work: one request always waits at the server while there is room, so that new work needs no round trip to ask. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Workload } from '@airlock/contract/supervisor-api';
import type { RoleContext } from '../role-context.ts';

const WAIT_SECONDS = 20;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 2000;

export type ClaimLoopOptions = {
  readonly ctx: RoleContext;
  readonly freeSlots: () => number;
  /** Resolves when a try has ended. */
  readonly slotFreed: () => Promise<void>;
  readonly accept: (workloads: readonly Workload[]) => void;
  /** @throws ZodError */
  readonly parse: (body: unknown) => readonly Workload[];
};

export function claimLoop({ ctx, freeSlots, slotFreed, accept, parse }: ClaimLoopOptions): { stop(): Promise<void> } {
  const stopped = new AbortController();
  const { signal } = stopped;
  const { queues } = ctx.config.workers;

  const claimOnce = async (slots: number): Promise<boolean> => {
    const answer = await ctx.client.call({
      token: ctx.token,
      method: 'POST',
      path: '/workloads/claim',
      json: { slots: Math.min(slots, 1000), queues, wait_seconds: WAIT_SECONDS },
      timeoutMs: (WAIT_SECONDS + 10) * 1000,
      retry: false,
      signal,
    });
    if (answer.status !== 200) {
      ctx.log.warn({ status: answer.status }, 'the server gives no work');
      return false;
    }
    accept(parse(answer.json()));
    return true;
  };
  const run = async () => {
    let pauseMs = FIRST_PAUSE_MS;
    while (!signal.aborted) {
      const slots = freeSlots();
      if (slots <= 0) {
        await Promise.race([slotFreed(), once(signal)]);
        continue;
      }
      const fine = await claimOnce(slots).catch((error: unknown) => {
        if (!signal.aborted) ctx.log.warn({ err: error }, 'asking for work failed');
        return false;
      });
      if (fine) pauseMs = FIRST_PAUSE_MS;
      else {
        await delay(pauseMs, undefined, { signal }).catch(() => undefined);
        pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2);
      }
    }
  };
  const running = run();
  return {
    async stop() {
      stopped.abort();
      await running;
    },
  };
}

function once(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}
