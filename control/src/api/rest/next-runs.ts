/** What a Dag's schedule will do: a preview, of ours. @see scheduling semantics 2 */
import { z } from '@airlock/contract/schema';
import { findScheduleFacts } from '@airlock/store/queries/schedule/no-run';
import type { DagModel } from '../../domain/dag-model.ts';
import { instantIso } from '../../domain/instants.ts';
import { whyNoNextRun } from '../../runs/asked-timetables.ts';
import { upcomingRuns } from '../../runs/next-run.ts';
import { noRunCause } from '../../scheduler/no-run-cause.ts';
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
  const hasSchedule = runs.length > 0 || model.timetable.isAsked || model.assetCondition !== null;
  const cause = hasSchedule ? await whyNoRun(context, model) : null;
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

/** What keeps the schedule from making a run, though one may be due; null = nothing. */
async function whyNoRun(context: RestContext, model: DagModel): Promise<string | null> {
  const { db, clock, config } = context.deps;
  const unanswered = model.timetable.isAsked ? await whyNoNextRun(db, model.dagId) : null;
  if (unanswered !== null) return unanswered;
  const aliveSinceIso = instantIso(clock.nowMs() - config.scheduler.scheduler_health_check_threshold * 1000);
  const facts = await findScheduleFacts(db, { dagId: model.dagId, aliveSinceIso });
  return facts && noRunCause(facts, config.scheduler.use_job_schedule, model.assetCondition !== null);
}

export const nextRunRoutes: RestRoute[] = [{ method: 'GET', path: '/dags/:dag_id/nextRuns', handle: nextRuns, query }];
