/**
 * What decides on each route below `/auth`, where a token is had and none is asked for: one row per route, mounted by this
 * table. Whatever token comes along is not looked at. The routes of an OpenID Connect provider are in auth-managers/openid.
 */
export type LoginPolicyRow =
  /** User name and password, throttled per account and address. */
  | 'password'
  /** Only where `[core] simple_auth_manager_all_admins` is on, and only from this machine; else 403. */
  | 'all-admins'
  /** A page without anything of anybody's. */
  | 'public';

export const LOGIN_POLICY = {
  'POST /auth/token': 'password',
  'POST /auth/token/cli': 'password',
  'GET /auth/token': 'all-admins',
  'GET /auth/token/login': 'all-admins',
  'POST /auth/login': 'password',
  'GET /auth/*': 'public',
} as const satisfies Readonly<Record<string, LoginPolicyRow>>;
