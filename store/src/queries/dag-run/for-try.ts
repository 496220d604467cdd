/** Runs, as a try may ask for them: caller, right and answer on one snapshot. @see execution API 3.9 */
import { type Db, sql } from '../../database.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import type { CallerKey } from '../token/caller.ts';
import { mayReadRuns, type RightsContext } from '../token/rights.ts';
import { RUN_FACTS, type RunFacts } from './facts.ts';

/** One run by name; null = there is none. Locks nothing. */
export async function readRunFor(
  db: Db,
  key: CallerKey,
  run: { readonly dagId: string; readonly runId: string },
  rights: RightsContext,
): Promise<With<RunFacts | null> | null> {
  return await readForCaller<RunFacts | null>(db, key, {
    name: 'run_for_try',
    allowed: mayReadRuns(rights, { dagId: run.dagId, runIds: [run.runId] }),
    value: sql`(SELECT ${RUN_FACTS} FROM dag_run r WHERE r.dag_id = ${run.dagId} AND r.run_id = ${run.runId})`,
  });
}

/** How many runs of a Dag match; a null list = no condition. Locks nothing. */
export async function countRunsFor(
  db: Db,
  key: CallerKey,
  filter: {
    readonly dagId: string;
    readonly runIds: readonly string[] | null;
    readonly logicalDates: readonly string[] | null;
    readonly states: readonly string[] | null;
  },
  rights: RightsContext,
): Promise<With<number | null> | null> {
  return await readForCaller<number | null>(db, key, {
    name: 'run_count_for_try',
    allowed: mayReadRuns(rights, filter),
    value: sql`(SELECT count(*)::integer FROM dag_run r WHERE r.dag_id = ${filter.dagId}
      AND (${filter.runIds}::text[] IS NULL OR r.run_id = ANY(${filter.runIds}::text[]))
      AND (${filter.logicalDates}::timestamptz[] IS NULL OR r.logical_date = ANY(${filter.logicalDates}::timestamptz[]))
      AND (${filter.states}::text[] IS NULL OR r.state = ANY(${filter.states}::text[])))`,
  });
}

/** The latest run of a Dag before a logical date; null = there is none. Locks nothing. */
export async function previousRunFor(
  db: Db,
  key: CallerKey,
  before: { readonly dagId: string; readonly logicalDate: string; readonly state: string | null },
  rights: RightsContext,
): Promise<With<RunFacts | null> | null> {
  return await readForCaller<RunFacts | null>(db, key, {
    name: 'run_previous_for_try',
    allowed: mayReadRuns(rights, { dagId: before.dagId, runIds: null }),
    value: sql`(SELECT ${RUN_FACTS} FROM dag_run r WHERE r.dag_id = ${before.dagId}
      AND r.logical_date < ${before.logicalDate}::timestamptz
      AND (${before.state}::text IS NULL OR r.state = ${before.state}::text) ORDER BY r.logical_date DESC LIMIT 1)`,
  });
}
