/** What operators do to accounts. Each change has its audit row in the same transaction; every replica reads it at the next request. */
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { type AccountRole, type AccountRow, hasAccounts } from '@airlock/store/queries/account/get';
import { lockAdmins } from '@airlock/store/queries/account/lock-admins';
import { deleteAccount, insertAccount, insertFirstAccount, updateAccount } from '@airlock/store/queries/account/write';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { ControlDeps } from '../../deps.ts';
import { hashNewPassword, passwordProblem } from './passwords.ts';

export const ACCOUNT_ROLES: readonly AccountRole[] = ['viewer', 'user', 'op', 'admin'];
export const ACCOUNT_NAME = /^[A-Za-z0-9_.@+-]{1,250}$/;

type Deps = Pick<ControlDeps, 'db' | 'clock'>;

/** Tokens carry whole seconds: what was issued before this second is refused, what is issued in it is not. */
function wholeSecondIso(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000).toISOString();
}

/** The next whole second, so that a token of this very second is refused too. */
function nextSecondIso(ms: number): string {
  return new Date(Math.floor(ms / 1000) * 1000 + 1000).toISOString();
}

function unknown(name: string): AppError {
  return new AppError('NOT_FOUND', { public: `There is no user named ${name}.` });
}

async function audit(tx: Db, nowIso: string, by: string, event: string, extra: Record<string, unknown>): Promise<void> {
  await insertEventLog(tx, { nowIso, event, owner: by, extra: JSON.stringify(extra) });
}

/** @throws VALIDATION name, role or password · CONFLICT the name is taken */
export async function createAccount(
  deps: Deps,
  by: string,
  account: { name: string; role: AccountRole; password: string | null },
): Promise<void> {
  if (!ACCOUNT_NAME.test(account.name)) {
    throw new AppError('VALIDATION', { public: 'A user name has 1 to 250 of A-Z a-z 0-9 _ . @ + -.' });
  }
  const passwordHash = account.password === null ? null : await hashNewPassword(account.password);
  const nowMs = deps.clock.nowMs();
  const nowIso = new Date(nowMs).toISOString();
  await deps.db.transaction(async (tx) => {
    const made = await insertAccount(tx, {
      name: account.name,
      role: account.role,
      passwordHash,
      validFromIso: wholeSecondIso(nowMs),
      nowIso,
    });
    if (!made) throw new AppError('CONFLICT', { public: `A user named ${account.name} exists already.` });
    await audit(tx, nowIso, by, 'create_user', { name: account.name, role: account.role });
  });
}

/** Makes user `admin` when there is no account at all. @returns whether it did. */
export async function ensureFirstAdmin(deps: Deps, password: string | null): Promise<boolean> {
  // Looked at first, because a hash costs more than the rest of a start.
  if (await hasAccounts(deps.db)) return false;
  const problem = password === null ? null : await passwordProblem(password);
  if (problem !== null) {
    throw new AppError('CONFIG_INVALID', {
      public: `AIRLOCK_ADMIN_PASSWORD can't be used. ${problem}`,
      remedy: 'Set another one, or none: then a password is made and shown once.',
    });
  }
  const passwordHash = password === null ? null : await hashNewPassword(password);
  const nowMs = deps.clock.nowMs();
  const nowIso = new Date(nowMs).toISOString();
  return deps.db.transaction(async (tx) => {
    const validFromIso = wholeSecondIso(nowMs);
    const made = await insertFirstAccount(tx, { name: 'admin', role: 'admin', passwordHash, validFromIso, nowIso });
    if (made) await audit(tx, nowIso, 'airlock', 'create_user', { name: 'admin', role: 'admin' });
    return made;
  });
}

/** @throws VALIDATION · NOT_FOUND. Ends every token of the account. */
export async function resetPassword(deps: Deps, by: string, name: string, password: string): Promise<void> {
  const passwordHash = await hashNewPassword(password);
  const nowMs = deps.clock.nowMs();
  await change(deps, by, name, 'reset_password', { passwordHash, validFromIso: nextSecondIso(nowMs) });
}

/**
 * Changes what an account may do, in one transaction. Disabling ends every token of the account.
 * @throws NOT_FOUND · CONFLICT it is the last admin
 */
export async function changeAccount(
  deps: Deps,
  by: string,
  name: string,
  to: { readonly role?: AccountRole | undefined; readonly disabled?: boolean | undefined },
): Promise<void> {
  const nowMs = deps.clock.nowMs();
  const nowIso = new Date(nowMs).toISOString();
  await deps.db.transaction(async (tx) => {
    if (to.disabled === true || (to.role !== undefined && to.role !== 'admin')) await keepAnAdmin(tx, name);
    const validFromIso = to.disabled === true ? nextSecondIso(nowMs) : undefined;
    if (!(await updateAccount(tx, name, { ...to, validFromIso }))) throw unknown(name);
    if (to.role !== undefined) await audit(tx, nowIso, by, 'set_user_role', { name, role: to.role });
    if (to.disabled !== undefined) await audit(tx, nowIso, by, to.disabled ? 'disable_user' : 'enable_user', { name });
  });
}

/** Ends every token of the account. @throws NOT_FOUND */
export async function revokeAll(deps: Deps, by: string, name: string): Promise<void> {
  await change(deps, by, name, 'revoke_user_tokens', { validFromIso: nextSecondIso(deps.clock.nowMs()) });
}

/** @throws NOT_FOUND · CONFLICT it is the last admin */
export async function removeAccount(deps: Deps, by: string, name: string): Promise<void> {
  const nowIso = new Date(deps.clock.nowMs()).toISOString();
  await deps.db.transaction(async (tx) => {
    await keepAnAdmin(tx, name);
    if (!(await deleteAccount(tx, name))) throw unknown(name);
    await audit(tx, nowIso, by, 'delete_user', { name });
  });
}

/**
 * Refuses what would leave nobody who may administer: `name` is about to lose that. Whoever asks this at the same time about
 * another admin waits for this transaction. One without a password can't log in, so does not replace one who can.
 * @throws CONFLICT
 */
async function keepAnAdmin(tx: Db, name: string): Promise<void> {
  const admins = await lockAdmins(tx);
  const loser = admins.find((admin) => admin.name === name);
  if (!loser) return;
  if (admins.some((admin) => admin !== loser && (admin.has_password || !loser.has_password))) return;
  throw new AppError('CONFLICT', {
    public: `${name} is the last user who can administer this server.`,
    remedy: 'Give another user the role admin and a password first.',
  });
}

async function change(
  deps: Deps,
  by: string,
  name: string,
  event: string,
  values: Parameters<typeof updateAccount>[2],
): Promise<void> {
  const nowIso = new Date(deps.clock.nowMs()).toISOString();
  await deps.db.transaction(async (tx) => {
    if (!(await updateAccount(tx, name, values))) throw unknown(name);
    await audit(tx, nowIso, by, event, { name });
  });
}

/** An account as operators see it: never its hash. */
export function describeAccount(row: AccountRow): Record<string, unknown> {
  return {
    name: row.name,
    role: row.role,
    disabled: row.disabled,
    has_password: row.password_hash !== null,
    created_at: row.created_at,
  };
}
