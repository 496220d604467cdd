/** The deadlines of a run, in the shape of the reference's own page: ours by its path. @see docs/writing-dags.md */
import { z } from '@airlock/contract/schema';
import { DEADLINE_ID, DEADLINE_ORDER, listDeadlines } from '@airlock/store/queries/rest-run/deadlines';
import { wireInstant } from '../http/instant.ts';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { optionalOne, pageOf, pageQuery, sortKeys } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';

const query = z.object({ ...pageQuery, missed: optionalOne(wire.bool()) });

async function deadlines(context: RestContext): Promise<unknown> {
  const asked = parseQuery(query, context.request);
  const { db } = context.deps;
  const [dagId, runId] = [context.param('dag_id'), context.param('dag_run_id')];
  const { id } = await loadRun(db, dagId, runId);
  const { rows, total } = await listDeadlines(db, {
    dagRunId: id,
    missed: asked.missed ?? null,
    order: sortKeys(asked.order_by, DEADLINE_ORDER, DEADLINE_ID, ['deadline_time']),
    ...pageOf(context, asked),
  });
  return {
    deadlines: rows.map((row) => ({
      ...row,
      deadline_time: wireInstant(row.deadline_time),
      created_at: wireInstant(row.created_at),
      dag_id: dagId,
      dag_run_id: runId,
    })),
    total_entries: total,
  };
}

export const deadlineRoutes: RestRoute[] = [
  { method: 'GET', path: '/dags/:dag_id/dagRuns/:dag_run_id/deadlines', handle: deadlines, query },
];
