/**
 * Decides from a route's row whether a request may go on: first by resource and method, then, where the path names a Dag, by
 * the team of that Dag. A Dag of another team is answered like one that does not exist, with the same work. @see rest-api 3.3
 */
import { AppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { getTeamOfDag } from '@airlock/store/queries/team/of-dag';
import { getTeamsOfDags } from '@airlock/store/queries/team/of-dags';
import type { AuthManager, DagResource, Method, User } from '../../auth-managers/auth-manager.ts';
import { dagNotFound } from './dags.ts';
import type { PolicyRow } from './policy.ts';
import type { RestContext } from './route.ts';

/** Any Dag that the caller may see. */
const ANY = '~';

/** @throws FORBIDDEN the role does not reach · NOT_FOUND the Dag is not there for this user */
export async function authorize(
  deps: { readonly db: Db; readonly auth: AuthManager },
  user: User,
  row: Exclude<PolicyRow, { public: true }>,
  params: Readonly<Record<string, string>>,
): Promise<void> {
  const { resource, method } = row;
  const item = row.item === null ? null : (params[row.item] ?? null);
  const needs = [{ resource, method, item }, ...(row.also ?? []).map((other) => ({ ...other, item: null }))];
  if (!needs.every((need) => deps.auth.isAuthorized(user, { ...need, team: null }))) {
    throw new AppError('FORBIDDEN', { public: 'Forbidden' });
  }
  const dagId = params.dag_id;
  if (dagId === undefined || dagId === ANY || deps.auth.visible(user, { resource, method }) === 'all') return;
  const dag = await getTeamOfDag(deps.db, dagId);
  if (!dag || !deps.auth.isAuthorized(user, { resource, method, item, team: dag.team })) throw dagNotFound(dagId);
}

/**
 * Which of these Dags, that a body names, are there for the caller and this method. One of another team is left out as one
 * that does not exist is. @throws FORBIDDEN the role does not reach
 */
export async function dagsThatMayBe(
  context: Pick<RestContext, 'deps' | 'may' | 'user'>,
  resource: DagResource,
  method: Method,
  dagIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (!context.may({ resource, method, item: null, team: null }))
    throw new AppError('FORBIDDEN', { public: 'Forbidden' });
  const ids = [...new Set(dagIds)];
  if (context.deps.auth.visible(context.user, { resource, method }) === 'all') return new Set(ids);
  const dags = await getTeamsOfDags(context.deps.db, ids);
  return new Set(
    dags.filter((dag) => context.may({ resource, method, item: dag.dag_id, team: dag.team })).map((dag) => dag.dag_id),
  );
}
