/** When a failed try may run again. @see scheduling semantics 7.1 */
import { createHash } from 'node:crypto';

export type RetryPolicy = {
  readonly retryDelaySeconds: number;
  /** 0 and 1 mean a constant delay. */
  readonly multiplier: number;
  /** Limits the backoff, never a constant delay. */
  readonly maxRetryDelaySeconds: number | null;
};

export type FailedTryName = {
  readonly dagId: string;
  readonly taskId: string;
  /** RFC 3339 with up to six fractional digits, or null. */
  readonly logicalDate: string | null;
  readonly tryNumber: number;
  /** -1 = not mapped. Part of the jitter, so that the indexes of a mapped task do not retry all at once. */
  readonly mapIndex: number;
};

/** `[core] max_task_retry_delay`'s default, seconds. */
export const MAX_RETRY_DELAY_SECONDS = 86_400;

/** True while the budget of a try is not used up. `max_tries` is what clear renews. */
export function mayRetry(tryNumber: number, maxTries: number): boolean {
  return tryNumber <= maxTries;
}

/**
 * Seconds between the end of a failed try and the next. With backoff: within [b, 2b) for b = ceil(delay × m^(try−1)),
 * repeatable for the same try, capped.
 */
export function retryDelaySeconds(
  policy: RetryPolicy,
  name: FailedTryName,
  capSeconds = MAX_RETRY_DELAY_SECONDS,
): number {
  if (policy.multiplier === 0 || policy.multiplier === 1) return policy.retryDelaySeconds;
  // Try numbers grow large after clears: a power beyond the cap, or infinite, ends at the cap all the same.
  const power = policy.retryDelaySeconds * policy.multiplier ** (name.tryNumber - 1);
  const base = Math.max(1, Math.ceil(power));
  const longest = Math.min(capSeconds, policy.maxRetryDelaySeconds ?? capSeconds);
  if (!Number.isSafeInteger(base)) return longest;
  return Math.min(base + Number(jitter(name) % BigInt(base)), longest);
}

function jitter(name: FailedTryName): bigint {
  const index = name.mapIndex >= 0 ? `#${name.mapIndex}` : '';
  const text = `${name.dagId}#${name.taskId}#${printDate(name.logicalDate)}#${name.tryNumber}${index}`;
  return BigInt(`0x${createHash('sha1').update(text).digest('hex')}`);
}

/** As Python prints an aware UTC instant: `2026-06-10 00:00:00+00:00`, with six digits when there are microseconds. */
function printDate(date: string | null): string {
  if (date === null) return 'None';
  const seconds = new Date(date).toISOString().slice(0, 19).replace('T', ' ');
  const fraction = /\.(\d+)/.exec(date)?.[1] ?? '';
  const micros = fraction.padEnd(6, '0').slice(0, 6);
  return `${seconds}${Number(micros) > 0 ? `.${micros}` : ''}+00:00`;
}
