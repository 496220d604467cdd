/**
 * Who had places that others wanted too: in memory only, one for each scheduler. What a scheduler forgets at its end, or does
 * not know of another, starts turns anew and takes none away.
 */
import type { Picked } from './queue.ts';

/** Dags that are remembered for a pool; of more, those that had their turn longest ago count by how long they have waited. */
const MAX_DAGS = 10_000;

export type Turns = {
  /** Pool → its places since one last went by turn. */
  readonly sinceTurn: ReadonlyMap<string, number>;
  /** When a Dag last had a place in a pool; undefined = not that is known. */
  readonly servedAtMs: (pool: string, dagId: string) => number | undefined;
  /** Teams that had a place, the latest last; '' = none. */
  readonly teams: readonly string[];
  /** Remembers what was picked, if it was contended. */
  readonly note: (picked: Picked, nowMs: number) => void;
};

export function createTurns(): Turns {
  let sinceTurn: ReadonlyMap<string, number> = new Map();
  const served = new Map<string, Map<string, number>>();
  const teams = new Set<string>();
  return {
    get sinceTurn() {
      return sinceTurn;
    },
    get teams() {
      return [...teams];
    },
    servedAtMs: (pool, dagId) => served.get(pool)?.get(dagId),
    note: ({ picked, contended, sinceTurn: counts }, nowMs) => {
      if (!contended) return;
      sinceTurn = counts;
      for (const { pool, dag_id: dagId, team } of picked) {
        const dags = served.get(pool) ?? new Map<string, number>();
        served.set(pool, dags);
        // Entries stay in the order of their turns.
        dags.delete(dagId);
        dags.set(dagId, nowMs);
        if (dags.size > MAX_DAGS) dags.delete(dags.keys().next().value!);
        teams.delete(team ?? '');
        teams.add(team ?? '');
      }
    },
  };
}
