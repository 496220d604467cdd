import type { Database } from '@airlock/store';
import { addJoinTicket, endSupervisorsOf } from '@airlock/store/queries/supervisor/register';
import { releaseTriesOf } from '../runs/index.ts';

/** How long a supervisor may take to present its ticket: it may have to wait for the database. */
const TICKET_LIFETIME_MS = 600_000;

export type Admission = {
  readonly ticket: string;
  readonly roles: readonly string[];
  /** Where the supervisor will live. Whoever says so knows that every earlier one of that place is dead. */
  readonly place?: string | undefined;
  /** What its Dag processor may parse; absent = every bundle. */
  readonly bundles?: readonly string[];
};

/**
 * Admits the supervisor that will show this ticket; said by the parent of this process just before it starts it. What its
 * predecessors held is released now: waiting for their silence would hold up every run for half a minute.
 */
export async function admitTicket(db: Database, ticket: Admission, nowMs: number): Promise<void> {
  const { place } = ticket;
  const nowIso = new Date(nowMs).toISOString();
  await addJoinTicket(db, {
    text: ticket.ticket,
    roles: ticket.roles,
    place: place ?? null,
    bundles: ticket.bundles ?? null,
    expiresAtIso: new Date(nowMs + TICKET_LIFETIME_MS).toISOString(),
  });
  if (place === undefined) return;
  await db.transaction(async (tx) => {
    for (const supervisorId of await endSupervisorsOf(tx, { place, nowIso })) {
      await releaseTriesOf(tx, { supervisorId, nowIso });
    }
  });
}
