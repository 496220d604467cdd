/**
 * Requests that wait at the server for something to do: woken by events of the store, and at their end. Events are lost only
 * with their connection, and then everybody looks again.
 */
import type { Clock } from '@airlock/contract/clock';
import type { StoreEvent } from '@airlock/store';
import type { EventHub } from '../deps.ts';

export type WaitOptions = {
  readonly events: EventHub;
  readonly clock: Clock;
  /** What wakes it. */
  readonly kinds: ReadonlyArray<StoreEvent['kind']>;
  /** Longest wait without looking, for what no event tells; without it only events wake. */
  readonly lookEveryMs?: number;
  /** Epoch ms until which it waits when there is nothing. */
  readonly untilMs: number;
  /** The caller is gone, or the server closes. */
  readonly signal: AbortSignal;
};

/** Looks until there is something. @returns null when the time is over, or the caller gone, before `look` gave anything */
export async function waitForEvents<T>(options: WaitOptions, look: () => Promise<T | null>): Promise<T | null> {
  const { clock, signal, untilMs, lookEveryMs = Number.POSITIVE_INFINITY } = options;
  const notices = noticesOf(options);
  try {
    while (!signal.aborted) {
      // Taken before the look, so that nothing falls between look and wait.
      const heard = notices.next();
      const found = await look();
      if (found !== null) return found;
      const leftMs = untilMs - clock.nowMs();
      if (leftMs <= 0) return null;
      await oneOf(heard, Math.min(leftMs, lookEveryMs), signal);
    }
    return null;
  } finally {
    notices.stop();
  }
}

function noticesOf({ events, kinds }: WaitOptions): { next: () => Promise<void>; stop: () => void } {
  let wake: () => void = () => undefined;
  const call = (): void => wake();
  const off = events.on((event) => {
    if (kinds.includes(event.kind)) call();
  });
  const offGap = events.onGap(call);
  return {
    next: () =>
      new Promise((resolve) => {
        wake = resolve;
      }),
    stop: () => {
      off();
      offGap();
      wake();
    },
  };
}

async function oneOf(heard: Promise<void>, ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let onAbort: (() => void) | undefined;
  await Promise.race([
    heard,
    new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
      onAbort = () => resolve();
      signal.addEventListener('abort', onAbort);
    }),
  ]);
  clearTimeout(timer);
  if (onAbort) signal.removeEventListener('abort', onAbort);
}
