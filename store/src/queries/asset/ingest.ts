/** What parsed Dags say of assets. All of it runs under the lock of ingestion, so that no two files decide at once. */
import { type Db, type Sql, sql } from '../../database.ts';

export type NewReference = {
  readonly role: 'schedule' | 'inlet' | 'outlet';
  readonly task_id: string;
  readonly kind: 'asset' | 'alias' | 'name' | 'uri';
  /** Of an asset or alias, and of a reference by name. */
  readonly name: string | null;
  readonly uri: string | null;
  readonly group: string | null;
  readonly extra: object | null;
  readonly access_control: object | null;
};

/** Rows travel as one JSON text. */
const AS_ROWS = sql`AS x (role text, task_id text, kind text, name text, uri text, "group" text, extra json, access_control json)`;

/** Creates assets and aliases that are new, and takes over what their authors changed. Locks: the rows. */
export async function upsertAssets(tx: Db, references: readonly NewReference[], nowIso: string): Promise<void> {
  const rows = JSON.stringify(references);
  await tx.query(
    sql`INSERT INTO asset (name, uri, asset_group, extra, created_at, updated_at)
      SELECT DISTINCT ON (x.name, x.uri) x.name, x.uri, x."group", x.extra, ${nowIso}::timestamptz, ${nowIso}::timestamptz
      FROM json_to_recordset(${rows}::json) ${AS_ROWS} WHERE x.kind = 'asset' ORDER BY x.name, x.uri
      ON CONFLICT (name, uri) DO UPDATE SET asset_group = excluded.asset_group, extra = excluded.extra,
        updated_at = excluded.updated_at
      WHERE asset.asset_group <> excluded.asset_group OR asset.extra::text <> excluded.extra::text`,
    'asset_upsert',
  );
  await tx.query(
    sql`INSERT INTO asset_alias (name, alias_group, created_at)
      SELECT DISTINCT ON (x.name) x.name, x."group", ${nowIso}::timestamptz
      FROM json_to_recordset(${rows}::json) ${AS_ROWS} WHERE x.kind = 'alias' ORDER BY x.name
      ON CONFLICT (name) DO UPDATE SET alias_group = excluded.alias_group
      WHERE asset_alias.alias_group <> excluded.alias_group`,
    'asset_alias_upsert',
  );
}

/** Makes the references of a Dag those of its current version; one that stays keeps its time. Locks: the rows. */
export async function setReferences(
  tx: Db,
  dagId: string,
  references: readonly NewReference[],
  nowIso: string,
): Promise<void> {
  await tx.query(
    sql`WITH wanted AS (
        SELECT DISTINCT ON (x.role, x.task_id, x.kind, a.id, l.id, n.named) x.role, x.task_id, x.kind, a.id AS asset_id,
          l.id AS alias_id, n.named, x.access_control
        FROM json_to_recordset(${JSON.stringify(references)}::json) ${AS_ROWS}
        LEFT JOIN asset a ON x.kind = 'asset' AND a.name = x.name AND a.uri = x.uri
        LEFT JOIN asset_alias l ON x.kind = 'alias' AND l.name = x.name
        CROSS JOIN LATERAL (SELECT CASE x.kind WHEN 'name' THEN x.name WHEN 'uri' THEN x.uri ELSE '' END AS named) n
        ORDER BY x.role, x.task_id, x.kind, a.id, l.id, n.named
      ), gone AS (
        DELETE FROM asset_reference r WHERE r.dag_id = ${dagId} AND NOT EXISTS (SELECT 1 FROM wanted w
          WHERE w.role = r.role AND w.task_id = r.task_id AND w.kind = r.kind AND w.named = r.named
            AND w.asset_id IS NOT DISTINCT FROM r.asset_id AND w.alias_id IS NOT DISTINCT FROM r.alias_id)
      )
      INSERT INTO asset_reference (dag_id, role, task_id, kind, asset_id, alias_id, named, access_control, created_at)
      SELECT ${dagId}, w.role, w.task_id, w.kind, w.asset_id, w.alias_id, w.named, w.access_control, ${nowIso}::timestamptz
      FROM wanted w
      ON CONFLICT (dag_id, role, task_id, kind, COALESCE(asset_id, 0), COALESCE(alias_id, 0), named)
      DO UPDATE SET access_control = excluded.access_control
      WHERE asset_reference.access_control::text IS DISTINCT FROM excluded.access_control::text`,
    'asset_references',
  );
}

/** The asset `a` is in use: a live Dag names it, or an event has gone to it under an alias. */
const IN_USE = sql`(EXISTS (SELECT 1 FROM asset_reference r JOIN dag d ON d.dag_id = r.dag_id AND NOT d.is_stale
    WHERE r.asset_id = a.id) OR EXISTS (SELECT 1 FROM asset_alias_asset x WHERE x.asset_id = a.id))`;
/** No active asset has the name or the uri of `a`. */
const FREE = sql`(NOT EXISTS (SELECT 1 FROM asset o WHERE o.active AND o.name = a.name)
    AND NOT EXISTS (SELECT 1 FROM asset o WHERE o.active AND o.uri = a.uri))`;

/** An asset that only events under an alias name, and that could be active. Nothing of a parse says so. */
export const EMITTED_WAITS: Sql = sql`EXISTS (SELECT 1 FROM asset_alias_asset x JOIN asset a ON a.id = x.asset_id AND NOT a.active
  WHERE ${FREE})`;

/** Whether there is one. Locks nothing. */
export async function isEmittedWaiting(db: Db): Promise<boolean> {
  const rows = await db.query<{ found: boolean }>(sql`SELECT ${EMITTED_WAITS} AS found`, 'asset_emitted_waits');
  return rows[0]!.found;
}

/**
 * Decides which assets are active: those in use, one of each name and one of each uri; of several the one that was there
 * first. Needs the lock of ingestion. Locks: the asset rows that change.
 */
export async function refreshActiveAssets(tx: Db, nowIso: string): Promise<void> {
  await tx.query(
    sql`UPDATE asset a SET active = false, updated_at = ${nowIso}::timestamptz
      WHERE a.active AND NOT ${IN_USE}`,
    'asset_deactivate',
  );
  await tx.query(
    sql`WITH candidate AS (
        SELECT a.id, a.name, a.uri FROM asset a WHERE NOT a.active AND ${IN_USE} AND ${FREE})
      UPDATE asset a SET active = true, updated_at = ${nowIso}::timestamptz FROM candidate c
      WHERE a.id = c.id AND NOT EXISTS (SELECT 1 FROM candidate o WHERE o.id < c.id AND (o.name = c.name OR o.uri = c.uri))`,
    'asset_activate',
  );
  await tx.query(
    sql`WITH clash AS (
        SELECT r.dag_id, string_agg(DISTINCT format('Cannot activate asset Asset(name=%s, uri=%s); %s', to_json(a.name),
          to_json(a.uri), CASE WHEN o.name = a.name THEN 'name is already associated to ' || to_json(o.uri)
            ELSE 'uri is already associated to ' || to_json(o.name) END), E'\n') AS message
        FROM asset_reference r JOIN dag d ON d.dag_id = r.dag_id AND NOT d.is_stale
        JOIN asset a ON a.id = r.asset_id AND NOT a.active
        JOIN asset o ON o.active AND (o.name = a.name OR o.uri = a.uri) GROUP BY r.dag_id
      ), gone AS (
        DELETE FROM dag_warning w WHERE w.warning_type = 'asset conflict'
          AND NOT EXISTS (SELECT 1 FROM clash c WHERE c.dag_id = w.dag_id)
      )
      INSERT INTO dag_warning (dag_id, warning_type, message, at)
      SELECT c.dag_id, 'asset conflict', c.message, ${nowIso}::timestamptz FROM clash c
      ON CONFLICT (dag_id, warning_type) DO UPDATE SET message = excluded.message, at = excluded.at
      WHERE dag_warning.message <> excluded.message`,
    'asset_conflicts',
  );
}
