/**
 * How often log-ins may fail: per account and per address, within a sliding minute, in this process. An attempt is counted
 * before the password is looked at, so that parallel guesses do not slip past, and is taken back when it succeeds.
 * @see promise L18
 */
import { AppError } from '@airlock/contract/errors';

export const MAX_FAILURES = 10;
export const WINDOW_MS = 60_000;
/** Names and addresses that are remembered; the oldest go first, so that invented names can't fill the memory. */
const MAX_ENTRIES = 10_000;

export type Throttle = {
  /**
   * Counts an attempt for each key. @returns what takes it back after a success.
   * @throws RATE_LIMITED with `retryAfterSeconds`, when one of the keys has failed too often
   */
  readonly attempt: (keys: readonly string[], nowMs: number) => () => void;
};

export function createThrottle(
  limits: { failures: number; windowMs: number } = { failures: MAX_FAILURES, windowMs: WINDOW_MS },
): Throttle {
  const attempts = new Map<string, number[]>();
  const recent = (key: string, nowMs: number): number[] =>
    (attempts.get(key) ?? []).filter((atMs) => atMs > nowMs - limits.windowMs);
  return {
    attempt: (keys, nowMs) => {
      for (const key of keys) {
        const times = recent(key, nowMs);
        if (times.length < limits.failures) continue;
        const waitMs = times[times.length - limits.failures]! + limits.windowMs - nowMs;
        throw new AppError('RATE_LIMITED', {
          public: 'Too many failed log-ins. Try again later.',
          internal: { retryAfterSeconds: Math.max(1, Math.ceil(waitMs / 1000)) },
        });
      }
      for (const key of keys) {
        const times = [...recent(key, nowMs), nowMs];
        attempts.delete(key);
        attempts.set(key, times);
      }
      while (attempts.size > MAX_ENTRIES) attempts.delete(attempts.keys().next().value!);
      return () => {
        for (const key of keys) {
          const times = attempts.get(key);
          const at = times?.lastIndexOf(nowMs) ?? -1;
          if (times && at >= 0) times.splice(at, 1);
          if (times?.length === 0) attempts.delete(key);
        }
      };
    },
  };
}
