import { type Db, sql } from '../../database.ts';

/** SQLSTATE */
const FOREIGN_KEY_VIOLATION = '23503';

export type DagValues = {
  readonly dagId: string;
  readonly bundleName: string;
  readonly relativeFileloc: string;
  readonly fileloc: string;
  readonly team: string | null;
  readonly displayName: string;
  readonly description: string | null;
  readonly owners: string;
  readonly timetableType: string;
  readonly timetableSummary: string;
  readonly timetableDescription: string;
  readonly timetablePeriodic: boolean;
  /** Counts only when the Dag is new. */
  readonly isPaused: boolean;
  readonly maxActiveRuns: number;
  readonly maxActiveTasks: number;
  readonly maxConsecutiveFailedDagRuns: number;
  readonly allowedRunTypes: readonly string[] | null;
  readonly currentVersionId: string;
  readonly parseSeconds: number;
  readonly nowIso: string;
};

/** Creates a Dag, or brings it up to date: no longer stale, no longer broken, its pause state kept. Locks: the dag row. */
export async function upsertDag(db: Db, d: DagValues): Promise<void> {
  await db.query(
    sql`INSERT INTO dag (dag_id, bundle_name, relative_fileloc, fileloc, team, display_name, description, owners,
        timetable_type, timetable_summary, timetable_description, timetable_periodic, is_paused, max_active_runs,
        max_active_tasks, max_consecutive_failed_dag_runs, allowed_run_types, current_version_id, last_parsed_at,
        last_parse_seconds)
      VALUES (${d.dagId}, ${d.bundleName}, ${d.relativeFileloc}, ${d.fileloc}, ${d.team}, ${d.displayName},
        ${d.description}, ${d.owners}, ${d.timetableType}, ${d.timetableSummary}, ${d.timetableDescription},
        ${d.timetablePeriodic}, ${d.isPaused}, ${d.maxActiveRuns}, ${d.maxActiveTasks}, ${d.maxConsecutiveFailedDagRuns},
        ${d.allowedRunTypes}::text[], ${d.currentVersionId}::uuid, ${d.nowIso}::timestamptz, ${d.parseSeconds})
      ON CONFLICT (dag_id) DO UPDATE SET bundle_name = EXCLUDED.bundle_name, relative_fileloc = EXCLUDED.relative_fileloc,
        fileloc = EXCLUDED.fileloc, team = EXCLUDED.team, display_name = EXCLUDED.display_name,
        description = EXCLUDED.description, owners = EXCLUDED.owners, timetable_type = EXCLUDED.timetable_type,
        timetable_summary = EXCLUDED.timetable_summary, timetable_description = EXCLUDED.timetable_description,
        timetable_periodic = EXCLUDED.timetable_periodic, max_active_runs = EXCLUDED.max_active_runs,
        max_active_tasks = EXCLUDED.max_active_tasks,
        max_consecutive_failed_dag_runs = EXCLUDED.max_consecutive_failed_dag_runs,
        allowed_run_types = EXCLUDED.allowed_run_types, current_version_id = EXCLUDED.current_version_id,
        last_parsed_at = EXCLUDED.last_parsed_at, last_parse_seconds = EXCLUDED.last_parse_seconds,
        is_stale = false, has_import_errors = false`,
    'dag_upsert',
  );
}

export type NewVersion = {
  readonly id: string;
  readonly dagId: string;
  readonly versionNumber: number;
  readonly bundleName: string;
  readonly bundleVersion: string | null;
  readonly relativeFileloc: string;
  /** Of the bundle, now. */
  readonly team: string | null;
  readonly digest: string;
  /** JSON text. */
  readonly document: string;
  readonly source: string;
  readonly moduleHash: string | null;
  readonly nowIso: string;
};

/** Adds a version. The Dag's row may come later in the same transaction only if it exists already. */
export async function insertVersion(db: Db, v: NewVersion): Promise<void> {
  await db.query(
    sql`INSERT INTO dag_version (id, dag_id, version_number, bundle_name, bundle_version, relative_fileloc, team, digest,
        document, source, module_hash, created_at)
      VALUES (${v.id}, ${v.dagId}, ${v.versionNumber}, ${v.bundleName}, ${v.bundleVersion}, ${v.relativeFileloc}, ${v.team}, ${v.digest},
        ${v.document}::json, ${v.source}, ${v.moduleHash}, ${v.nowIso}::timestamptz)`,
    'dag_version_insert',
  );
}

/**
 * Removes a version that nothing refers to, so that its number can be given again. A reference that is just being made by
 * someone else is waited for. @returns false, and nothing has changed, when something refers to it.
 */
export async function deleteUnusedVersion(db: Db, id: string): Promise<boolean> {
  await db.query(sql`SAVEPOINT delete_version`);
  try {
    await db.query(sql`DELETE FROM dag_version WHERE id = ${id}`, 'dag_version_delete');
    await db.query(sql`RELEASE SAVEPOINT delete_version`);
    return true;
  } catch (error) {
    if ((error as { code?: unknown }).code !== FOREIGN_KEY_VIOLATION) throw error;
    await db.query(sql`ROLLBACK TO SAVEPOINT delete_version`);
    return false;
  }
}

/** Brings what is shown with a version up to date; what runs is untouched. */
export async function refreshVersion(
  db: Db,
  o: { id: string; source: string; bundleVersion: string | null },
): Promise<void> {
  await db.query(
    sql`UPDATE dag_version SET source = ${o.source}, bundle_version = ${o.bundleVersion} WHERE id = ${o.id}`,
    'dag_version_refresh',
  );
}

/** Sets the tags of a Dag. */
export async function setTags(db: Db, dagId: string, tags: readonly string[]): Promise<void> {
  await db.query(
    sql`WITH gone AS (DELETE FROM dag_tag WHERE dag_id = ${dagId} AND name <> ALL(${tags}::text[]))
      INSERT INTO dag_tag (dag_id, name) SELECT ${dagId}, unnest(${tags}::text[]) ON CONFLICT DO NOTHING`,
    'dag_tags',
  );
}

/** Wakes the scheduler for the running runs of these Dags, which follow the newest version. */
export async function notifyRunsOf(db: Db, dagIds: readonly string[]): Promise<void> {
  if (dagIds.length === 0) return;
  await db.query(
    sql`SELECT pg_notify('airlock', 'run ' || id) FROM dag_run
      WHERE dag_id = ANY(${dagIds}::text[]) AND state = 'running' AND created_version_id IS NULL`,
    'dag_notify_runs',
  );
}
