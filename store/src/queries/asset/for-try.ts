/** Assets and their events, as a try may ask for them. What declared needs say is decided before. @see execution API 3.13 */
import { type Db, type Sql, sql } from '../../database.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import type { CallerKey } from '../token/caller.ts';
import { assetVisible } from './visible.ts';

export type AssetFacts = {
  readonly name: string;
  readonly uri: string;
  readonly group: string;
  readonly extra: unknown;
};

const FACTS = sql`json_build_object('name', a.name, 'uri', a.uri, 'group', a.asset_group, 'extra', a.extra)`;

/** The active asset of a name or a uri; null = there is none that the caller may see. Locks nothing. */
export async function readAssetFor(
  db: Db,
  key: CallerKey,
  which: { readonly name: string | null; readonly uri: string | null },
  multiTeam: boolean,
): Promise<With<AssetFacts | null> | null> {
  return await readForCaller<AssetFacts | null>(db, key, {
    name: 'asset_for_try',
    value: sql`(SELECT ${FACTS} FROM asset a WHERE a.active
      AND (${which.name}::text IS NULL OR a.name = ${which.name}::text)
      AND (${which.uri}::text IS NULL OR a.uri = ${which.uri}::text) AND ${assetVisible(multiTeam)} LIMIT 1)`,
  });
}

/** The assets that events have gone to under an alias, inactive ones included. Locks nothing. */
export async function readAssetsOfAliasFor(
  db: Db,
  key: CallerKey,
  alias: string,
  multiTeam: boolean,
): Promise<With<AssetFacts[] | null> | null> {
  return await readForCaller<AssetFacts[] | null>(db, key, {
    name: 'assets_of_alias_for_try',
    value: sql`(SELECT COALESCE(json_agg(${FACTS} ORDER BY a.id), '[]') FROM asset_alias l
      JOIN asset_alias_asset x ON x.alias_id = l.id JOIN asset a ON a.id = x.asset_id
      WHERE l.name = ${alias} AND ${assetVisible(multiTeam)})`,
  });
}

export type CreatedRun = {
  readonly run_id: string;
  readonly dag_id: string;
  readonly logical_date: string | null;
  readonly start_date: string | null;
  readonly run_after: string;
  readonly end_date: string | null;
  readonly state: string;
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
  readonly partition_key: string | null;
};
export type AssetEventFacts = {
  readonly id: number;
  readonly timestamp: string;
  /** JSON text. */
  readonly extra: string;
  readonly asset: AssetFacts;
  readonly created_dagruns: CreatedRun[];
  readonly source_task_id: string | null;
  readonly source_dag_id: string | null;
  readonly source_run_id: string | null;
  readonly source_map_index: number | null;
  readonly partition_key: string | null;
};
export type EventFilter = {
  /** An asset by name, uri or both; only both find an inactive one. Null = by alias. */
  readonly asset: { readonly name: string | null; readonly uri: string | null } | null;
  readonly alias: string | null;
  readonly after: string | null;
  readonly before: string | null;
  readonly ascending: boolean;
  readonly limit: number;
};

/** With teams: events that a task of the caller's team, of none, or no task has made. */
const sourceVisible = (multiTeam: boolean): Sql => sql`(NOT ${multiTeam}::boolean OR e.source_dag_id IS NULL
  OR EXISTS (SELECT 1 FROM dag s WHERE s.dag_id = e.source_dag_id AND (s.team IS NULL OR s.team = c.team)))`;

/** Events of an asset, or under an alias, by time. Locks nothing. */
export async function listAssetEventsFor(
  db: Db,
  key: CallerKey,
  filter: EventFilter,
  multiTeam: boolean,
): Promise<With<AssetEventFacts[] | null> | null> {
  const { asset } = filter;
  const direction = filter.ascending ? sql`ASC` : sql`DESC`;
  return await readForCaller<AssetEventFacts[] | null>(db, key, {
    name: `asset_events_for_try_${filter.ascending ? 'up' : 'down'}`,
    value: sql`(SELECT COALESCE(json_agg(f.event ORDER BY f.at ${direction}, f.id ${direction}), '[]') FROM (
      SELECT e.at, e.id, json_build_object('id', e.id, 'timestamp', e.at, 'extra', e.extra::text, 'asset', ${FACTS},
        'created_dagruns', COALESCE((SELECT json_agg(json_build_object('run_id', r.run_id, 'dag_id', r.dag_id,
            'logical_date', r.logical_date, 'start_date', r.start_date, 'run_after', r.run_after, 'end_date', r.end_date,
            'state', r.state, 'data_interval_start', r.data_interval_start, 'data_interval_end', r.data_interval_end,
            'partition_key', r.partition_key) ORDER BY r.id)
          FROM dag_run_asset_event x JOIN dag_run r ON r.id = x.dag_run_id JOIN dag g ON g.dag_id = r.dag_id
          WHERE x.event_id = e.id AND (NOT ${multiTeam}::boolean OR g.team IS NULL OR g.team = c.team)), '[]'),
        'source_task_id', e.source_task_id, 'source_dag_id', e.source_dag_id, 'source_run_id', e.source_run_id,
        'source_map_index', e.source_map_index, 'partition_key', e.partition_key) AS event
      FROM asset_event e JOIN asset a ON a.id = e.asset_id
      WHERE (${filter.alias}::text IS NULL OR EXISTS (SELECT 1 FROM asset_event_alias y JOIN asset_alias l ON l.id = y.alias_id
          WHERE y.event_id = e.id AND l.name = ${filter.alias}::text))
        AND (${asset?.name ?? null}::text IS NULL OR a.name = ${asset?.name ?? null}::text)
        AND (${asset?.uri ?? null}::text IS NULL OR a.uri = ${asset?.uri ?? null}::text)
        AND (a.active OR ${filter.alias}::text IS NOT NULL
          OR (${asset?.name ?? null}::text IS NOT NULL AND ${asset?.uri ?? null}::text IS NOT NULL))
        AND (${filter.after}::timestamptz IS NULL OR e.at >= ${filter.after}::timestamptz)
        AND (${filter.before}::timestamptz IS NULL OR e.at <= ${filter.before}::timestamptz)
        AND ${assetVisible(multiTeam)} AND ${sourceVisible(multiTeam)}
      ORDER BY e.at ${direction}, e.id ${direction} LIMIT ${filter.limit}::integer) f)`,
  });
}

/** Which of these assets, by name and uri, are active. Locks nothing. */
export async function findActiveAssets(
  db: Db,
  keys: ReadonlyArray<{ readonly name: string; readonly uri: string }>,
): Promise<Array<{ name: string; uri: string }>> {
  if (keys.length === 0) return [];
  return db.query(
    sql`SELECT a.name, a.uri FROM unnest(${keys.map((k) => k.name)}::text[], ${keys.map((k) => k.uri)}::text[]) AS w (name, uri)
      JOIN asset a ON a.name = w.name AND a.uri = w.uri AND a.active`,
    'assets_active',
  );
}
