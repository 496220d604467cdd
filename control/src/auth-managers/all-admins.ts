/**
 * `[core] simple_auth_manager_all_admins`: on a laptop, whoever asks without a token is an administrator. Only on loopback, and
 * only for callers that can be of this machine: a page of another site, a name that was pointed here (DNS rebinding) and what a
 * proxy passes on are refused as without the option. Every process of the machine is admitted, tasks included. @see rest-api 2.8
 */
import type { Config } from '@airlock/contract/config/index';
import { isLoopback } from '@airlock/contract/config/transport';
import { AppError } from '@airlock/contract/errors';
import type { Database } from '@airlock/store';
import {
  deleteExternalAccounts,
  insertExternalAccount,
  lockExternalAccount,
} from '@airlock/store/queries/account/external';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { requestProvenance } from '../api/auth/same-site.ts';

/** Who everybody is; the reference's word. */
export const ANONYMOUS = 'Anonymous';
/** The account behind tokens of this mode; no identity provider can be named so, and it goes with the mode. */
const ID = { issuer: 'airlock:all-admins', subject: ANONYMOUS };

export const ALL_ADMINS_HEADER = 'airlock-all-admins';

/** @throws CONFIG_INVALID the server can be reached, or is published, beyond this machine, or has people log in elsewhere */
export function checkAllAdmins({ api, core }: Pick<Config, 'api' | 'core'>): void {
  const published = api.base_url === null ? null : new URL(api.base_url).hostname;
  const reason = !isLoopback(api.host)
    ? `[api] host is ${api.host}`
    : published !== null && !isLoopback(published)
      ? `[api] base_url is ${api.base_url}`
      : api.trusted_proxies.length > 0
        ? '[api] trusted_proxies are set'
        : core.auth_manager === 'openid'
          ? '[core] auth_manager is openid'
          : null;
  if (reason === null) return;
  throw new AppError('CONFIG_INVALID', {
    public: `[core] simple_auth_manager_all_admins makes everybody an administrator, and ${reason}: it is for one machine alone.`,
    remedy: 'Switch it off, or listen on 127.0.0.1 without a proxy.',
  });
}

/** Makes the account of this mode, or removes it with all its tokens where the mode is off. @throws CONFIG_INVALID the name is taken */
export async function prepareAllAdmins(
  db: Database,
  options: { readonly isOn: boolean; readonly nowMs: number; readonly log: Pick<Logger, 'warn'> },
): Promise<void> {
  const nowIso = new Date(options.nowMs).toISOString();
  await db.transaction(async (tx) => {
    if (!options.isOn) return deleteExternalAccounts(tx, ID.issuer);
    if (await lockExternalAccount(tx, ID)) return;
    const validFromIso = new Date(Math.floor(options.nowMs / 1000) * 1000).toISOString();
    if (!(await insertExternalAccount(tx, { ...ID, name: ANONYMOUS, role: 'admin', validFromIso, nowIso }))) {
      // Another process of this start may have been first.
      if (await lockExternalAccount(tx, ID)) return;
      throw new AppError('CONFIG_INVALID', {
        public: `[core] simple_auth_manager_all_admins needs the user name ${ANONYMOUS}, which an account has already.`,
        remedy: `Delete that account (airlock users delete ${ANONYMOUS}), or switch the option off.`,
      });
    }
    const extra = JSON.stringify({ name: ANONYMOUS, reason: 'simple_auth_manager_all_admins' });
    await insertEventLog(tx, { nowIso, event: 'create_user', owner: 'airlock', extra });
  });
  if (options.isOn) {
    options.log.warn(
      'WARNING: [core] simple_auth_manager_all_admins is on: NOBODY HAS TO LOG IN. Every user and every process of this machine, ' +
        'tasks included, is an administrator. Never use it where others have accounts, or with tasks that you do not trust.',
    );
  }
}

/** Headers of proxies: behind one, a caller may be from anywhere. */
const PASSED_ON = ['forwarded', 'via', 'x-forwarded-for', 'x-forwarded-host', 'x-real-ip'] as const;

/** Whether this can be a caller of this machine who means this server. */
export function isOwnMachine(
  request: FastifyRequest,
  api: Pick<Config['api'], 'base_url' | 'access_control_allow_origins'>,
): boolean {
  if (PASSED_ON.some((name) => request.headers[name] !== undefined)) return false;
  return isLoopback(request.hostname) && requestProvenance(request, api) !== 'foreign';
}
