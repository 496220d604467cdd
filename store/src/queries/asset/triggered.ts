/** Dags that events of assets have queued, and the runs that they become. @see scheduling semantics 3.4 */
import { type Db, sql } from '../../database.ts';

export type QueuedAsset = {
  readonly asset_id: number;
  readonly name: string;
  readonly uri: string;
  readonly active: boolean;
  /** Aliases under which events have gone to it. */
  readonly aliases: readonly string[];
};

export type QueuedDag = {
  readonly dag_id: string;
  readonly team: string | null;
  readonly current_version_id: string;
  readonly bundle_version: string | null;
  readonly allowed_run_types: string[] | null;
  readonly queued: readonly QueuedAsset[];
};

/** Most Dags that are read at once. */
const MOST_DAGS = 10_000;

/**
 * Dags with something in their queue that have room for one more run; who has waited longest first. Locks nothing.
 * @param dagIds only these; null = all
 */
export async function findQueuedDags(db: Db, dagIds: readonly string[] | null = null): Promise<QueuedDag[]> {
  const only = dagIds === null ? null : [...dagIds];
  return db.query<QueuedDag>(
    sql`SELECT d.dag_id, d.team, d.current_version_id, (SELECT v.bundle_version FROM dag_version v WHERE v.id = d.current_version_id) AS bundle_version, d.allowed_run_types,
        json_agg(json_build_object('asset_id', a.id, 'name', a.name, 'uri', a.uri, 'active', a.active, 'aliases',
          ARRAY(SELECT l.name FROM asset_alias_asset x JOIN asset_alias l ON l.id = x.alias_id WHERE x.asset_id = a.id)))
          AS queued
      FROM asset_queued q JOIN dag d ON d.dag_id = q.dag_id
      JOIN asset a ON a.id = q.asset_id
      WHERE (${only}::text[] IS NULL OR d.dag_id = ANY(${only}::text[]))
        AND NOT d.is_paused AND NOT d.is_stale AND NOT d.has_import_errors AND d.current_version_id IS NOT NULL
        AND d.max_active_runs > (SELECT count(*) FROM dag_run r WHERE r.dag_id = d.dag_id AND r.state IN ('queued', 'running'))
      GROUP BY d.dag_id ORDER BY min(q.created_at), d.dag_id LIMIT ${MOST_DAGS}`,
    'asset_queued_dags',
  );
}

/** Locks dag rows; those that somebody else holds are skipped. @returns the ids that were locked */
export async function lockDags(db: Db, dagIds: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ dag_id: string }>(
    sql`SELECT dag_id FROM dag WHERE dag_id = ANY(${[...dagIds]}::text[]) ORDER BY dag_id FOR NO KEY UPDATE SKIP LOCKED`,
    'asset_lock_dags',
  );
  return rows.map((row) => row.dag_id);
}

/**
 * Empties the queue of a Dag of these assets. Needs the dag row locked. Locks: the asset_queued rows.
 * @returns the newest instant among them; null = somebody else has taken them
 */
export async function takeQueued(db: Db, o: { dagId: string; assetIds: readonly number[] }): Promise<string | null> {
  const rows = await db.query<{ at: string | null }>(
    sql`WITH taken AS (
        DELETE FROM asset_queued WHERE dag_id = ${o.dagId} AND asset_id = ANY(${[...o.assetIds]}::bigint[]) RETURNING created_at)
      SELECT max(created_at) AS at FROM taken`,
    'asset_take_queued',
  );
  return rows[0]!.at;
}

/**
 * Writes down which events a run has consumed: those of the assets of its Dag's schedule up to the run's instant, after that
 * of the Dag's last run of this kind. For the first one: since the schedule names its first asset; all with catchup, or where it
 * names none but by alias.
 */
export async function recordConsumed(
  db: Db,
  o: {
    readonly dagRunId: number;
    readonly dagId: string;
    readonly runAfter: string;
    readonly catchup: boolean;
  },
): Promise<void> {
  await db.query(
    sql`WITH previous AS (
        SELECT max(run_after) AS at FROM dag_run
        WHERE dag_id = ${o.dagId} AND run_type = 'asset_triggered' AND id <> ${o.dagRunId}
      )
      INSERT INTO dag_run_asset_event (dag_run_id, event_id)
      SELECT DISTINCT ${o.dagRunId}::bigint, e.id FROM previous p
      JOIN dag d ON d.dag_id = ${o.dagId}
      JOIN asset_reference r ON r.dag_id = d.dag_id AND r.role = 'schedule'
      JOIN asset a ON a.id = r.asset_id OR (r.kind = 'name' AND a.name = r.named AND a.active)
        OR (r.kind = 'uri' AND a.uri = r.named AND a.active)
        OR a.id IN (SELECT x.asset_id FROM asset_alias_asset x WHERE x.alias_id = r.alias_id)
      JOIN asset_event e ON e.asset_id = a.id AND e.at <= ${o.runAfter}::timestamptz
        AND e.at > COALESCE(p.at, CASE WHEN NOT ${o.catchup}::boolean THEN (SELECT min(f.created_at) FROM asset_reference f
          WHERE f.dag_id = d.dag_id AND f.role = 'schedule' AND f.kind = 'asset') END, '-infinity')
        AND (r.alias_id IS NULL
          OR EXISTS (SELECT 1 FROM asset_event_alias y WHERE y.event_id = e.id AND y.alias_id = r.alias_id))
      WHERE e.audience IS NULL OR d.dag_id = ANY(e.audience)`,
    'asset_consumed',
  );
}
