/** Look-ups of one name at the same time become one; answers are remembered only where the operator asked for it. */
import type { BackendOptions } from './index.ts';

export type Memory = {
  /** `key` names the look-up. Errors and absences are never remembered. */
  readonly get: <T>(key: readonly (string | null)[], lookUp: () => Promise<T | null>) => Promise<T | null>;
};

/** The longest unused is forgotten. */
const MAX_ENTRIES = 10_000;

export function createMemory({ cacheMs, nowMs }: Pick<BackendOptions, 'cacheMs' | 'nowMs'>): Memory {
  const underWay = new Map<string, Promise<unknown>>();
  const kept = new Map<string, { readonly value: unknown; readonly untilMs: number }>();
  return {
    get: async <T>(parts: readonly (string | null)[], lookUp: () => Promise<T | null>) => {
      const key = JSON.stringify(parts);
      const hit = kept.get(key);
      if (hit) {
        kept.delete(key);
        if (nowMs() < hit.untilMs) {
          kept.set(key, hit); // the map's order is the order of last use
          return hit.value as T;
        }
      }
      let promise = underWay.get(key) as Promise<T | null> | undefined;
      if (!promise) {
        promise = lookUp().finally(() => underWay.delete(key));
        underWay.set(key, promise);
      }
      const value = await promise;
      if (value !== null && cacheMs > 0) {
        kept.set(key, { value, untilMs: nowMs() + cacheMs });
        if (kept.size > MAX_ENTRIES) kept.delete(kept.keys().next().value!);
      }
      return value;
    },
  };
}
