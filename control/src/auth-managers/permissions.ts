/** Airflow's permission table, and teams. Pure. @see rest-api 2.9, 3.3 */
import type { AccountRole } from '@airlock/store/queries/account/get';
import { type AuthManager, DAG_RESOURCES, MENU_ITEMS, type MenuItem, type Resource } from './auth-manager.ts';

const RANK: Readonly<Record<AccountRole, number>> = { viewer: 0, user: 1, op: 2, admin: 3 };

type Needs = { readonly read: AccountRole; readonly write: AccountRole };
const OF_DAG: Needs = { read: 'viewer', write: 'user' };
const VIEW: Needs = { read: 'viewer', write: 'admin' };

/** Least role that may read, and that may write. */
const NEEDS: Readonly<Record<Resource, Needs>> = {
  ...(Object.fromEntries(DAG_RESOURCES.map((name) => [name, OF_DAG])) as Record<(typeof DAG_RESOURCES)[number], Needs>),
  asset: { read: 'viewer', write: 'op' },
  asset_alias: { read: 'viewer', write: 'op' },
  pool: { read: 'viewer', write: 'op' },
  configuration: { read: 'viewer', write: 'op' },
  connection: { read: 'op', write: 'op' },
  variable: { read: 'op', write: 'op' },
  cluster_activity: VIEW,
  docs: VIEW,
  import_errors: VIEW,
  jobs: VIEW,
  plugins: VIEW,
  providers: VIEW,
  triggers: VIEW,
  website: VIEW,
};

/** What has to be readable for a page to be of any use. */
const MENU: Readonly<Record<MenuItem, Resource>> = {
  Assets: 'asset',
  'Audit Log': 'audit_log',
  Config: 'configuration',
  Connections: 'connection',
  Dags: 'dag',
  Docs: 'docs',
  Jobs: 'jobs',
  Plugins: 'plugins',
  Pools: 'pool',
  Providers: 'providers',
  'Required Actions': 'hitl_detail',
  Variables: 'variable',
  XComs: 'xcom',
};

/** @param multiTeam whether teams count; without it everything belongs to everybody. */
export function rolePermissions(
  multiTeam: boolean,
): Pick<AuthManager, 'isAuthorized' | 'visible' | 'mayAnswer' | 'menuItems'> {
  const isAuthorized: AuthManager['isAuthorized'] = (user, { resource, method, team }) => {
    if (user.role === 'admin') return true;
    const needs = NEEDS[resource];
    if (RANK[user.role] < RANK[method === 'GET' ? needs.read : needs.write]) return false;
    return !multiTeam || team === null || user.teams.includes(team);
  };
  return {
    isAuthorized,
    visible: (user) => (!multiTeam || user.role === 'admin' ? 'all' : { teams: user.teams }),
    mayAnswer: (user, assigned) => assigned.length === 0 || assigned.includes(user.name),
    menuItems: (user) =>
      MENU_ITEMS.filter((item) => isAuthorized(user, { resource: MENU[item], method: 'GET', item: null, team: null })),
  };
}
