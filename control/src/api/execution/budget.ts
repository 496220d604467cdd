/** Points that one caller may spend: a bucket that fills at a steady rate and holds one second's worth. @see promise L16 */
import { AppError } from '@airlock/contract/errors';

export type Budget = {
  /** Takes points before the work. @throws RATE_LIMITED with `retryAfterSeconds` when they are used up */
  readonly spend: (caller: string, points: number, nowMs: number) => void;
  /** Takes points after a refusal; may leave the caller in debt. */
  readonly charge: (caller: string, points: number, nowMs: number) => void;
};

type Bucket = { points: number; atMs: number };

/** Callers that are remembered; beyond it the longest silent is forgotten, whose bucket is full by then. */
const MAX_CALLERS = 20_000;
/** Deepest debt, in seconds of income. */
const MAX_DEBT_SECONDS = 5;

export function createBudget(pointsPerSecond: number): Budget {
  const buckets = new Map<string, Bucket>();
  const bucketOf = (caller: string, nowMs: number): Bucket => {
    const bucket = buckets.get(caller) ?? { points: pointsPerSecond, atMs: nowMs };
    const earned = (Math.max(nowMs - bucket.atMs, 0) / 1000) * pointsPerSecond;
    bucket.points = Math.min(bucket.points + earned, pointsPerSecond);
    bucket.atMs = nowMs;
    buckets.delete(caller); // the map's order is the order of last use
    buckets.set(caller, bucket);
    if (buckets.size > MAX_CALLERS) buckets.delete(buckets.keys().next().value as string);
    return bucket;
  };
  return {
    spend: (caller, points, nowMs) => {
      if (points === 0) return;
      const bucket = bucketOf(caller, nowMs);
      if (bucket.points < points) {
        const retryAfterSeconds = Math.max(1, Math.ceil((points - bucket.points) / pointsPerSecond));
        throw new AppError('RATE_LIMITED', { public: 'Too many requests', internal: { retryAfterSeconds } });
      }
      bucket.points -= points;
    },
    charge: (caller, points, nowMs) => {
      const bucket = bucketOf(caller, nowMs);
      bucket.points = Math.max(bucket.points - points, -MAX_DEBT_SECONDS * pointsPerSecond);
    },
  };
}
