/** What an author says about single errors: retry later, retry sooner, or do not retry at all. Asked in the task's own process. */
import { DagError, show } from './dag-error.ts';
import { type Duration, parseDuration } from './duration.ts';

/** How far the task has come. */
export type Attempt = {
  /** 1 for the first try. */
  readonly tryNumber: number;
  /** Number of the last try that will be made; a policy can't add any. */
  readonly maxTries: number;
};

/** `retry`: the wait before the next try, in the place of `retryDelay`. `fail`: why no further try makes sense. */
export type RetryDecision = { readonly retry: Duration; readonly reason?: string } | { readonly fail: string };

/** Nothing = as `retries` and `retryDelay` say. */
export type RetryPolicy = (error: Error, attempt: Attempt) => RetryDecision | undefined;

/** As the runner reports it. */
export type Decided =
  | { readonly kind: 'retry'; readonly delaySeconds: number; readonly reason: string | null }
  | { readonly kind: 'fail'; readonly reason: string };

/** What a policy has returned, checked; null = nothing. @throws DagError */
export function readDecision(value: unknown): Decided | null {
  if (value === undefined || value === null) return null;
  const remedy = "Return nothing, { retry: '5m' } or { fail: 'why' }.";
  if (typeof value !== 'object') throw new DagError(`retryPolicy: ${show(value)} is no decision.`, remedy);
  const { retry, fail, reason } = value as { retry?: unknown; fail?: unknown; reason?: unknown };
  if (typeof fail === 'string' && retry === undefined) return { kind: 'fail', reason: fail };
  if (retry === undefined || fail !== undefined || (reason !== undefined && typeof reason !== 'string'))
    throw new DagError(`retryPolicy: ${show(value)} is no decision.`, remedy);
  return { kind: 'retry', delaySeconds: parseDuration(retry, 'retryPolicy.retry', { min: 0 }), reason: reason ?? null };
}
