import { type Db, type Sql, sql } from '../../database.ts';
import { type Column, contains, given, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleDags } from '../team/visible.ts';
import { allOf, visibleAssets } from './visible.ts';

/** Where a Dag names an asset; `task_id` is null for a schedule. Instants are the database's texts. */
export type AssetReference = { readonly dag_id: string; readonly task_id: string | null; readonly at: string };
export type AliasRow = { readonly id: number; readonly name: string; readonly group: string };

export type WatcherRow = { readonly name: string; readonly trigger_id: number; readonly at: string };

export type AssetRow = {
  readonly id: number;
  readonly name: string;
  readonly uri: string;
  readonly group: string;
  readonly extra: Record<string, unknown>;
  readonly created_at: string;
  readonly updated_at: string;
  readonly schedules: AssetReference[];
  readonly outlets: AssetReference[];
  readonly inlets: AssetReference[];
  readonly aliases: AliasRow[];
  readonly watchers: WatcherRow[];
  /** Of the newest event; null = there was none. */
  readonly last: { readonly id: number; readonly at: string } | null;
};

/** A select list for `asset a`; of its references and watchers those of visible Dags. */
function columns(visible: Visible): Sql {
  const references = (role: string): Sql => sql`COALESCE((SELECT json_agg(json_build_object('dag_id', r.dag_id,
      'task_id', NULLIF(r.task_id, ''), 'at', r.created_at) ORDER BY r.dag_id, r.task_id)
    FROM asset_reference r WHERE r.asset_id = a.id AND r.role = ${role} AND ${allOf(visibleDags(sql`r.dag_id`, visible))}), '[]')`;
  return sql`a.id, a.name, a.uri, a.asset_group AS "group", a.extra, a.created_at, a.updated_at,
    ${references('schedule')} AS schedules, ${references('outlet')} AS outlets, ${references('inlet')} AS inlets,
    COALESCE((SELECT json_agg(json_build_object('id', l.id, 'name', l.name, 'group', l.alias_group) ORDER BY l.id)
      FROM asset_alias_asset x JOIN asset_alias l ON l.id = x.alias_id WHERE x.asset_id = a.id), '[]') AS aliases,
    COALESCE((SELECT json_agg(json_build_object('name', x.name, 'trigger_id', x.trigger_id, 'at', x.created_at) ORDER BY x.trigger_id)
      FROM (SELECT DISTINCT ON (w.trigger_id) w.name, w.trigger_id, w.created_at FROM asset_watcher w
        WHERE w.asset_id = a.id AND ${allOf(visibleDags(sql`w.dag_id`, visible))} ORDER BY w.trigger_id, w.dag_id) x), '[]') AS watchers,
    (SELECT json_build_object('id', e.id, 'at', e.at) FROM asset_event e WHERE e.asset_id = a.id
      ORDER BY e.at DESC, e.id DESC LIMIT 1) AS last`;
}

const text = (expr: Sql): Column => ({ expr, type: 'text' });
const instant = (expr: Sql): Column => ({ expr, type: 'timestamptz' });
export const ASSET_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`a.id`, type: 'int8' },
  name: text(sql`a.name`),
  uri: text(sql`a.uri`),
  created_at: instant(sql`a.created_at`),
  updated_at: instant(sql`a.updated_at`),
};

export type AssetFilters = {
  readonly visible: Visible;
  readonly namePattern?: string;
  readonly namePrefix?: string;
  readonly uriPattern?: string;
  readonly uriPrefix?: string;
  /** Named by one of these Dags; empty = by any or none. */
  readonly dagIds: readonly string[];
  readonly onlyActive: boolean;
};

/** A page of assets. Locks nothing. */
export async function listAssets(
  db: Db,
  f: AssetFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: AssetRow[]; total: number }> {
  return listPage<AssetRow>(db, {
    select: columns(f.visible),
    from: sql`asset a`,
    where: [
      ...visibleAssets(f.visible),
      ...(f.onlyActive ? [sql`a.active`] : []),
      ...given(f.namePattern, (term) => contains(sql`a.name`, term)),
      ...given(f.namePrefix, (term) => startsWith(sql`a.name`, term)),
      ...given(f.uriPattern, (term) => contains(sql`a.uri`, term)),
      ...given(f.uriPrefix, (term) => startsWith(sql`a.uri`, term)),
      ...(f.dagIds.length === 0
        ? []
        : [
            sql`EXISTS (SELECT 1 FROM asset_reference n WHERE n.asset_id = a.id AND n.dag_id = ANY(${[...f.dagIds]})
              AND ${allOf(visibleDags(sql`n.dag_id`, f.visible))})`,
          ]),
    ],
    ...page,
  });
}

/** One asset, active or not. */
export async function getAsset(db: Db, visible: Visible, id: number): Promise<AssetRow | null> {
  const rows = await db.query<AssetRow>(
    sql`SELECT ${columns(visible)} FROM asset a WHERE a.id = ${id} AND ${allOf(visibleAssets(visible))}`,
  );
  return rows[0] ?? null;
}

/** Visible Dags with a task that names the asset as an outlet, by id, at most `limit`. Locks nothing. */
export async function producersOf(
  db: Db,
  visible: Visible,
  assetId: number,
  limit: number,
): Promise<ReadonlyArray<{ readonly dag_id: string; readonly team: string | null }>> {
  return db.query(
    sql`SELECT DISTINCT d.dag_id, d.team FROM asset_reference r JOIN dag d ON d.dag_id = r.dag_id
      WHERE r.asset_id = ${assetId} AND r.role = 'outlet' AND ${allOf(visibleDags(sql`d.dag_id`, visible))}
      ORDER BY d.dag_id LIMIT ${limit}`,
  );
}
