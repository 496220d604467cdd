/** Events of partitions, on their way to the runs that consume them. @see scheduling semantics 3.4 */
import { type Db, sql } from '../../database.ts';

export type PartitionDag = {
  readonly dag_id: string;
  readonly team: string | null;
  readonly current_version_id: string;
  readonly bundle_version: string | null;
  readonly allowed_run_types: string[] | null;
  /** How many more runs may be active. */
  readonly room: number;
};

/** Most Dags that are read at once. */
const MOST_DAGS = 1000;

/**
 * Dags with events that nobody has looked at, and room for one more run; who has waited longest first. Locks nothing.
 * @param dagIds only these; null = all
 */
export async function findPartitionDags(db: Db, dagIds: readonly string[] | null = null): Promise<PartitionDag[]> {
  const only = dagIds === null ? null : [...dagIds];
  return db.query<PartitionDag>(
    sql`WITH waiting AS (
        SELECT dag_id, min(id) AS first FROM asset_partition_event WHERE NOT seen AND (${only}::text[] IS NULL OR dag_id = ANY(${only}::text[]))
        GROUP BY dag_id)
      SELECT d.dag_id, d.team, d.current_version_id, (SELECT v.bundle_version FROM dag_version v WHERE v.id = d.current_version_id) AS bundle_version, d.allowed_run_types,
        (d.max_active_runs - active.n)::integer AS room
      FROM waiting w JOIN dag d ON d.dag_id = w.dag_id
      CROSS JOIN LATERAL (SELECT count(*) AS n FROM dag_run r WHERE r.dag_id = d.dag_id AND r.state IN ('queued', 'running')) active
      WHERE NOT d.is_paused AND NOT d.is_stale AND NOT d.has_import_errors AND d.current_version_id IS NOT NULL
        AND d.max_active_runs > active.n
      ORDER BY w.first LIMIT ${MOST_DAGS}`,
    'partition_dags',
  );
}

/** Events that mappers of another definition have mapped are to be mapped again. Needs the dag row locked. Locks: the rows. */
export async function unmapPartitions(tx: Db, o: { dagId: string; definition: string }): Promise<void> {
  await tx.query(
    sql`WITH old AS (
        DELETE FROM asset_partition_event WHERE dag_id = ${o.dagId} AND definition <> ${o.definition} RETURNING event_id)
      INSERT INTO asset_partition_event (dag_id, event_id) SELECT DISTINCT ${o.dagId}, event_id FROM old ORDER BY event_id
      ON CONFLICT DO NOTHING`,
    'partition_unmap',
  );
}

/** The Dag's schedule has no partitions of assets any more. Locks: the rows. */
export async function dropPartitions(tx: Db, dagId: string): Promise<void> {
  await tx.query(sql`DELETE FROM asset_partition_event WHERE dag_id = ${dagId}`, 'partition_drop');
}

export type UnmappedEvent = {
  readonly id: number;
  readonly event_id: number;
  readonly name: string;
  readonly uri: string;
  readonly partition_key: string;
};

/** Events that wait to be mapped, oldest first. Needs the dag row locked. */
export async function findUnmapped(tx: Db, dagId: string, limit: number): Promise<UnmappedEvent[]> {
  return tx.query<UnmappedEvent>(
    sql`SELECT p.id, p.event_id, a.name, a.uri, e.partition_key FROM asset_partition_event p
      JOIN asset_event e ON e.id = p.event_id JOIN asset a ON a.id = e.asset_id
      WHERE p.dag_id = ${dagId} AND NOT p.seen AND p.target_key IS NULL ORDER BY p.id LIMIT ${limit}`,
    'partition_unmapped',
  );
}

/** Replaces unmapped rows by one for each key. Needs the dag row locked. Locks: the rows. */
export async function mapPartitions(
  tx: Db,
  o: {
    readonly dagId: string;
    readonly definition: string;
    readonly ids: readonly number[];
    readonly targets: ReadonlyArray<{ readonly event_id: number; readonly key: string }>;
  },
): Promise<void> {
  await tx.query(
    sql`WITH gone AS (DELETE FROM asset_partition_event WHERE id = ANY(${[...o.ids]}::bigint[]))
      INSERT INTO asset_partition_event (dag_id, event_id, target_key, definition)
      SELECT ${o.dagId}, x.event_id, x.key, ${o.definition}
      FROM json_to_recordset(${JSON.stringify(o.targets)}::json) AS x (event_id bigint, key text) ORDER BY x.event_id, x.key
      ON CONFLICT DO NOTHING`,
    'partition_map',
  );
}

/** One key of one asset that has come for a partition; several events of it are one. */
export type PartitionArrival = {
  readonly target_key: string;
  readonly asset_id: number;
  readonly name: string;
  readonly uri: string;
  readonly active: boolean;
  readonly aliases: readonly string[];
  readonly partition_key: string;
  /** The date of the run that made the event. */
  readonly partition_date: string | null;
};

/** All that has come for the partitions with something new, oldest partition first. Needs the dag row locked. */
export async function findArrivals(tx: Db, dagId: string, limit: number): Promise<PartitionArrival[]> {
  return tx.query<PartitionArrival>(
    sql`WITH fresh AS (
        SELECT target_key, min(id) AS first FROM asset_partition_event
        WHERE dag_id = ${dagId} AND NOT seen AND target_key IS NOT NULL GROUP BY target_key ORDER BY 2 LIMIT ${limit}
      ), came AS (
        SELECT DISTINCT f.first, f.target_key, e.asset_id, e.partition_key, r.partition_date FROM fresh f
        JOIN asset_partition_event p ON p.dag_id = ${dagId} AND p.target_key = f.target_key
        JOIN asset_event e ON e.id = p.event_id
        LEFT JOIN dag_run r ON r.dag_id = e.source_dag_id AND r.run_id = e.source_run_id)
      SELECT c.target_key, c.asset_id, a.name, a.uri, a.active, c.partition_key, c.partition_date,
        ARRAY(SELECT l.name FROM asset_alias_asset x JOIN asset_alias l ON l.id = x.alias_id WHERE x.asset_id = a.id) AS aliases
      FROM came c JOIN asset a ON a.id = c.asset_id ORDER BY c.first`,
    'partition_arrivals',
  );
}

/** What came for these partitions does not suffice yet. Needs the dag row locked. Locks: the rows. */
export async function markSeen(tx: Db, dagId: string, keys: readonly string[]): Promise<void> {
  await tx.query(
    sql`UPDATE asset_partition_event SET seen = true
      WHERE dag_id = ${dagId} AND target_key = ANY(${[...keys]}::text[]) AND NOT seen`,
    'partition_seen',
  );
}

/** Gives a run all that came for its partition; without a run it is gone. Needs the dag row locked. Locks: the rows. */
export async function consumePartition(
  tx: Db,
  o: { readonly dagId: string; readonly key: string; readonly dagRunId: number | null },
): Promise<void> {
  await tx.query(
    sql`WITH taken AS (
        DELETE FROM asset_partition_event WHERE dag_id = ${o.dagId} AND target_key = ${o.key} RETURNING event_id)
      INSERT INTO dag_run_asset_event (dag_run_id, event_id)
      SELECT ${o.dagRunId}::bigint, event_id FROM taken WHERE ${o.dagRunId}::bigint IS NOT NULL ON CONFLICT DO NOTHING`,
    'partition_consume',
  );
}
