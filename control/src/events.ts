/** One LISTEN connection per process, many listeners. */
import { type Database, decodeEvent, EVENT_CHANNEL, type StoreEvent } from '@airlock/store';
import type { Logger } from 'pino';
import type { EventHub } from './deps.ts';

export type RunningEventHub = EventHub & { readonly close: () => Promise<void> };

/** Listens from now on, over broken links too. A listener that throws is reported and stays. */
export async function createEventHub(db: Database, log: Logger): Promise<RunningEventHub> {
  const listeners = new Set<(event: StoreEvent) => void>();
  const gapListeners = new Set<() => void>();
  const tell = (call: () => void) => {
    try {
      call();
    } catch (error) {
      log.error({ err: error }, 'a listener of store events failed');
    }
  };
  const add = <T>(set: Set<T>, listener: T) => {
    set.add(listener);
    return () => {
      set.delete(listener);
    };
  };
  const close = await db.listen(
    EVENT_CHANNEL,
    (payload) => {
      const event = decodeEvent(payload);
      if (event) for (const listener of listeners) tell(() => listener(event));
    },
    () => {
      for (const listener of gapListeners) tell(listener);
    },
  );
  return {
    on: (listener) => add(listeners, listener),
    onGap: (listener) => add(gapListeners, listener),
    close,
  };
}
