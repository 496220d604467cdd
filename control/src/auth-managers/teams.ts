/** What operators do to teams. Each change has its audit row in the same transaction. */
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { getAccount } from '@airlock/store/queries/account/get';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import {
  addMember,
  deleteTeam,
  insertTeam,
  lockTeamUses,
  removeMember,
  type TeamUses,
  teamExists,
} from '@airlock/store/queries/team/manage';
import type { ControlDeps } from '../deps.ts';

export const TEAM_NAME = /^[A-Za-z0-9_-]{1,50}$/;

type Deps = Pick<ControlDeps, 'db' | 'clock'>;

function noTeam(name: string): AppError {
  return new AppError('NOT_FOUND', { public: `There is no team named ${name}.` });
}

/** Runs `work` with the audit row of what it does. */
async function change(
  deps: Deps,
  by: string,
  event: string,
  extra: Record<string, string>,
  work: (tx: Db) => Promise<void>,
): Promise<void> {
  const nowIso = new Date(deps.clock.nowMs()).toISOString();
  await deps.db.transaction(async (tx) => {
    await work(tx);
    await insertEventLog(tx, { nowIso, event, owner: by, extra: JSON.stringify(extra) });
  });
}

/** @throws VALIDATION · CONFLICT the name is taken */
export async function createTeam(deps: Deps, by: string, name: string): Promise<void> {
  if (!TEAM_NAME.test(name)) {
    throw new AppError('VALIDATION', { public: 'A team name has 1 to 50 of A-Z a-z 0-9 _ -.' });
  }
  await change(deps, by, 'create_team', { name }, async (tx) => {
    if (!(await insertTeam(tx, name))) {
      throw new AppError('CONFLICT', { public: `A team named ${name} exists already.` });
    }
  });
}

function shownUses(uses: TeamUses): string {
  return Object.entries(uses)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`)
    .join(', ');
}

/** @throws NOT_FOUND · CONFLICT something belongs to it still */
export async function removeTeam(deps: Deps, by: string, name: string): Promise<void> {
  await change(deps, by, 'delete_team', { name }, async (tx) => {
    const uses = await lockTeamUses(tx, name);
    if (!uses) throw noTeam(name);
    if (Object.values(uses).some((count) => count > 0)) {
      throw new AppError('CONFLICT', {
        public: `Team ${name} still has ${shownUses(uses)}.`,
        remedy: 'Delete them or give them to another team first; bundles are mapped by dag_bundle_config_list.',
      });
    }
    await deleteTeam(tx, name);
  });
}

/** Counts from the user's next request on. @throws NOT_FOUND team or user */
export async function joinTeam(deps: Deps, by: string, member: { account: string; team: string }): Promise<void> {
  await change(deps, by, 'add_team_user', member, async (tx) => {
    if (!(await teamExists(tx, member.team))) throw noTeam(member.team);
    if (!(await getAccount(tx, member.account))) {
      throw new AppError('NOT_FOUND', { public: `There is no user named ${member.account}.` });
    }
    await addMember(tx, member);
  });
}

/** Counts from the user's next request on. @throws NOT_FOUND the user is no member */
export async function leaveTeam(deps: Deps, by: string, member: { account: string; team: string }): Promise<void> {
  await change(deps, by, 'remove_team_user', member, async (tx) => {
    if (!(await removeMember(tx, member))) {
      throw new AppError('NOT_FOUND', { public: `User ${member.account} is not in team ${member.team}.` });
    }
  });
}
