import { type Db, type Sql, sql } from '../../database.ts';
import { type Visible, visibleDags } from '../team/visible.ts';
import { allOf } from './visible.ts';

/** A Dag that waits for the rest of its schedule since this asset had an event. */
export type QueuedRow = {
  readonly dag_id: string;
  readonly asset_id: number;
  readonly created_at: string;
  readonly dag_display_name: string;
};

export type QueuedFilter = {
  readonly visible: Visible;
  readonly dagId: string | null;
  readonly assetId: number | null;
  /** Only what was queued before this instant; null = all. */
  readonly before: string | null;
};

function conditions(f: QueuedFilter): Sql {
  return allOf([
    ...visibleDags(sql`q.dag_id`, f.visible),
    sql`(${f.dagId}::text IS NULL OR q.dag_id = ${f.dagId}::text)`,
    sql`(${f.assetId}::bigint IS NULL OR q.asset_id = ${f.assetId}::bigint)`,
    sql`(${f.before}::timestamptz IS NULL OR q.created_at < ${f.before}::timestamptz)`,
  ]);
}

/** By time, at most `limit`. Locks nothing. */
export async function listQueued(db: Db, filter: QueuedFilter, limit: number): Promise<QueuedRow[]> {
  return db.query<QueuedRow>(
    sql`SELECT q.dag_id, q.asset_id, q.created_at, d.display_name AS dag_display_name
      FROM asset_queued q JOIN dag d ON d.dag_id = q.dag_id WHERE ${conditions(filter)}
      ORDER BY q.created_at, q.dag_id, q.asset_id LIMIT ${limit}`,
  );
}

/** @returns how many were removed. Locks: the rows. */
export async function removeQueued(db: Db, filter: QueuedFilter): Promise<number> {
  const rows = await db.query(sql`DELETE FROM asset_queued q WHERE ${conditions(filter)} RETURNING 1`);
  return rows.length;
}
