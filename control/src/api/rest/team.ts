/**
 * `team_name`: in bodies a name only where teams are on; in the query of a named thing which team's is meant.
 * @see rest-api 3.3; decision 14
 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { teamExists } from '@airlock/store/queries/team/manage';
import type { Named } from '@airlock/store/queries/team/visible';
import type { Method, Resource } from '../../auth-managers/auth-manager.ts';
import { check, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { optionalOne } from './list-query.ts';
import type { RestContext } from './route.ts';

const whereOn = wire.text({ max: 50 }).nullish();
const whereOff = whereOn.transform((name, ctx): string | null | undefined => {
  if (name === null || name === undefined) return name;
  const error = 'team_name cannot be set when multi_team mode is disabled. Please contact your administrator.';
  return wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
});
export type TeamName = z.ZodType<string | null | undefined>;

/** `shown` is the one with teams. */
export type TeamBody<S extends z.ZodType> = ((context: RestContext) => S) & { readonly shown: S };

/** A body with a `team_name`, for deployments with teams and without. */
export function withTeams<S extends z.ZodType>(make: (teamName: TeamName) => S): TeamBody<S> {
  const on = make(whereOn);
  const off = make(whereOff);
  const pick = (context: RestContext) => (context.deps.config.core.multi_team ? on : off);
  return Object.assign(pick, { shown: on });
}

const query = z.object({ team_name: optionalOne(wire.text({ max: 50 })) });

/** Which of the things of one name is meant: the query may pick a team, or with an empty name the shared one. */
export function named(context: RestContext): Named {
  const { team_name: team } = context.deps.config.core.multi_team ? check(query, context.request.query, ['query']) : {};
  return { visible: context.visible, ...(team === undefined ? {} : { team: team === '' ? null : team }) };
}

type Target = { readonly resource: Resource; readonly method: Method; readonly item: string };

/**
 * Checks that the user may put a thing into this team. What a stranger of the team is told does not depend on whether there is
 * such a team. @throws FORBIDDEN · BAD_REQUEST there is no such team
 */
export async function checkTeam(tx: Db, context: RestContext, target: Target, team: string | null): Promise<void> {
  if (!context.may({ ...target, team })) throw new AppError('FORBIDDEN', { public: 'Forbidden' });
  if (team !== null && !(await teamExists(tx, team))) {
    throw new AppError('BAD_REQUEST', { public: `Team '${team}' does not exist` });
  }
}

/**
 * The team after a change: a name moves the thing, and null does so only where the update mask asks for it, since clients send
 * null along. @throws FORBIDDEN · BAD_REQUEST
 */
export async function changedTeam(
  tx: Db,
  context: RestContext,
  target: Omit<Target, 'method'>,
  change: { readonly from: string | null; readonly to: string | null | undefined; readonly mask: readonly string[] },
): Promise<string | null> {
  const asked =
    change.mask.length === 0 ? change.to !== null && change.to !== undefined : change.mask.includes('team_name');
  const to = change.to ?? null;
  if (!asked || to === change.from) return change.from;
  await checkTeam(tx, context, { ...target, method: 'PUT' }, to);
  return to;
}
