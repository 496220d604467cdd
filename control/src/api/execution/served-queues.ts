/** Which queues each worker serves, written down when it says something new. It tells why a task waits, and decides nothing. */
import type { Database } from '@airlock/store';
import { noteQueues } from '@airlock/store/queries/supervisor/serves';

/** Workers remembered here; of others the row is compared. */
const MAX_KNOWN = 10_000;

export type ServedQueues = {
  /** @param queues null = all */
  readonly note: (supervisorId: string, queues: readonly string[] | null) => Promise<void>;
};

export function createServedQueues(db: Database): ServedQueues {
  const known = new Map<string, string>();
  return {
    note: async (id, queues) => {
      const text = JSON.stringify(queues);
      if (known.get(id) === text) return;
      await noteQueues(db, { id, queues });
      if (known.size >= MAX_KNOWN) known.clear();
      known.set(id, text);
    },
  };
}
