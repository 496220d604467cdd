import { type Db, type Sql, sql } from '../../database.ts';
import {
  type Column,
  contains,
  given,
  inRange,
  listPage,
  type Range,
  type SortKey,
  startsWith,
} from '../rest-list/compose.ts';
import { type Visible, visibleDags } from '../team/visible.ts';
import { allOf, visibleAssets } from './visible.ts';

/** A run that consumed an event. Instants are the database's texts. */
export type ConsumingRun = {
  readonly run_id: string;
  readonly dag_id: string;
  readonly logical_date: string | null;
  readonly start_date: string;
  readonly end_date: string | null;
  readonly state: string;
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
  readonly partition_key: string | null;
  /** Of the events that the run consumed this is the newest. */
  readonly triggering: boolean;
};

export type AssetEventRow = {
  readonly id: number;
  readonly asset_id: number;
  readonly uri: string;
  readonly name: string;
  readonly group: string;
  /** JSON text. */
  readonly extra: string;
  readonly source_task_id: string | null;
  readonly source_dag_id: string | null;
  readonly source_run_id: string | null;
  readonly source_map_index: number;
  readonly runs: ConsumingRun[];
  readonly at: string;
  readonly partition_key: string | null;
};

/** Runs that have not started are left out: clients know no run here without a start. */
function columns(visible: Visible): Sql {
  return sql`e.id, e.asset_id, a.uri, a.name, a.asset_group AS "group", e.extra::text AS extra, e.source_task_id, e.source_dag_id,
    e.source_run_id, e.source_map_index, e.at, e.partition_key,
    COALESCE((SELECT json_agg(json_build_object('run_id', r.run_id, 'dag_id', r.dag_id, 'logical_date', r.logical_date,
        'start_date', r.start_date, 'end_date', r.end_date, 'state', r.state, 'data_interval_start', r.data_interval_start,
        'data_interval_end', r.data_interval_end, 'partition_key', r.partition_key, 'triggering',
        NOT EXISTS (SELECT 1 FROM dag_run_asset_event o JOIN asset_event newer ON newer.id = o.event_id
          WHERE o.dag_run_id = r.id AND (newer.at, newer.id) > (e.at, e.id))) ORDER BY r.id)
      FROM dag_run_asset_event x JOIN dag_run r ON r.id = x.dag_run_id
      WHERE x.event_id = e.id AND r.start_date IS NOT NULL AND ${allOf(visibleDags(sql`r.dag_id`, visible))}), '[]') AS runs`;
}
const FROM = sql`asset_event e JOIN asset a ON a.id = e.asset_id`;

/** Events that a task of a visible Dag, or no task, has made, of visible assets. */
function visibleEvents(visible: Visible): Sql[] {
  if (visible === 'all') return [];
  return [
    ...visibleAssets(visible),
    sql`(e.source_dag_id IS NULL OR ${visibleDags(sql`e.source_dag_id`, visible)[0]!})`,
  ];
}

const text = (expr: Sql): Column => ({ expr, type: 'text' });
export const ASSET_EVENT_ID: Column = { expr: sql`e.id`, type: 'int8' };
export const ASSET_EVENT_ORDER: Readonly<Record<string, Column>> = {
  source_task_id: text(sql`e.source_task_id`),
  source_dag_id: text(sql`e.source_dag_id`),
  source_run_id: text(sql`e.source_run_id`),
  source_map_index: { expr: sql`e.source_map_index`, type: 'int8' },
  timestamp: { expr: sql`e.at`, type: 'timestamptz' },
};

export type AssetEventFilters = {
  readonly visible: Visible;
  readonly assetId?: number;
  readonly sourceDagId?: string;
  readonly sourceTaskId?: string;
  readonly sourceRunId?: string;
  readonly sourceMapIndex?: number;
  readonly namePattern?: string;
  readonly namePrefix?: string;
  readonly at?: Range<string>;
};

/** A page of events. Locks nothing. */
export async function listAssetEvents(
  db: Db,
  f: AssetEventFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: AssetEventRow[]; total: number }> {
  return listPage<AssetEventRow>(db, {
    select: columns(f.visible),
    from: FROM,
    where: [
      ...visibleEvents(f.visible),
      ...given(f.assetId, (id) => sql`e.asset_id = ${id}`),
      ...given(f.sourceDagId, (id) => sql`e.source_dag_id = ${id}`),
      ...given(f.sourceTaskId, (id) => sql`e.source_task_id = ${id}`),
      ...given(f.sourceRunId, (id) => sql`e.source_run_id = ${id}`),
      ...given(f.sourceMapIndex, (index) => sql`e.source_map_index = ${index}`),
      ...given(f.namePattern, (term) => contains(sql`a.name`, term)),
      ...given(f.namePrefix, (term) => startsWith(sql`a.name`, term)),
      ...inRange(sql`e.at`, f.at ?? {}),
    ],
    ...page,
  });
}

/** One event. */
export async function getAssetEvent(db: Db, visible: Visible, id: number): Promise<AssetEventRow | null> {
  const rows = await db.query<AssetEventRow>(sql`SELECT ${columns(visible)} FROM ${FROM} WHERE e.id = ${id}`);
  return rows[0] ?? null;
}

/** Events that a run has consumed, oldest first, at most `limit`. Locks nothing. */
export async function consumedBy(db: Db, visible: Visible, dagRunId: number, limit: number): Promise<AssetEventRow[]> {
  return db.query<AssetEventRow>(
    sql`SELECT ${columns(visible)} FROM ${FROM} JOIN dag_run_asset_event c ON c.event_id = e.id
      WHERE c.dag_run_id = ${dagRunId} AND ${allOf(visibleEvents(visible))} ORDER BY e.at, e.id LIMIT ${limit}`,
  );
}
