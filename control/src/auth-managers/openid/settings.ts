/** What `[oidc]` says, checked as a whole before anything listens. */
import type { Config } from '@airlock/contract/config/index';
import { AppError } from '@airlock/contract/errors';
import type { AccountRole } from '@airlock/store/queries/account/get';
import { ACCOUNT_ROLES } from '../../api/auth/accounts.ts';
import { TEAM_NAME } from '../teams.ts';

export type Mapping = {
  readonly roles: ReadonlyMap<string, AccountRole>;
  readonly teams: ReadonlyMap<string, readonly string[]>;
};

export type OpenIdSettings = {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string | null;
  /** Separated by spaces, with `openid`. */
  readonly scope: string;
  readonly usernameClaim: string;
  readonly groupsClaim: string;
  readonly mapping: Mapping;
  readonly sessionSeconds: number;
  readonly leewaySeconds: number;
  /** Public address of this server, without a slash at its end. */
  readonly baseUrl: string;
};

function wrong(text: string, remedy: string): AppError {
  return new AppError('CONFIG_INVALID', { public: text, remedy });
}

function required(value: string | null, name: string): string {
  if (value !== null) return value;
  throw wrong(
    `[core] auth_manager is openid, and ${name} is not set.`,
    `Set ${name}, or leave auth_manager at built-in.`,
  );
}

function entries(text: string): Array<[group: string, value: unknown]> {
  return Object.entries(JSON.parse(text) as Record<string, unknown>);
}

function readRoles(text: string): Map<string, AccountRole> {
  const remedy = `Give it as {"group": "role"}, with a role of ${ACCOUNT_ROLES.join(', ')}.`;
  const roles = new Map<string, AccountRole>();
  for (const [group, word] of entries(text)) {
    const role = ACCOUNT_ROLES.find((each) => each === word);
    if (!role)
      throw wrong(`[oidc] role_mapping: ${JSON.stringify(word)} of group ${JSON.stringify(group)} is no role.`, remedy);
    roles.set(group, role);
  }
  if (roles.size === 0) throw wrong('[oidc] role_mapping gives no group a role, so that nobody could log in.', remedy);
  return roles;
}

function readTeams(text: string, multiTeam: boolean): Map<string, string[]> {
  const teams = new Map<string, string[]>();
  for (const [group, list] of entries(text)) {
    if (!Array.isArray(list) || !list.every((name) => typeof name === 'string' && TEAM_NAME.test(name))) {
      const public_ = `[oidc] team_mapping: group ${JSON.stringify(group)} is not mapped to a list of team names.`;
      throw wrong(public_, 'Give it as {"group": ["team"]}; a team name has 1 to 50 of A-Z a-z 0-9 _ -.');
    }
    teams.set(group, list);
  }
  if (teams.size > 0 && !multiTeam) {
    throw wrong(
      '[oidc] team_mapping is set, but [core] multi_team is off.',
      'Switch multi_team on, or leave team_mapping empty.',
    );
  }
  return teams;
}

/** Pure. @param encrypts whether `[core] fernet_key` is set. @throws CONFIG_INVALID */
export function openIdSettings(
  config: Pick<Config, 'oidc' | 'core' | 'api' | 'api_auth'>,
  encrypts: boolean,
): OpenIdSettings {
  const { oidc } = config;
  if (!encrypts) {
    throw wrong(
      '[core] auth_manager is openid, and [core] fernet_key is not set.',
      'Set it: it seals log-ins that are under way.',
    );
  }
  return {
    issuer: required(oidc.issuer, '[oidc] issuer'),
    clientId: required(oidc.client_id, '[oidc] client_id'),
    clientSecret: oidc.client_secret,
    scope: [...new Set(['openid', ...oidc.scopes])].join(' '),
    usernameClaim: oidc.username_claim,
    groupsClaim: oidc.groups_claim,
    mapping: { roles: readRoles(oidc.role_mapping), teams: readTeams(oidc.team_mapping, config.core.multi_team) },
    sessionSeconds: oidc.session_lifetime,
    leewaySeconds: config.api_auth.jwt_leeway,
    baseUrl: required(config.api.base_url, '[api] base_url').replace(/\/+$/, ''),
  };
}
