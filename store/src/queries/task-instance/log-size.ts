import { type Db, sql } from '../../database.ts';
import { type CallerKey, type CallerRow, callerColumns, tokenUse } from '../token/caller.ts';
import { RELAXED } from '../token/relaxed.ts';

/**
 * Announces that a live try's log grows to `offset + bytes` of its current stretch, and records the use of its token.
 * `maxBytes` bounds what a sender may announce. Locks: the row. @returns null when there is no live row of this id; without `live`, nothing was changed.
 */
export async function announceLog(
  db: Db,
  key: CallerKey & {
    readonly offset: number;
    readonly bytes: number;
    readonly maxBytes: number;
    readonly overlapUntilIso: string;
  },
): Promise<(CallerRow & { readonly log_base: number }) | null> {
  const rows = await db.query<CallerRow & { log_base: number }>(
    sql`WITH ${RELAXED}, t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)}, t.log_base FROM t),
      u AS (UPDATE task_instance t SET
          log_bytes = GREATEST(t.log_bytes, LEAST(t.log_base + ${key.offset}::bigint + ${key.bytes}::bigint, ${key.maxBytes}::bigint)),
          ${tokenUse({
            jti: sql`${key.jti}::text`,
            successorJti: sql`NULL::text`,
            now: sql`${key.nowIso}::timestamptz`,
            overlapUntil: sql`${key.overlapUntilIso}::timestamptz`,
          })}
        FROM c, relaxed WHERE t.id = c.id AND c.live)
      SELECT c.* FROM c`,
    'ti_announce_log',
  );
  return rows[0] ?? null;
}
