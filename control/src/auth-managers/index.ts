/** The auth manager of a deployment. */
import type { Authenticator } from '../api/auth/identity.ts';
import type { ControlDeps } from '../deps.ts';
import type { AuthManager } from './auth-manager.ts';
import { openIdManager } from './openid/index.ts';
import { rolePermissions } from './permissions.ts';

/**
 * Users are rows of the database, with Airflow's roles and with teams; what a manager adds is how somebody becomes one of them.
 * @throws CONFIG_INVALID its options are incomplete or contradict each other
 */
export function createAuthManager(
  deps: Pick<ControlDeps, 'db' | 'clock' | 'config' | 'minter' | 'secrets'>,
  authenticator: Authenticator,
): AuthManager {
  const users = { userOf: authenticator.authenticate, ...rolePermissions(deps.config.core.multi_team) };
  if (deps.config.core.auth_manager === 'openid') return { ...users, ...openIdManager(deps) };
  return { ...users, loginPath: '/auth/login', logoutUrl: async () => null, register: () => undefined };
}
