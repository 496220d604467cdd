/** From groups to a role and teams. Pure. */
import type { AccountRole } from '@airlock/store/queries/account/get';
import { ACCOUNT_ROLES } from '../../api/auth/accounts.ts';
import type { Mapping } from './settings.ts';

/** The texts of a claim that holds groups; anything else in it counts for nothing. */
export function groupsIn(claim: unknown): string[] {
  return Array.isArray(claim) ? claim.filter((group) => typeof group === 'string') : [];
}

export type Standing = { readonly role: AccountRole; readonly teams: readonly string[] };

/** The highest role that a group gives, and all their teams by name. Null: no group gives a role. */
export function standingOf(groups: readonly string[], mapping: Mapping): Standing | null {
  const roles = groups.map((group) => mapping.roles.get(group));
  const role = ACCOUNT_ROLES.findLast((each) => roles.includes(each));
  if (!role) return null;
  return { role, teams: [...new Set(groups.flatMap((group) => mapping.teams.get(group) ?? []))].sort() };
}
