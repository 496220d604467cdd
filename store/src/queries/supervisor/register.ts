import { createHash } from 'node:crypto';
import { type Db, sql } from '../../database.ts';

export type NewSupervisor = {
  readonly id: string;
  readonly jkt: string;
  readonly publicJwkJson: string;
  readonly hostname: string;
  readonly unixname: string;
  readonly pid: number;
  readonly roles: readonly string[];
  readonly sandboxTier: string;
  readonly version: string;
};

/** What is kept of a ticket. */
export function ticketDigest(ticket: string): string {
  return createHash('sha256').update(ticket).digest('hex');
}

/** Admits one supervisor until `expiresAtIso`; only the ticket's digest is stored. Telling the same ticket again is fine. */
export async function addJoinTicket(
  db: Db,
  ticket: {
    readonly text: string;
    readonly roles: readonly string[];
    /** Names where at most one supervisor lives at a time; null = anywhere. */
    readonly place?: string | null;
    /** What its Dag processor may parse; null = every bundle. */
    readonly bundles?: readonly string[] | null;
    readonly expiresAtIso: string;
  },
): Promise<void> {
  await db.query(
    sql`INSERT INTO join_ticket (digest, roles, place, bundles, expires_at)
      VALUES (${ticketDigest(ticket.text)}, ${ticket.roles}, ${ticket.place ?? null}, ${ticket.bundles ?? null}::text[],
        ${ticket.expiresAtIso}::timestamptz)
      ON CONFLICT (digest) DO NOTHING`,
  );
}

/** Ends the supervisors of a place, which its owner knows to be dead. Locks: their rows. @returns their ids */
export async function endSupervisorsOf(db: Db, which: { place: string; nowIso: string }): Promise<string[]> {
  const rows = await db.query<{ id: string }>(
    sql`UPDATE supervisor SET ended_at = ${which.nowIso}::timestamptz WHERE place = ${which.place} AND ended_at IS NULL RETURNING id`,
    'supervisor_end_of_place',
  );
  return rows.map((row) => row.id);
}

/**
 * Uses up a ticket and enters the supervisor, in one statement. The same key may repeat it until `repeatableSinceIso` has
 * passed its use, and gets the same id. Locks: the ticket, then (insert) supervisor and event_log.
 * @returns the supervisor's id, or null: unknown, used or expired ticket, or roles that it does not allow.
 */
export async function registerSupervisor(
  db: Db,
  supervisor: NewSupervisor,
  use: { readonly ticket: string; readonly nowIso: string; readonly repeatableSinceIso: string },
): Promise<string | null> {
  const s = supervisor;
  const digest = ticketDigest(use.ticket);
  const rows = await db.query<{ id: string }>(
    sql`WITH used AS (
        UPDATE join_ticket SET used_at = ${use.nowIso}::timestamptz, used_by = ${s.id}::uuid
        WHERE digest = ${digest} AND used_at IS NULL AND expires_at > ${use.nowIso}::timestamptz
          AND ${s.roles}::text[] <@ roles
        RETURNING digest, place, bundles
      ), entered AS (
        INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, place,
          bundles, registered_at, last_seen_at)
        SELECT ${s.id}::uuid, ${s.jkt}, ${s.publicJwkJson}::json, ${s.hostname}, ${s.unixname}, ${s.pid}::integer,
          ${s.roles}::text[], ${s.sandboxTier}, ${s.version}, used.place, used.bundles, ${use.nowIso}::timestamptz, ${use.nowIso}::timestamptz
        FROM used
        RETURNING id, bundles
      ), audit AS (
        INSERT INTO event_log (at, event, owner, extra)
        SELECT ${use.nowIso}::timestamptz, 'supervisor_registered', ${s.hostname},
          json_build_object('supervisor', e.id, 'roles', ${s.roles}::text[], 'sandbox', ${s.sandboxTier}::text,
            'bundles', e.bundles)::text FROM entered e
      )
      SELECT id FROM entered
      UNION ALL
      SELECT v.id FROM join_ticket k JOIN supervisor v ON v.id = k.used_by
      WHERE k.digest = ${digest} AND v.jkt = ${s.jkt} AND v.ended_at IS NULL AND k.used_at > ${use.repeatableSinceIso}::timestamptz
        AND ${s.roles}::text[] <@ k.roles`,
    'supervisor_register',
  );
  return rows[0]?.id ?? null;
}

export type SupervisorRow = {
  readonly id: string;
  readonly jkt: string;
  readonly roles: string[];
  /** What its Dag processor may parse; null = every bundle. */
  readonly bundles: string[] | null;
};

/** The registered supervisor, unless it has ended. Locks nothing. */
export async function findSupervisor(db: Db, id: string): Promise<SupervisorRow | null> {
  const rows = await db.query<SupervisorRow>(
    sql`SELECT id, jkt, roles, bundles FROM supervisor WHERE id = ${id} AND ended_at IS NULL`,
    'supervisor_find',
  );
  return rows[0] ?? null;
}

/** Records that it is alive. Locks: the row. @returns its row, or null when it has ended. */
export async function touchSupervisor(db: Db, which: { id: string; nowIso: string }): Promise<SupervisorRow | null> {
  const rows = await db.query<SupervisorRow>(
    sql`UPDATE supervisor SET last_seen_at = ${which.nowIso}::timestamptz WHERE id = ${which.id} AND ended_at IS NULL
      RETURNING id, jkt, roles, bundles`,
    'supervisor_touch',
  );
  return rows[0] ?? null;
}
