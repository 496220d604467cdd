/** Which of the scheduled task instances are queued now. Pure. @see scheduling semantics 4.5, decision 27 */
import type { Turns } from './turns.ts';

/** One candidate, in order of preference, with the room that each of its limits had before this pass. */
export type QueueCandidate = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_id: string;
  readonly team: string | null;
  readonly task_id: string;
  readonly pool: string;
  readonly pool_slots: number;
  readonly pool_free: number;
  readonly total_left: number;
  readonly run_left: number;
  readonly task_dag_left: number | null;
  readonly task_run_left: number | null;
  /** Epoch ms since which its task has been ready in its run. */
  readonly since_ms: number;
};

export type Picked = {
  readonly picked: readonly QueueCandidate[];
  /** Somebody was passed over for lack of room, so that these places count as turns; what is above the limit has its place in the next pass. */
  readonly contended: boolean;
  /** Pool → its places since one last went by turn. */
  readonly sinceTurn: ReadonlyMap<string, number>;
};

/** Of the places of a pool that several want, every so manieth goes to the Dag that has waited longest for its turn. */
export const PLACES_PER_TURN = 16;

/** What is left of each limit, by a key that says which. */
class Room {
  readonly #left = new Map<string, number>();

  /** @returns whether there was room in each limit of the candidate; then it is taken. */
  take(c: QueueCandidate): boolean {
    const limits: ReadonlyArray<readonly [string, number | null, number]> = [
      ['total', c.total_left, 1],
      [`pool ${c.pool}`, c.pool_free, c.pool_slots],
      [`run ${c.dag_run_id}`, c.run_left, 1],
      [`dag task ${c.dag_id} ${c.task_id}`, c.task_dag_left, 1],
      [`run task ${c.dag_run_id} ${c.task_id}`, c.task_run_left, 1],
    ];
    const left = (key: string, initial: number) => this.#left.get(key) ?? initial;
    if (!limits.every(([key, initial, amount]) => initial === null || left(key, initial) >= amount)) return false;
    for (const [key, initial, amount] of limits) {
      if (initial !== null) this.#left.set(key, left(key, initial) - amount);
    }
    return true;
  }
}

/**
 * Takes candidates in order while there is room for each. One that does not fit is passed over; smaller ones behind it may
 * still fit. At every sixteenth place of a pool the Dag that has waited longest is asked first, whatever the weights: so a Dag
 * waits for at most sixteen places for each Dag that waits beside it.
 */
export function pickForQueue(candidates: readonly QueueCandidate[], limit: number, turns: Turns): Picked {
  const room = new Room();
  const sinceTurn = new Map(turns.sinceTurn);
  const picked = new Set<QueueCandidate>();
  const waiting = new Map<string, QueueCandidate[]>();
  const take = (c: QueueCandidate, count: number): boolean => {
    if (picked.has(c) || picked.size >= limit || !room.take(c)) return false;
    picked.add(c);
    sinceTurn.set(c.pool, count);
    return true;
  };
  for (const candidate of candidates) {
    if (picked.size >= limit) break;
    const { pool } = candidate;
    if ((sinceTurn.get(pool) ?? 0) >= PLACES_PER_TURN - 1) {
      if (!waiting.has(pool)) waiting.set(pool, firstOfDags(candidates, pool, turns));
      const left = waiting.get(pool)!;
      while (left.length > 0 && !take(left.shift()!, 0));
    }
    take(candidate, (sinceTurn.get(pool) ?? 0) + 1);
  }
  return { picked: [...picked], contended: picked.size < Math.min(candidates.length, limit), sinceTurn };
}

/** The first candidate of each Dag for a pool, of the Dag that has waited longest first. */
function firstOfDags(candidates: readonly QueueCandidate[], pool: string, turns: Turns): QueueCandidate[] {
  const first = new Map<string, QueueCandidate>();
  for (const c of candidates) if (c.pool === pool && !first.has(c.dag_id)) first.set(c.dag_id, c);
  const since = (c: QueueCandidate) => Math.max(turns.servedAtMs(pool, c.dag_id) ?? -Infinity, c.since_ms);
  return [...first.values()].sort((a, b) => since(a) - since(b));
}

/** Whether a turn may fall among these, so that every Dag that waits has to be known. */
export function isTurnNear(candidates: readonly QueueCandidate[], turns: Turns): boolean {
  const reached = new Map(turns.sinceTurn);
  for (const { pool } of candidates) reached.set(pool, (reached.get(pool) ?? 0) + 1);
  return candidates.some(({ pool }) => reached.get(pool)! >= PLACES_PER_TURN);
}
