/** What operators see and do of supervisors and of the tickets that admit them. */
import { type Db, sql } from '../../database.ts';

export type SupervisorListRow = {
  readonly id: string;
  readonly hostname: string;
  readonly unixname: string;
  readonly pid: number;
  readonly roles: string[];
  /** What its Dag processor may parse; null = every bundle. */
  readonly bundles: string[] | null;
  readonly sandbox_tier: string;
  readonly version: string;
  readonly registered_at: string;
  readonly last_seen_at: string;
  readonly ended_at: string | null;
  /** Tries that it holds now, queued and running. */
  readonly holds: number;
};

/** Supervisors that have not ended, and those that ended or were last seen since `sinceIso`; the newest first. */
export async function listSupervisors(db: Db, sinceIso: string): Promise<SupervisorListRow[]> {
  return db.query<SupervisorListRow>(
    sql`SELECT s.id, s.hostname, s.unixname, s.pid, s.roles, s.bundles, s.sandbox_tier, s.version, s.registered_at, s.last_seen_at,
        s.ended_at, (SELECT count(*) FROM task_instance t WHERE t.supervisor_id = s.id)::int AS holds
      FROM supervisor s
      WHERE s.ended_at IS NULL OR s.ended_at > ${sinceIso}::timestamptz OR s.last_seen_at > ${sinceIso}::timestamptz
      ORDER BY s.registered_at DESC, s.id LIMIT 1000`,
  );
}

/** Ends one supervisor: its tokens are refused from the commit on. Locks: its row. @returns false = none that lives */
export async function endSupervisor(tx: Db, which: { id: string; nowIso: string }): Promise<boolean> {
  const rows = await tx.query(
    sql`UPDATE supervisor SET ended_at = ${which.nowIso}::timestamptz WHERE id = ${which.id} AND ended_at IS NULL RETURNING id`,
  );
  return rows.length > 0;
}

export type TicketRow = {
  /** The first digits of its digest: names it, and does not open anything. */
  readonly id: string;
  readonly roles: string[];
  readonly bundles: string[] | null;
  readonly expires_at: string;
};

/** Digits of a ticket's digest in its name. */
export const TICKET_ID_DIGITS = 12;

/** Tickets that somebody could use now. */
export async function listTickets(db: Db, nowIso: string): Promise<TicketRow[]> {
  return db.query<TicketRow>(
    sql`SELECT left(digest, ${TICKET_ID_DIGITS}) AS id, roles, bundles, expires_at FROM join_ticket
      WHERE used_at IS NULL AND expires_at > ${nowIso}::timestamptz ORDER BY expires_at LIMIT 1000`,
  );
}

/** Takes back tickets of that name that were not used. Locks: the rows. @returns how many */
export async function deleteTicket(tx: Db, id: string): Promise<number> {
  const rows = await tx.query(
    sql`DELETE FROM join_ticket WHERE left(digest, ${TICKET_ID_DIGITS}) = ${id} AND used_at IS NULL RETURNING digest`,
  );
  return rows.length;
}
