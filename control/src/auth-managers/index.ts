/** The auth manager of a deployment. */
import { type Authenticator, presentedTokens } from '../api/auth/identity.ts';
import type { ControlDeps } from '../deps.ts';
import { ANONYMOUS, checkAllAdmins, isOwnMachine } from './all-admins.ts';
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
  const { api, core } = deps.config;
  const users = { userOf: authenticator.authenticate, ...rolePermissions(core.multi_team) };
  const builtIn = { ...users, loginPath: '/auth/login', logoutUrl: async () => null, register: () => undefined };
  if (core.simple_auth_manager_all_admins) {
    checkAllAdmins(deps.config);
    return {
      ...builtIn,
      loginPath: '/auth/token/login',
      mayAnswer: () => true,
      // Who shows a token is asked for no less than without the option.
      userOf: async (request) =>
        presentedTokens(request).length > 0 || !isOwnMachine(request, api)
          ? authenticator.authenticate(request)
          : { name: ANONYMOUS, role: 'admin', teams: [], via: 'bearer' },
    };
  }
  return core.auth_manager === 'openid' ? { ...users, ...openIdManager(deps) } : builtIn;
}
