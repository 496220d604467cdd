/** The auth manager of a deployment. */

import type { Authenticator } from '../api/auth/identity.ts';
import type { ControlDeps } from '../deps.ts';
import type { AuthManager } from './auth-manager.ts';
import { rolePermissions } from './permissions.ts';

/** Users of the database, with Airflow's roles, and the teams that they belong to. */
export function createAuthManager(deps: Pick<ControlDeps, 'config'>, authenticator: Authenticator): AuthManager {
  return { userOf: authenticator.authenticate, ...rolePermissions(deps.config.core.multi_team) };
}
