import { int, list, optionalText, text } from './options.ts';
import { CLAIM, ISSUER, JSON_OBJECT } from './rules.ts';

/** The OpenID Connect manager, `[core] auth_manager = openid`. */
export const OIDC_OPTIONS = {
  issuer: optionalText({
    readers: ['control'],
    unit: 'URL',
    rule: ISSUER,
    advice: 'The identity provider, exactly as it names itself. https; http only on this machine.',
  }),
  client_id: optionalText({
    readers: ['control'],
    advice:
      'Name of this deployment at the provider. Register `<base_url>/auth/oidc/callback` there, and `<base_url>/auth/login` to return to after a log-out.',
  }),
  client_secret: optionalText({
    readers: ['control'],
    sensitive: true,
    advice:
      'Secret of this client, sent by HTTP basic authentication. Unset: a public client; PKCE is used in both cases.',
  }),
  scopes: list(['openid', 'profile'], {
    readers: ['control'],
    advice: 'What is asked for; `openid` always is. Many providers give groups only with a scope for them.',
  }),
  username_claim: text('preferred_username', {
    readers: ['control'],
    rule: CLAIM,
    advice:
      'Claim that names the account when it is made. Later log-ins find it by issuer and subject, whatever this claim says.',
  }),
  groups_claim: text('groups', {
    readers: ['control'],
    rule: CLAIM,
    advice: 'Claim with the list of groups, in the ID token or else at the UserInfo endpoint.',
  }),
  role_mapping: text('{}', {
    readers: ['control'],
    unit: 'JSON',
    severalLines: true,
    rule: JSON_OBJECT,
    advice:
      'Group to role: {"data": "user", "platform": "admin"}. The highest counts; who is in none of them may not log in.',
  }),
  team_mapping: text('{}', {
    readers: ['control'],
    unit: 'JSON',
    severalLines: true,
    rule: JSON_OBJECT,
    advice: 'Group to teams: {"data": ["etl", "ml"]}. Only with [core] multi_team; make the teams first.',
  }),
  session_lifetime: int(3600, {
    readers: ['control'],
    unit: 's',
    min: 60,
    max: 86_400,
    advice: 'How long a log-in counts; then the provider is asked again, and a change of groups counts at the latest.',
  }),
};
