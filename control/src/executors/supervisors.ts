/**
 * What operators do to supervisors: admit one by a ticket that works once, see who has joined, and put one out. Each change
 * has its audit row in the same transaction. @see promise L28
 */
import { randomBytes } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import type { SupervisorRole } from '@airlock/contract/supervisor-api';
import { findBundle } from '@airlock/store/queries/dag/ingest';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { deleteTicket, endSupervisor, TICKET_ID_DIGITS } from '@airlock/store/queries/supervisor/manage';
import { addJoinTicket, ticketDigest } from '@airlock/store/queries/supervisor/register';
import type { ControlDeps } from '../deps.ts';
import { releaseTriesOf } from '../runs/index.ts';

type Deps = Pick<ControlDeps, 'db' | 'clock'>;
/** What an operator asks of a ticket. */
export type WantedTicket = {
  readonly roles: readonly SupervisorRole[];
  readonly ttlSeconds: number;
  /** What its Dag processor may parse; null = every bundle, absent = the same, but where there are teams it has to be said. */
  readonly bundles?: readonly string[] | null | undefined;
};

/** Long enough to carry a ticket to another host by hand, short enough that a forgotten one is worth nothing. */
export const TICKET_SECONDS = { min: 60, default: 3600, max: 86_400 } as const;

export type IssuedTicket = { readonly ticket: string; readonly id: string; readonly expires_at: string };

/**
 * Makes a ticket; it is shown once, and only its digest is kept.
 * @throws VALIDATION bundles for nobody who parses, or none named where they belong to teams · NOT_FOUND a bundle that is not in use
 */
export async function issueTicket(
  deps: Deps & Pick<ControlDeps, 'config'>,
  by: string,
  wanted: WantedTicket,
): Promise<IssuedTicket> {
  checkBundles(wanted, deps.config.core.multi_team);
  const nowMs = deps.clock.nowMs();
  const nowIso = new Date(nowMs).toISOString();
  const expiresAtIso = new Date(nowMs + wanted.ttlSeconds * 1000).toISOString();
  const ticket = randomBytes(32).toString('base64url');
  const id = ticketDigest(ticket).slice(0, TICKET_ID_DIGITS);
  const { roles } = wanted;
  const bundles = wanted.bundles ? [...new Set(wanted.bundles)] : null;
  const extra = JSON.stringify({ ticket: id, roles, bundles, expires_at: expiresAtIso });
  await deps.db.transaction(async (tx) => {
    for (const name of bundles ?? [])
      if ((await findBundle(tx, name)) === null)
        throw new AppError('NOT_FOUND', {
          public: `There is no bundle ${name}.`,
          remedy: 'Name bundles of [dag_processor] dag_bundle_config_list.',
        });
    await addJoinTicket(tx, { text: ticket, roles, bundles, expiresAtIso });
    await insertEventLog(tx, { nowIso, event: 'create_join_ticket', owner: by, extra });
  });
  return { ticket, id, expires_at: expiresAtIso };
}

/** A Dag processor reads what the teams of its bundles may read, so which they are is said on purpose. @throws VALIDATION */
function checkBundles({ roles, bundles }: WantedTicket, multiTeam: boolean): void {
  const parses = roles.includes('parse');
  if (bundles && !parses)
    throw new AppError('VALIDATION', {
      public: 'Bundles are for a Dag processor, and this ticket is for none.',
      remedy: 'Add the role parse, or leave the bundles out.',
    });
  if (bundles === undefined && parses && multiTeam)
    throw new AppError('VALIDATION', {
      public: 'Which bundles may the Dag processor parse? It reads what their teams may read.',
      remedy: 'Name them with --bundle, or say --all-bundles.',
    });
}

/** @throws NOT_FOUND no unused ticket of that name */
export async function withdrawTicket(deps: Deps, by: string, id: string): Promise<void> {
  const nowIso = new Date(deps.clock.nowMs()).toISOString();
  await deps.db.transaction(async (tx) => {
    if ((await deleteTicket(tx, id)) === 0)
      throw new AppError('NOT_FOUND', {
        public: `There is no unused ticket ${id}.`,
        remedy: 'A ticket that was used has admitted a supervisor: revoke that.',
      });
    await insertEventLog(tx, { nowIso, event: 'revoke_join_ticket', owner: by, extra: JSON.stringify({ ticket: id }) });
  });
}

/**
 * Puts a supervisor out: from the commit on its tokens are refused, what it held runs elsewhere or has failed, and the tokens
 * of those tries are dead. @throws NOT_FOUND none of that id lives
 */
export async function revokeSupervisor(deps: Deps, by: string, id: string): Promise<{ readonly released: number }> {
  const nowIso = new Date(deps.clock.nowMs()).toISOString();
  return deps.db.transaction(async (tx) => {
    // Waits for claims under way, which hold a share of this row; later ones find the supervisor ended.
    if (!(await endSupervisor(tx, { id, nowIso })))
      throw new AppError('NOT_FOUND', { public: `There is no live supervisor ${id}.` });
    const reason = 'The supervisor that ran this try was revoked.';
    let released = 0;
    // Looked at again, since a claimed try may have started between the look and its row's lock; then it is found running.
    for (let more = 1; more > 0; released += more)
      more = (await releaseTriesOf(tx, { supervisorId: id, nowIso, reason })).length;
    const extra = JSON.stringify({ supervisor: id, released });
    await insertEventLog(tx, { nowIso, event: 'revoke_supervisor', owner: by, extra });
    return { released };
  });
}
