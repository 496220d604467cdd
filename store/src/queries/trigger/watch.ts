/** Triggers that watch for assets and belong to no try. @see scheduling semantics 7.5; serialized Dag 8.1 */
import type { GitSource } from '@airlock/contract/git-source';
import { type Db, sql } from '../../database.ts';
import { freeOfOwner, inQueues, runBy, WATCHED, WATCHED_ASSETS } from './conditions.ts';
import type { ClaimOptions } from './sync.ts';

export type NewWatcher = {
  /** The asset, by its identity. */
  readonly asset: string;
  readonly uri: string;
  readonly name: string;
  readonly classpath: string;
  /** JSON text. */
  readonly kwargs: string;
  /** Of class and arguments. */
  readonly digest: string;
};

/**
 * Makes what a Dag watches that of its current version. A trigger that another Dag of the team names already is shared; what
 * no Dag names any more is swept. Needs the lock of ingestion, and the assets stored. Locks: the rows.
 */
export async function setWatchers(
  tx: Db,
  o: {
    readonly dagId: string;
    readonly team: string | null;
    readonly watchers: readonly NewWatcher[];
    readonly nowIso: string;
  },
): Promise<void> {
  const rows = JSON.stringify(o.watchers);
  await tx.query(
    sql`INSERT INTO trigger (team, digest, classpath, kwargs, is_encrypted, from_document, created_at)
      SELECT DISTINCT ON (x.digest) ${o.team}::text, x.digest, x.classpath, x.kwargs, false, true, ${o.nowIso}::timestamptz
      FROM json_to_recordset(${rows}::json) AS x (classpath text, kwargs text, digest text) ORDER BY x.digest
      ON CONFLICT (COALESCE(team, ''), digest) WHERE digest IS NOT NULL DO NOTHING`,
    'watcher_triggers',
  );
  await tx.query(
    sql`WITH wanted AS (
        SELECT DISTINCT ON (g.id, a.id) g.id, a.id AS asset_id, x.name
        FROM json_to_recordset(${rows}::json) AS x (asset text, uri text, name text, digest text)
        JOIN asset a ON a.name = x.asset AND a.uri = x.uri
        JOIN trigger g ON g.team IS NOT DISTINCT FROM ${o.team}::text AND g.digest = x.digest
        ORDER BY g.id, a.id, x.name
      ), gone AS (
        DELETE FROM asset_watcher w WHERE w.dag_id = ${o.dagId}
          AND (w.trigger_id, w.asset_id) NOT IN (SELECT id, asset_id FROM wanted) RETURNING 1
      ), kept AS (
        INSERT INTO asset_watcher (dag_id, trigger_id, asset_id, name, created_at)
        SELECT ${o.dagId}, id, asset_id, name, ${o.nowIso}::timestamptz FROM wanted
        ON CONFLICT (dag_id, trigger_id, asset_id) DO UPDATE SET name = excluded.name WHERE asset_watcher.name <> excluded.name
        RETURNING 1
      )
      SELECT pg_notify('airlock', 'trigger') WHERE EXISTS (SELECT 1 FROM gone) OR EXISTS (SELECT 1 FROM kept)`,
    'watchers_set',
  );
}

export type ClaimedWatcher = {
  readonly id: number;
  readonly classpath: string;
  readonly kwargs: string;
  readonly team: string | null;
  /** Those for which it watches, by name. */
  readonly assets: ReadonlyArray<{ readonly name: string; readonly uri: string }>;
  /** Of the first Dag that names it, whose file its class is beside. */
  readonly bundle_name: string;
  readonly bundle_path: string | null;
  readonly bundle_git: GitSource | null;
  /** The commit of that Dag's version; null = the bundle has no versions. */
  readonly bundle_version: string | null;
};

/** As `claimTriggers`, for those of assets. Locks: the trigger rows; locked ones are skipped. */
export async function claimWatchers(db: Db, o: ClaimOptions): Promise<ClaimedWatcher[]> {
  if (o.limit <= 0) return [];
  return db.query<ClaimedWatcher>(
    sql`WITH free AS (
        SELECT g.id FROM trigger g
        WHERE g.digest IS NOT NULL AND ${WATCHED} AND g.id <> ALL(${[...o.holds]}::bigint[])
          AND ${freeOfOwner(o)} AND ${inQueues(o.queues)}
        ORDER BY g.id LIMIT ${o.limit} FOR NO KEY UPDATE OF g SKIP LOCKED
      ), taken AS (
        UPDATE trigger g SET supervisor_id = ${o.supervisorId}::uuid, claimed_at = ${o.nowIso}::timestamptz
        FROM free WHERE g.id = free.id RETURNING g.*
      )
      SELECT g.id, g.classpath, g.kwargs, g.team,
        (SELECT json_agg(DISTINCT jsonb_build_object('name', a.name, 'uri', a.uri)) ${WATCHED_ASSETS}) AS assets, b.name AS bundle_name, b.path AS bundle_path, b.git AS bundle_git,
        (SELECT v.bundle_version FROM dag_version v WHERE v.id = f.current_version_id) AS bundle_version
      FROM taken g CROSS JOIN LATERAL (SELECT d.bundle_name, d.current_version_id ${WATCHED_ASSETS} ORDER BY d.dag_id LIMIT 1) f
      JOIN dag_bundle b ON b.name = f.bundle_name
      ORDER BY g.id`,
    'watcher_claim',
  );
}

export type WatchedAssets = {
  readonly asset_ids: readonly number[];
  readonly team: string | null;
  /** This event has been taken before. */
  readonly repeated: boolean;
};

/**
 * The assets for which this triggerer's trigger speaks, and that it has said so. Locks: the trigger's row.
 * @returns null: another runs it, or no unpaused Dag of its team wants its events
 */
export async function takeWatcherEvent(
  tx: Db,
  o: { readonly triggerId: number; readonly supervisorId: string; readonly eventId: string },
): Promise<WatchedAssets | null> {
  const rows = await tx.query<WatchedAssets>(
    sql`WITH g AS (
        SELECT g.* FROM trigger g WHERE g.id = ${o.triggerId}::bigint AND g.digest IS NOT NULL AND ${runBy(o.supervisorId)}
          AND ${WATCHED} FOR NO KEY UPDATE OF g
      ), u AS (
        UPDATE trigger x SET last_event = ${o.eventId}::uuid FROM g WHERE x.id = g.id
      )
      SELECT ARRAY(SELECT DISTINCT a.id ${WATCHED_ASSETS} ORDER BY a.id) AS asset_ids, g.team,
        COALESCE(g.last_event = ${o.eventId}::uuid, false) AS repeated FROM g`,
    'watcher_event',
  );
  return rows[0] ?? null;
}

/** The team for which this triggerer's trigger of an asset may read. Locks nothing. @returns null: it may not speak for it */
export async function findWatcher(
  db: Db,
  o: { readonly triggerId: number; readonly supervisorId: string },
): Promise<{ readonly team: string | null } | null> {
  const rows = await db.query<{ team: string | null }>(
    sql`SELECT g.team FROM trigger g WHERE g.id = ${o.triggerId}::bigint AND g.digest IS NOT NULL
      AND ${runBy(o.supervisorId)} AND ${WATCHED}`,
    'watcher_find',
  );
  return rows[0] ?? null;
}

/** One asset for which this triggerer's trigger watches, by its name. Locks nothing. @returns null: it may not speak for it */
export async function findWatchedAsset(
  db: Db,
  o: { readonly triggerId: number; readonly supervisorId: string; readonly name: string },
): Promise<number | null> {
  const rows = await db.query<{ id: number }>(
    sql`SELECT x.id FROM trigger g CROSS JOIN LATERAL (SELECT a.id ${WATCHED_ASSETS} AND a.name = ${o.name} LIMIT 1) x
      WHERE g.id = ${o.triggerId}::bigint AND g.digest IS NOT NULL AND ${runBy(o.supervisorId)}`,
    'watcher_asset',
  );
  return rows[0]?.id ?? null;
}
