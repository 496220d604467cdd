/** What the tasks of a Dag have used, as the needs that would allow it: ours. @see docs/security/security_model.md */
import { listObservedUses } from '@airlock/store/queries/token/observed';
import { needsOf } from '../../domain/observed-needs.ts';
import type { RestContext, RestRoute } from './route.ts';

async function observed(context: RestContext): Promise<unknown> {
  return { tasks: needsOf(await listObservedUses(context.deps.db, context.param('dag_id'))) };
}

export const observedNeedsRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags/:dag_id/observedNeeds', handle: observed },
];
