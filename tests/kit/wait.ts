/** Waiting for a state, with a bound: tests never sleep for a fixed time. */
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Asks `probe` until it gives something other than null, undefined or false.
 * @param what ends up in the error, so that a time-out says what did not happen
 */
export async function waitFor<T>(
  what: string,
  probe: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  options: { readonly timeoutMs?: number; readonly everyMs?: number } = {},
): Promise<T> {
  const timeoutMs = options.timeoutMs ?? 15_000;
  const deadline = performance.now() + timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== null && value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (performance.now() > deadline) throw new Error(`after ${timeoutMs} ms still not: ${what}`, { cause: lastError });
    await sleep(options.everyMs ?? 20);
  }
}
