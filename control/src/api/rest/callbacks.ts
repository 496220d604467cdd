/** The callbacks that the server has started for a run, and what became of them: ours. @see docs/writing-dags.md */
import { z } from '@airlock/contract/schema';
import { listCallbacks } from '@airlock/store/queries/rest-run/callbacks';
import { wireInstant } from '../http/instant.ts';
import { parseQuery } from '../http/validation.ts';
import { pageOf, pageQuery } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';

const query = z.object({ limit: pageQuery.limit, offset: pageQuery.offset });

async function callbacks(context: RestContext): Promise<unknown> {
  const asked = parseQuery(query, context.request);
  const { db } = context.deps;
  const { id } = await loadRun(db, context.param('dag_id'), context.param('dag_run_id'));
  const { rows, total } = await listCallbacks(db, { dagRunId: id, ...pageOf(context, asked) });
  return {
    callbacks: rows.map((row) => ({
      ...row,
      created_at: wireInstant(row.created_at),
      started_at: wireInstant(row.started_at),
      ended_at: wireInstant(row.ended_at),
    })),
    total_entries: total,
  };
}

export const callbackRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags/:dag_id/dagRuns/:dag_run_id/callbacks', handle: callbacks, query },
];
