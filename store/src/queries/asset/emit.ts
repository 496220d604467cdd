/** Events of assets, as the end of a try makes them. @see execution API 3.3; scheduling semantics 3.4 */
import { type Db, type Sql, sql } from '../../database.ts';
import { assetVisible } from './visible.ts';

export type AssetKey = { readonly name: string; readonly uri: string };
export type OutletRow = AssetKey & { readonly id: number };

/** What a task names as an outlet: one asset, or whichever is active under a name or a uri. */
export type OutletWish = { readonly name: string | null; readonly uri: string | null };

/** The active assets that a try names and may see; those that are unknown or inactive are not in the answer. Locks nothing. */
export async function resolveOutlets(
  tx: Db,
  o: { readonly tryId: string; readonly wishes: readonly OutletWish[]; readonly multiTeam: boolean },
): Promise<OutletRow[]> {
  return tx.query<OutletRow>(
    sql`SELECT DISTINCT a.id, a.name, a.uri FROM task_instance c
      CROSS JOIN unnest(${o.wishes.map((w) => w.name)}::text[], ${o.wishes.map((w) => w.uri)}::text[]) AS w (name, uri)
      JOIN asset a ON a.active AND (w.name IS NULL OR a.name = w.name) AND (w.uri IS NULL OR a.uri = w.uri)
      WHERE c.id = ${o.tryId} AND (w.name IS NOT NULL OR w.uri IS NOT NULL) AND ${assetVisible(o.multiTeam)}
      ORDER BY a.id`,
    'asset_outlets',
  );
}

/** Assets that events through an alias go to: those that are there and visible, and those that nobody has named yet. */
export async function ensureAliasTargets(
  tx: Db,
  o: {
    readonly tryId: string;
    readonly assets: ReadonlyArray<AssetKey & { readonly extra: object }>;
    readonly multiTeam: boolean;
    readonly nowIso: string;
  },
): Promise<OutletRow[]> {
  const rows = JSON.stringify(o.assets);
  await tx.query(
    sql`INSERT INTO asset (name, uri, asset_group, extra, created_at, updated_at)
      SELECT DISTINCT ON (x.name, x.uri) x.name, x.uri, 'asset', x.extra, ${o.nowIso}::timestamptz, ${o.nowIso}::timestamptz
      FROM json_to_recordset(${rows}::json) AS x (name text, uri text, extra json) ORDER BY x.name, x.uri
      ON CONFLICT (name, uri) DO NOTHING`,
    'asset_alias_targets_insert',
  );
  return tx.query<OutletRow>(
    sql`SELECT a.id, a.name, a.uri FROM task_instance c
      CROSS JOIN (SELECT DISTINCT x.name, x.uri FROM json_to_recordset(${rows}::json) AS x (name text, uri text)) w
      JOIN asset a ON a.name = w.name AND a.uri = w.uri
      WHERE c.id = ${o.tryId} AND (${assetVisible(o.multiTeam)}
        OR NOT EXISTS (SELECT 1 FROM asset_reference f WHERE f.asset_id = a.id))
      ORDER BY a.id`,
    'asset_alias_targets',
  );
}

/** Which of these assets any Dag names, or has been emitted under this alias already; by name and uri. Locks nothing. */
export async function knownAliasTargets(
  db: Db,
  o: { readonly assets: readonly AssetKey[] },
): Promise<ReadonlyArray<AssetKey & { readonly referenced: boolean; readonly aliases: string[] }>> {
  return db.query(
    sql`SELECT a.name, a.uri, EXISTS (SELECT 1 FROM asset_reference r WHERE r.asset_id = a.id) AS referenced,
        ARRAY(SELECT l.name FROM asset_alias_asset x JOIN asset_alias l ON l.id = x.alias_id WHERE x.asset_id = a.id) AS aliases
      FROM unnest(${o.assets.map((k) => k.name)}::text[], ${o.assets.map((k) => k.uri)}::text[]) AS w (name, uri)
      JOIN asset a ON a.name = w.name AND a.uri = w.uri`,
    'asset_alias_targets_known',
  );
}

export type NewAssetEvent = {
  readonly asset_id: number;
  readonly extra: object;
  /** Null = the key of the run. */
  readonly partition_key: string | null;
  readonly aliases: readonly string[];
};

/** Where events come from; null everywhere = a person or another system. */
export type EventSource = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number;
  readonly dagRunId: number;
};

/** Whose events these are, where teams count: which Dags may take them depends on it. */
export type EventAudience =
  /** Of a task, with the team of its Dag. */
  | { readonly kind: 'task'; readonly team: string | null }
  /** Of somebody who belongs to these teams (`all` = an administrator), and for whom he wants them. */
  | {
      readonly kind: 'user';
      readonly teams: 'all' | readonly string[];
      readonly consumers: { readonly teams: readonly string[] | null; readonly allowGlobal: boolean };
    };

/** Condition on a waiting Dag `d` and its reference `r`. */
function admits(audience: EventAudience): Sql {
  if (audience.kind === 'task') {
    return sql`(d.team IS NOT DISTINCT FROM ${audience.team}::text
      OR COALESCE((r.access_control::jsonb -> 'producer_teams') ? ${audience.team}::text, false)
      OR (${audience.team}::text IS NULL AND COALESCE((r.access_control ->> 'allow_global')::boolean, true)))`;
  }
  const { teams, consumers } = audience;
  const own = teams === 'all' ? sql`true` : sql`d.team = ANY(${[...teams]}::text[])`;
  const takes =
    teams === 'all'
      ? sql`true`
      : sql`(d.team IS NULL OR ${own} OR COALESCE((r.access_control::jsonb -> 'producer_teams') ?| ${[...teams]}::text[], false))`;
  return sql`(${takes} AND CASE WHEN d.team IS NULL THEN ${consumers.allowGlobal}::boolean
    ELSE ${consumers.teams === null ? sql`true` : sql`(d.team = ANY(${[...consumers.teams]}::text[]) OR ${teams === 'all' ? sql`false` : own})`} END)`;
}

/**
 * Stores events and queues the Dags whose schedules they feed: unpaused ones that name the asset itself, its name, its uri or
 * an alias of the event. Several events before a run are one row of the queue. An event with a partition key feeds schedules
 * of partitions, and no others; one without feeds none of those. With teams, a Dag takes events of its own team and of those
 * that its schedule admits. Locks: the asset_queued rows, by Dag and asset.
 * @returns ids of the events, how many rows of the queues are new, and the Dags that missed a partition key
 */
export async function insertAssetEvents(
  tx: Db,
  o: {
    readonly events: readonly NewAssetEvent[];
    readonly source: EventSource | null;
    readonly audience: EventAudience;
    readonly multiTeam: boolean;
    readonly nowIso: string;
  },
): Promise<{ ids: number[]; queued: number; unkeyed: string[] }> {
  const { source } = o;
  const names = (aliases: Sql) => sql`(r.asset_id = a.id
    OR (r.kind = 'name' AND r.named = a.name AND a.active) OR (r.kind = 'uri' AND r.named = a.uri AND a.active)
    OR r.alias_id IN (${aliases}))`;
  const audience = o.multiTeam
    ? sql`ARRAY(SELECT DISTINCT r.dag_id FROM asset a JOIN asset_reference r ON r.role = 'schedule'
          AND ${names(sql`SELECT l.id FROM asset_alias l WHERE l.name IN (SELECT json_array_elements_text(x.aliases))`)}
        JOIN dag d ON d.dag_id = r.dag_id WHERE a.id = x.asset_id AND ${admits(o.audience)})`
    : sql`NULL::text[]`;
  const rows = await tx.query<{ ids: number[]; queued: number; unkeyed: string[] }>(
    sql`WITH x AS (
        SELECT row_number() OVER () AS n, j.asset_id, j.extra, j.aliases,
          COALESCE(j.partition_key, (SELECT r.partition_key FROM dag_run r WHERE r.id = ${source?.dagRunId ?? null}::bigint))
            AS partition_key
        FROM json_to_recordset(${JSON.stringify(o.events)}::json)
          AS j (asset_id bigint, extra json, partition_key text, aliases json)
      ), e AS (
        INSERT INTO asset_event (asset_id, extra, source_dag_id, source_run_id, source_task_id, source_map_index,
          partition_key, audience, at)
        SELECT asset_id, extra, ${source?.dagId ?? null}, ${source?.runId ?? null}, ${source?.taskId ?? null},
          ${source?.mapIndex ?? -1}::integer, partition_key, ${audience}, ${o.nowIso}::timestamptz FROM x ORDER BY n
        RETURNING id
      ), numbered AS (
        -- Ids are given in the order of the rows.
        SELECT x.*, e.id FROM x JOIN (SELECT id, row_number() OVER (ORDER BY id) AS n FROM e) e ON e.n = x.n
      ), named AS (
        SELECT n.id, n.asset_id, l.id AS alias_id FROM numbered n
        CROSS JOIN LATERAL json_array_elements_text(n.aliases) AS w (name) JOIN asset_alias l ON l.name = w.name
      ), under AS (
        INSERT INTO asset_event_alias (event_id, alias_id) SELECT id, alias_id FROM named
        ON CONFLICT DO NOTHING
      ), resolved AS (
        INSERT INTO asset_alias_asset (alias_id, asset_id) SELECT DISTINCT alias_id, asset_id FROM named ON CONFLICT DO NOTHING
      ), fed AS (
        SELECT DISTINCT r.dag_id, a.id AS asset_id, n.id AS event_id, n.partition_key IS NOT NULL AS keyed,
          d.timetable_type = 'PartitionedAssetTimetable' AS partitioned
        FROM numbered n JOIN asset a ON a.id = n.asset_id
        JOIN asset_reference r ON r.role = 'schedule'
          AND ${names(sql`SELECT alias_id FROM named WHERE named.id = n.id`)}
        JOIN dag d ON d.dag_id = r.dag_id AND NOT d.is_paused AND NOT d.is_stale
        WHERE ${o.multiTeam ? admits(o.audience) : sql`true`}
      ), q AS (
        INSERT INTO asset_queued (dag_id, asset_id, created_at)
        SELECT DISTINCT dag_id, asset_id, ${o.nowIso}::timestamptz FROM fed WHERE NOT keyed AND NOT partitioned
        ORDER BY dag_id, asset_id ON CONFLICT DO NOTHING
        RETURNING dag_id
      ), p AS (
        INSERT INTO asset_partition_event (dag_id, event_id)
        SELECT DISTINCT dag_id, event_id FROM fed WHERE keyed AND partitioned ORDER BY event_id, dag_id
        RETURNING dag_id
      )
      SELECT ARRAY(SELECT id FROM e ORDER BY id) AS ids,
        (SELECT count(*) FROM q)::integer + (SELECT count(*) FROM p)::integer AS queued,
        ARRAY(SELECT DISTINCT dag_id FROM fed WHERE partitioned AND NOT keyed ORDER BY dag_id) AS unkeyed`,
    o.multiTeam ? undefined : 'asset_events_insert',
  );
  return rows[0]!;
}
