/** Which of the scheduled task instances are queued now. Pure. @see scheduling semantics 4.5 */

/** One candidate, in order of preference, with the room that each of its limits had before this pass. */
export type QueueCandidate = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_id: string;
  readonly task_id: string;
  readonly pool: string;
  readonly pool_slots: number;
  readonly pool_free: number;
  readonly total_left: number;
  readonly run_left: number;
  readonly task_dag_left: number | null;
  readonly task_run_left: number | null;
};

/** What is left of each limit, by a key that says which. */
class Room {
  readonly #left = new Map<string, number>();

  has(key: string, initial: number | null, amount: number): boolean {
    return initial === null || (this.#left.get(key) ?? initial) >= amount;
  }

  take(key: string, initial: number | null, amount: number): void {
    if (initial !== null) this.#left.set(key, (this.#left.get(key) ?? initial) - amount);
  }
}

/**
 * Takes candidates in order while there is room for each. One that does not fit is passed over; smaller ones behind it may
 * still fit. @returns ids to queue
 */
export function pickForQueue(candidates: readonly QueueCandidate[]): string[] {
  const room = new Room();
  const picked: string[] = [];
  for (const c of candidates) {
    const limits: ReadonlyArray<readonly [string, number | null, number]> = [
      ['total', c.total_left, 1],
      [`pool ${c.pool}`, c.pool_free, c.pool_slots],
      [`run ${c.dag_run_id}`, c.run_left, 1],
      [`dag task ${c.dag_id} ${c.task_id}`, c.task_dag_left, 1],
      [`run task ${c.dag_run_id} ${c.task_id}`, c.task_run_left, 1],
    ];
    if (!limits.every(([key, initial, amount]) => room.has(key, initial, amount))) continue;
    for (const [key, initial, amount] of limits) room.take(key, initial, amount);
    picked.push(c.id);
  }
  return picked;
}
