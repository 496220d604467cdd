/**
 * Points that a caller and a team may spend: a bucket each that fills at a steady rate and holds one second's worth. Every
 * process counts for itself, so that a deployment of n API servers gives each n times that. @see promise L16
 */
import { AppError } from '@airlock/contract/errors';

export type Budget = {
  /** Takes points before the work. @throws RATE_LIMITED with `retryAfterSeconds` when they are used up */
  readonly spend: (caller: string, points: number, nowMs: number) => void;
  /** Takes points after a refusal; may leave the caller in debt. */
  readonly charge: (caller: string, points: number, nowMs: number) => void;
};

type Bucket = { points: number; atMs: number };

/** Points of each row that an answer lists, besides those of its route. */
export const POINTS_PER_ROW = 10;
/** A refusal counts that much more than what it refuses, and at least as much as its row in the audit log. */
const REFUSAL_FACTOR = 10;
const LEAST_REFUSED_POINTS = 10;

/** Points of a refused request. */
export const refusalPoints = (points: number): number => Math.max(points, LEAST_REFUSED_POINTS) * REFUSAL_FACTOR;

/** Who pays: the caller, and every team that it belongs to. */
export type Payer = { readonly caller: string; readonly teams: readonly string[] };
/** Null pays nothing. */
export type Budgets = {
  /** @throws RATE_LIMITED with `retryAfterSeconds` when the caller's or a team's points are used up */
  readonly spend: (payer: Payer | null, points: number, nowMs: number) => void;
  readonly charge: (payer: Payer | null, points: number, nowMs: number) => void;
};

/** The limits are points per second of one caller (a try, a supervisor, a user), and of all that belong to one team. */
export function createBudgets(limits: {
  readonly caller_points_per_second: number;
  readonly team_points_per_second: number;
}): Budgets {
  const callers = createBudget(limits.caller_points_per_second);
  const teams = createBudget(limits.team_points_per_second);
  return {
    spend: (payer, points, nowMs) => {
      if (!payer) return;
      callers.spend(payer.caller, points, nowMs);
      for (const team of payer.teams) teams.spend(team, points, nowMs);
    },
    charge: (payer, points, nowMs) => {
      if (!payer) return;
      callers.charge(payer.caller, points, nowMs);
      for (const team of payer.teams) teams.charge(team, points, nowMs);
    },
  };
}

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
