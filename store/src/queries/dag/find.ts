import { type Db, type Sql, sql } from '../../database.ts';

/** A Dag as the services read it. Instants are text. */
export type DagRow = {
  readonly dag_id: string;
  readonly bundle_name: string;
  readonly relative_fileloc: string;
  readonly team: string | null;
  readonly is_paused: boolean;
  readonly is_stale: boolean;
  readonly has_import_errors: boolean;
  readonly max_active_runs: number;
  readonly max_active_tasks: number;
  readonly allowed_run_types: string[] | null;
  readonly timetable_periodic: boolean;
  readonly current_version_id: string | null;
  /** Version of the Dag's bundle, null where bundles have none. */
  readonly bundle_version: string | null;
};

/** One Dag. Locks the dag row against being parsed anew (FOR SHARE), so that its version stays while a run of it is made. */
export async function lockDagForRun(db: Db, dagId: string): Promise<DagRow | null> {
  const rows = await db.query<DagRow>(
    sql`SELECT d.dag_id, d.bundle_name, d.relative_fileloc, d.team, d.is_paused, d.is_stale, d.has_import_errors,
        d.max_active_runs, d.max_active_tasks, d.allowed_run_types, d.timetable_periodic, d.current_version_id, (SELECT v.bundle_version FROM dag_version v WHERE v.id = d.current_version_id) AS bundle_version
      FROM dag d WHERE d.dag_id = ${dagId} FOR SHARE OF d`,
    'dag_lock_for_run',
  );
  return rows[0] ?? null;
}

/** The version that new runs of a Dag get; null = there is no such Dag, or it is gone from its bundle. */
export async function findCurrentVersion(db: Db, dagId: string): Promise<string | null> {
  const rows = await db.query<{ current_version_id: string | null }>(
    sql`SELECT current_version_id FROM dag WHERE dag_id = ${dagId} AND NOT is_stale`,
    'dag_current_version',
  );
  return rows[0]?.current_version_id ?? null;
}

/** Documents of versions, as text. Versions never change, so callers keep what they built from them. */
export async function findDocuments(
  db: Db,
  versionIds: readonly string[],
): Promise<{ id: string; document: unknown }[]> {
  return db.query(sql`SELECT id, document FROM dag_version WHERE id = ANY(${versionIds}::uuid[])`, 'dag_documents');
}

export type AutomaticRunRow = {
  readonly run_after: string;
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
};

/**
 * The newest scheduled or backfill run: what the next automatic run follows. Uses the index on logical dates, or, of a
 * schedule of partitions, the one on their dates.
 */
export async function findLastAutomaticRun(
  db: Db,
  o: { readonly dagId: string; readonly partitioned: boolean },
): Promise<AutomaticRunRow | null> {
  const newest = (date: Sql) => sql`SELECT run_after, data_interval_start, data_interval_end FROM dag_run
      WHERE dag_id = ${o.dagId} AND ${date} IS NOT NULL AND run_type IN ('scheduled', 'backfill')
      ORDER BY ${date} DESC LIMIT 1`;
  const rows = await db.query<AutomaticRunRow>(
    newest(o.partitioned ? sql`partition_date` : sql`logical_date`),
    o.partitioned ? 'dag_last_automatic_partition' : 'dag_last_automatic_run',
  );
  return rows[0] ?? null;
}

/** Sets what the schedule says next; null everywhere = nothing more. Locks: the dag row. */
export async function setNextRun(
  db: Db,
  dagId: string,
  next: { logicalDate: string | null; start: string | null; end: string | null; createAfter: string | null },
): Promise<void> {
  await db.query(
    sql`UPDATE dag SET next_logical_date = ${next.logicalDate}::timestamptz, next_interval_start = ${next.start}::timestamptz,
        next_interval_end = ${next.end}::timestamptz, next_create_after = ${next.createAfter}::timestamptz
      WHERE dag_id = ${dagId}`,
    'dag_set_next_run',
  );
}
