/** Makes or renews the account of somebody whom the provider vouches for. */
import { createHash } from 'node:crypto';
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import {
  type ExternalId,
  insertExternalAccount,
  lockExternalAccount,
  replaceTeams,
} from '@airlock/store/queries/account/external';
import { useOnce } from '@airlock/store/queries/account/use-once';
import { updateAccount } from '@airlock/store/queries/account/write';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { teamExists } from '@airlock/store/queries/team/manage';
import { ACCOUNT_NAME } from '../../api/auth/accounts.ts';
import type { ControlDeps } from '../../deps.ts';
import type { Attempt } from './attempt.ts';
import type { Identity } from './provider.ts';
import type { OpenIdSettings } from './settings.ts';
import { groupsIn, type Standing, standingOf } from './standing.ts';

function refused(reason: string, public_: string, remedy: string): AppError {
  return new AppError('FORBIDDEN', { public: public_, remedy, internal: { reason } });
}

const noRight = (reason: string) =>
  refused(reason, 'This account may not log in here.', 'Ask the administrator which group is needed.');

/** @throws INVALID_CREDENTIALS this log-in was finished before */
async function useUp(tx: Db, attempt: Attempt): Promise<void> {
  const id = `openid:${createHash('sha256').update(attempt.state).digest('hex')}`;
  if (await useOnce(tx, id, new Date(attempt.expires).toISOString())) return;
  throw new AppError('INVALID_CREDENTIALS', {
    public: 'This log-in was finished before.',
    remedy: 'Begin the log-in again.',
    internal: { reason: 'replayed state' },
  });
}

export type Admitted = {
  readonly name: string;
  /** A token has to be issued no earlier; less than a second ahead. */
  readonly validFromMs: number;
};

/** Who has lost the last group keeps nothing: tokens of an earlier log-in end with the next second. */
async function takeAway(tx: Db, id: ExternalId, at: { nowMs: number; nowIso: string }): Promise<void> {
  const known = await lockExternalAccount(tx, id);
  if (!known) return;
  const validFromIso = new Date(Math.floor(at.nowMs / 1000) * 1000 + 1000).toISOString();
  await updateAccount(tx, known.name, { validFromIso });
  await replaceTeams(tx, known.name, []);
  const extra = JSON.stringify({ ...id, reason: 'no group has a role' });
  await insertEventLog(tx, { nowIso: at.nowIso, event: 'revoke_user_tokens', owner: known.name, extra });
}

/** @throws FORBIDDEN the name is none or taken, a team does not exist, or the account is disabled */
async function makeOrRenew(
  tx: Db,
  who: ExternalId & { readonly called: unknown },
  standing: Standing,
  at: { nowMs: number; nowIso: string },
): Promise<Admitted> {
  for (const team of standing.teams) {
    if (!(await teamExists(tx, team))) throw noRight(`[oidc] team_mapping names team ${team}, which does not exist`);
  }
  const id = { issuer: who.issuer, subject: who.subject };
  const known = await lockExternalAccount(tx, id);
  const name = known?.name ?? who.called;
  if (typeof name !== 'string' || !ACCOUNT_NAME.test(name)) throw noRight('the claim for the user name holds no name');
  if (known?.disabled) throw noRight('account is disabled');
  const validFromIso = new Date(Math.floor(at.nowMs / 1000) * 1000).toISOString();
  if (
    !known &&
    !(await insertExternalAccount(tx, { ...id, name, role: standing.role, validFromIso, nowIso: at.nowIso }))
  ) {
    const text = 'Another account has this name already.';
    throw refused(`the name ${name} is taken`, text, 'Ask the administrator to delete the other account.');
  }
  if (known && known.role !== standing.role) await updateAccount(tx, name, { role: standing.role });
  await replaceTeams(tx, name, standing.teams);
  const extra = JSON.stringify({ ...id, ...standing });
  await insertEventLog(tx, { nowIso: at.nowIso, event: known ? 'login' : 'create_user', owner: name, extra });
  return { name, validFromMs: known ? Date.parse(known.tokens_valid_from) : 0 };
}

/**
 * Brings role and teams of the account to what the groups say now. Issuer and subject are who somebody is; the name only gives
 * a new account its name, and never finds one.
 * @throws FORBIDDEN no group has a role, and all that `makeOrRenew` refuses · INVALID_CREDENTIALS the log-in was finished before
 */
export async function admit(
  deps: Pick<ControlDeps, 'db' | 'clock'>,
  settings: OpenIdSettings,
  attempt: Attempt,
  { subject, claims }: Identity,
): Promise<Admitted> {
  const standing = standingOf(groupsIn(claims[settings.groupsClaim]), settings.mapping);
  const nowMs = deps.clock.nowMs();
  const at = { nowMs, nowIso: new Date(nowMs).toISOString() };
  const id = { issuer: settings.issuer, subject };
  const admitted = await deps.db.transaction(async (tx) => {
    await useUp(tx, attempt);
    if (standing) return makeOrRenew(tx, { ...id, called: claims[settings.usernameClaim] }, standing, at);
    await takeAway(tx, id, at);
    return null;
  });
  if (admitted === null) throw noRight('no group has a role');
  return admitted;
}
