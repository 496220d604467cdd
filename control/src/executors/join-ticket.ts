import type { Database } from '@airlock/store';
import { addJoinTicket } from '@airlock/store/queries/supervisor/register';

/** How long a supervisor may take to present its ticket: it may have to wait for the database. */
const TICKET_LIFETIME_MS = 600_000;

/** Admits the supervisor that will show this ticket; said by the parent of this process just before it starts it. */
export async function admitTicket(
  db: Database,
  ticket: { readonly ticket: string; readonly roles: readonly string[] },
  nowMs: number,
): Promise<void> {
  await addJoinTicket(db, {
    text: ticket.ticket,
    roles: ticket.roles,
    expiresAtIso: new Date(nowMs + TICKET_LIFETIME_MS).toISOString(),
  });
}
