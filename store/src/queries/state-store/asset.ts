/** What is kept of an asset. What declared needs say is decided before. @see execution API 3.15 */

import { type Db, type Sql, sql } from '../../database.ts';
import { assetVisible } from '../asset/visible.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';

/** Keys that one asset may have. */
export const MAX_ASSET_STATE_KEYS = 1000;

/** The active asset of a name or a uri. */
export type AssetPlace = { readonly name: string | null; readonly uri: string | null };

const assetOf = (place: AssetPlace, multiTeam: boolean): Sql => sql`SELECT a.id FROM asset a WHERE a.active
  AND (${place.name}::text IS NULL OR a.name = ${place.name}::text)
  AND (${place.uri}::text IS NULL OR a.uri = ${place.uri}::text) AND ${assetVisible(multiTeam)} LIMIT 1`;

/** `found`: there is such an asset; `text`: the JSON text that was sent, null = none. Locks nothing. */
export async function readAssetState(
  db: Db,
  key: CallerKey,
  place: AssetPlace & { readonly key: string },
  multiTeam: boolean,
): Promise<With<{ readonly text: string | null } | null> | null> {
  return await readForCaller<{ readonly text: string | null } | null>(db, key, {
    name: 'asset_state_get',
    value: sql`(SELECT json_build_object('text', (SELECT s.value::text FROM asset_state s WHERE s.asset_id = a.id
      AND s.key = ${place.key})) FROM (${assetOf(place, multiTeam)}) a)`,
  });
}

type Written = CallerRow & { readonly found: boolean; readonly stored: boolean };

/**
 * Stores one value with its writer. Locks: the caller's row, so that nothing is stored after the end of its try; then the
 * value. @param entry.bodyJson an object whose `value` is what is kept, to the letter
 * @returns null when there is no live row of the caller; `stored` false = the asset has as many keys as it may
 */
export async function putAssetState(
  db: Db,
  key: CallerKey,
  entry: AssetPlace & { readonly key: string; readonly bodyJson: string },
  multiTeam: boolean,
): Promise<Written | null> {
  const rows = await db.query<Written>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      a AS (SELECT p.id FROM c CROSS JOIN LATERAL (${assetOf(entry, multiTeam)}) p WHERE c.live),
      w AS (
        INSERT INTO asset_state (asset_id, key, value, updated_at, writer_dag_id, writer_run_id, writer_task_id,
          writer_map_index)
        SELECT a.id, ${entry.key}, ${entry.bodyJson}::json -> 'value', ${key.nowIso}::timestamptz, c.dag_id, c.run_id,
          c.task_id, c.map_index
        FROM c JOIN a ON true WHERE (SELECT count(*) FROM asset_state s WHERE s.asset_id = a.id AND s.key <> ${entry.key})
          < ${MAX_ASSET_STATE_KEYS}::integer
        ON CONFLICT (asset_id, key) DO UPDATE SET value = excluded.value, updated_at = excluded.updated_at,
          writer_dag_id = excluded.writer_dag_id, writer_run_id = excluded.writer_run_id,
          writer_task_id = excluded.writer_task_id, writer_map_index = excluded.writer_map_index, by_watcher = false
        RETURNING key
      ), audit AS (${auditOfTry(key.nowIso, 'set_asset_state_store', placeOf(entry))} JOIN w ON true)
      SELECT c.*, EXISTS (SELECT 1 FROM a) AS found, EXISTS (SELECT 1 FROM w) AS stored FROM c`,
    'asset_state_put',
  );
  return rows[0] ?? null;
}

/** Which key of which asset was written; never the value. */
const placeOf = (at: AssetPlace & { readonly key: string | null }): Sql =>
  sql`json_build_object('name', ${at.name}::text, 'uri', ${at.uri}::text, 'key', ${at.key}::text)::text`;

/** Removes one value, or with `key` null all of them; absent is fine. Locks as above. @returns null when the caller is gone */
export async function deleteAssetState(
  db: Db,
  key: CallerKey,
  place: AssetPlace & { readonly key: string | null },
  multiTeam: boolean,
): Promise<(CallerRow & { readonly found: boolean }) | null> {
  const rows = await db.query<CallerRow & { found: boolean }>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      a AS (SELECT p.id FROM c CROSS JOIN LATERAL (${assetOf(place, multiTeam)}) p WHERE c.live),
      gone AS (DELETE FROM asset_state s USING a WHERE s.asset_id = a.id
        AND (${place.key}::text IS NULL OR s.key = ${place.key}::text) RETURNING s.key),
      audit AS (${auditOfTry(key.nowIso, place.key === null ? 'clear_asset_state_store' : 'delete_asset_state_store', placeOf(place))}
        WHERE EXISTS (SELECT 1 FROM gone))
      SELECT c.*, EXISTS (SELECT 1 FROM a) AS found FROM c`,
    'asset_state_delete',
  );
  return rows[0] ?? null;
}
