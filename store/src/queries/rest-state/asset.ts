import { type Db, sql } from '../../database.ts';
import { listPage } from '../rest-list/compose.ts';
import { MAX_ASSET_STATE_KEYS } from '../state-store/asset.ts';

/** `text`: the JSON text that was sent. The writer is null when it was somebody over the REST API, or what watches for the asset. */
export type AssetStateRow = {
  readonly key: string;
  readonly text: string;
  readonly updated_at: string;
  readonly writer_dag_id: string | null;
  readonly writer_run_id: string | null;
  readonly writer_task_id: string | null;
  readonly writer_map_index: number | null;
  readonly by_watcher: boolean;
};

const SELECT = sql`s.key, s.value::text AS text, s.updated_at, s.writer_dag_id, s.writer_run_id, s.writer_task_id,
  s.writer_map_index, s.by_watcher`;

/** What is kept of an asset, by key. Locks nothing. */
export async function listAssetState(
  db: Db,
  assetId: number,
  page: { limit: number; offset: number },
): Promise<{ rows: AssetStateRow[]; total: number }> {
  return listPage<AssetStateRow>(db, {
    select: SELECT,
    from: sql`asset_state s`,
    where: [sql`s.asset_id = ${assetId}`],
    order: [{ column: { expr: sql`s.key`, type: 'text' }, descending: false }],
    ...page,
  });
}

export async function getAssetState(db: Db, assetId: number, key: string): Promise<AssetStateRow | null> {
  const rows = await db.query<AssetStateRow>(
    sql`SELECT ${SELECT} FROM asset_state s WHERE s.asset_id = ${assetId} AND s.key = ${key}`,
    'rest_asset_state_get',
  );
  return rows[0] ?? null;
}

/** Stores one value, written by no task. Locks: its row. @returns false = the asset has as many keys as it may */
export async function putAssetState(
  tx: Db,
  assetId: number,
  entry: { readonly key: string; readonly text: string; readonly nowIso: string; readonly byWatcher?: boolean },
): Promise<boolean> {
  const rows = await tx.query(
    sql`INSERT INTO asset_state (asset_id, key, value, updated_at, by_watcher)
      SELECT ${assetId}::bigint, ${entry.key}, ${entry.text}::json, ${entry.nowIso}::timestamptz, ${entry.byWatcher === true}::boolean
      WHERE (SELECT count(*) FROM asset_state s WHERE s.asset_id = ${assetId} AND s.key <> ${entry.key})
        < ${MAX_ASSET_STATE_KEYS}::integer
      ON CONFLICT (asset_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at,
        by_watcher = excluded.by_watcher, writer_dag_id = NULL, writer_run_id = NULL, writer_task_id = NULL, writer_map_index = NULL RETURNING 1`,
    'rest_asset_state_put',
  );
  return rows.length > 0;
}

/** Removes one value, or with `key` null all of them; absent is fine. Locks: the rows. */
export async function removeAssetState(tx: Db, assetId: number, key: string | null): Promise<void> {
  await tx.query(
    sql`DELETE FROM asset_state s WHERE s.asset_id = ${assetId} AND (${key}::text IS NULL OR s.key = ${key}::text)`,
    'rest_asset_state_remove',
  );
}
