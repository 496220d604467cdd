/** What a Dag's schedule will do: a preview, of ours. @see scheduling semantics 2 */
import { z } from '@airlock/contract/schema';
import { whyNoNextRun } from '../../runs/asked-timetables.ts';
import { upcomingRuns } from '../../runs/next-run.ts';
import { wireInstant } from '../http/instant.ts';
import { parseQuery } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { loadModelOf } from './dags.ts';
import { optionalOne } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';

/** Most runs that one request works out, so that its cost has a bound. */
const MOST_RUNS = 1000;
const query = z.object({ count: optionalOne(wire.int({ ge: 1, le: MOST_RUNS })) });

const instant = (ms: number | null | undefined) => (ms == null ? null : wireInstant(new Date(ms).toISOString()));

async function nextRuns(context: RestContext): Promise<unknown> {
  const { count } = parseQuery(query, context.request);
  const model = await loadModelOf(context, context.param('dag_id'));
  const runs = await upcomingRuns(context.deps.db, model, context.deps.clock.nowMs(), count ?? 10);
  const cause = model.timetable.isAsked ? await whyNoNextRun(context.deps.db, model.dagId) : null;
  return {
    dag_id: model.dagId,
    timetable: model.timetable.summary,
    next_runs: runs.map((run) => ({
      logical_date: instant(run.logicalDateMs),
      data_interval_start: instant(run.interval?.startMs),
      data_interval_end: instant(run.interval?.endMs),
      run_after: instant(run.runAfterMs),
      partition_key: run.partition?.key ?? null,
    })),
    total_entries: runs.length,
    cause,
  };
}

export const nextRunRoutes: RestRoute[] = [{ method: 'GET', path: '/dags/:dag_id/nextRuns', handle: nextRuns, query }];
