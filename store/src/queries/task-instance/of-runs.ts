/** Task instances of a run, or of the runs before, as a try may ask for them. @see execution API 3.8 */
import { type Db, sql } from '../../database.ts';
import type { CallerKey } from '../token/caller.ts';
import { mayListInstances, type RightsContext } from '../token/rights.ts';
import { readForCaller, type With } from './reads.ts';

export type Breadcrumb = {
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string;
  readonly operator: string | null;
  readonly duration: number | null;
};

/** The finished task instances of one run, by task and map index. Locks nothing. */
export async function listBreadcrumbsFor(
  db: Db,
  key: CallerKey,
  run: { readonly dagId: string; readonly runId: string },
  rights: RightsContext,
): Promise<With<Breadcrumb[] | null> | null> {
  return await readForCaller<Breadcrumb[] | null>(db, key, {
    name: 'ti_breadcrumbs',
    allowed: mayListInstances(rights, { dagId: run.dagId, runIds: [run.runId] }),
    value: sql`(SELECT COALESCE(json_agg(json_build_object('task_id', o.task_id, 'map_index', o.map_index, 'state', o.state,
        'operator', o.operator, 'duration', o.duration) ORDER BY o.task_id, o.map_index), '[]')
      FROM task_instance o WHERE o.dag_id = ${run.dagId} AND o.run_id = ${run.runId}
        AND o.state IN ('success', 'failed', 'skipped', 'upstream_failed', 'removed'))`,
  });
}

export type PreviousInstance = {
  readonly task_id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly logical_date: string | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly state: string | null;
  readonly try_number: number;
  readonly map_index: number;
  readonly duration: number | null;
};

/** The latest instance of a task by logical date, before `logicalDate` when that is given; null = none. Locks nothing. */
export async function previousInstanceFor(
  db: Db,
  key: CallerKey,
  of: {
    readonly dagId: string;
    readonly taskId: string;
    readonly mapIndex: number;
    readonly logicalDate: string | null;
    readonly state: string | null;
  },
  rights: RightsContext,
): Promise<With<PreviousInstance | null> | null> {
  return await readForCaller<PreviousInstance | null>(db, key, {
    name: 'ti_previous',
    allowed: mayListInstances(rights, { dagId: of.dagId, runIds: null }),
    value: sql`(SELECT json_build_object('task_id', o.task_id, 'dag_id', o.dag_id, 'run_id', o.run_id,
        'logical_date', r.logical_date, 'start_date', o.start_date, 'end_date', o.end_date, 'state', o.state,
        'try_number', o.try_number, 'map_index', o.map_index, 'duration', o.duration)
      FROM dag_run r JOIN task_instance o ON o.dag_run_id = r.id AND o.task_id = ${of.taskId}
        AND o.map_index = ${of.mapIndex}::integer
      WHERE r.dag_id = ${of.dagId} AND r.logical_date IS NOT NULL
        AND (${of.logicalDate}::timestamptz IS NULL OR r.logical_date < ${of.logicalDate}::timestamptz)
        AND (${of.state}::text IS NULL OR o.state = ${of.state}::text)
      ORDER BY r.logical_date DESC LIMIT 1)`,
  });
}
