import type { DagWarning } from '@airlock/contract/dag/warning';
import { type Db, sql } from '../../database.ts';

/** Serialises ingestion: two files that claim one Dag id must not both be first. Held until the transaction ends. */
export async function lockIngestion(db: Db): Promise<void> {
  await db.query(sql`SELECT pg_advisory_xact_lock(7233481010)`, 'ingest_lock');
}

export type BundleRow = { readonly name: string; readonly team: string | null };

/** A bundle that is in use. Locks nothing. */
export async function findBundle(db: Db, name: string): Promise<BundleRow | null> {
  const rows = await db.query<BundleRow>(
    sql`SELECT name, team FROM dag_bundle WHERE name = ${name} AND active`,
    'ingest_bundle',
  );
  return rows[0] ?? null;
}

/** The version of a bundle that its files were read at last, for who looks at bundles; each Dag has its own. Locks: the row. */
export async function setBundleVersion(
  db: Db,
  o: { name: string; version: string | null; nowIso: string },
): Promise<void> {
  await db.query(
    sql`UPDATE dag_bundle SET version = ${o.version}, last_refreshed_at = ${o.nowIso}::timestamptz
      WHERE name = ${o.name} AND version IS DISTINCT FROM ${o.version}`,
    'ingest_bundle_version',
  );
}

export type KnownDag = {
  readonly dag_id: string;
  readonly bundle_name: string;
  readonly relative_fileloc: string;
  readonly is_stale: boolean;
  readonly team: string | null;
  readonly version_id: string | null;
  readonly version_number: number | null;
  readonly digest: string | null;
  readonly source: string | null;
  readonly bundle_version: string | null;
  /** Of the bundle when that version was stored. */
  readonly version_team: string | null;
};

/** Dags of a file, and Dags of these ids from any file, with their current versions. Locks the dag rows, by id. */
export async function lockKnownDags(
  db: Db,
  file: { bundleName: string; relativeFileloc: string },
  dagIds: readonly string[],
): Promise<KnownDag[]> {
  return db.query<KnownDag>(
    sql`SELECT d.dag_id, d.bundle_name, d.relative_fileloc, d.is_stale, d.team, v.id AS version_id, v.version_number, v.digest,
        v.source, v.bundle_version, v.team AS version_team
      FROM dag d LEFT JOIN dag_version v ON v.id = d.current_version_id
      WHERE (d.bundle_name = ${file.bundleName} AND d.relative_fileloc = ${file.relativeFileloc})
        OR d.dag_id = ANY(${dagIds}::text[])
      ORDER BY d.dag_id FOR NO KEY UPDATE OF d`,
    'ingest_known',
  );
}

/** True when a run or task instance refers to a version. A statement of its own, so that it sees what the lock waited for. */
export async function isVersionInUse(db: Db, dagId: string, versionId: string): Promise<boolean> {
  const rows = await db.query<{ used: boolean }>(
    sql`SELECT EXISTS (SELECT 1 FROM task_instance WHERE dag_version_id = ${versionId})
      OR EXISTS (SELECT 1 FROM dag_run WHERE dag_id = ${dagId} AND created_version_id = ${versionId}) AS used`,
    'ingest_version_in_use',
  );
  return rows[0]!.used;
}

/** Records that a file was looked at, so that it is not looked at again before its inputs change. */
export async function recordFile(
  db: Db,
  o: { bundleName: string; relativeFileloc: string; inputsDigest: string; parseSeconds: number; nowIso: string },
): Promise<void> {
  await db.query(
    sql`INSERT INTO dag_file (bundle_name, relative_fileloc, inputs_digest, last_parsed_at, parse_seconds)
      VALUES (${o.bundleName}, ${o.relativeFileloc}, ${o.inputsDigest}, ${o.nowIso}::timestamptz, ${o.parseSeconds})
      ON CONFLICT (bundle_name, relative_fileloc) DO UPDATE SET inputs_digest = EXCLUDED.inputs_digest,
        last_parsed_at = EXCLUDED.last_parsed_at, parse_seconds = EXCLUDED.parse_seconds`,
    'ingest_file',
  );
}

/** Stores or removes the import error of a file. Locks: its row. */
export async function setImportError(
  db: Db,
  o: { bundleName: string; relativeFileloc: string; text: string | null; nowIso: string },
): Promise<void> {
  if (o.text === null) {
    await db.query(
      sql`DELETE FROM import_error WHERE bundle_name = ${o.bundleName} AND filename = ${o.relativeFileloc}`,
      'ingest_error_gone',
    );
    return;
  }
  await db.query(
    sql`INSERT INTO import_error (bundle_name, filename, stack_trace, at)
      VALUES (${o.bundleName}, ${o.relativeFileloc}, ${o.text}, ${o.nowIso}::timestamptz)
      ON CONFLICT (bundle_name, filename) DO UPDATE SET stack_trace = EXCLUDED.stack_trace, at = EXCLUDED.at`,
    'ingest_error',
  );
}

/** What the last parse said of these Dags, in the place of what an earlier one had said. Locks: dag_warning rows. */
export async function setWarnings(
  db: Db,
  o: { dagIds: readonly string[]; warnings: readonly DagWarning[]; nowIso: string },
): Promise<void> {
  if (o.dagIds.length === 0) return;
  await db.query(
    sql`WITH given AS (
        SELECT dag_id, warning_type, message
        FROM json_to_recordset(${JSON.stringify(o.warnings)}::json) AS g (dag_id text, warning_type text, message text)
      ), gone AS (
        DELETE FROM dag_warning w WHERE w.dag_id = ANY(${o.dagIds}::text[])
          AND w.warning_type IN ('runtime varying value', 'asset conflict')
          AND NOT EXISTS (SELECT 1 FROM given g WHERE g.dag_id = w.dag_id AND g.warning_type = w.warning_type)
      )
      INSERT INTO dag_warning (dag_id, warning_type, message, at)
      SELECT dag_id, warning_type, message, ${o.nowIso}::timestamptz FROM given
      ON CONFLICT (dag_id, warning_type) DO UPDATE SET message = EXCLUDED.message, at = EXCLUDED.at
        WHERE dag_warning.message <> EXCLUDED.message`,
    'ingest_warnings',
  );
}

/** Marks Dags of a file as broken: they keep their last good version, and their running runs go on. */
export async function markImportErrors(db: Db, dagIds: readonly string[], broken: boolean): Promise<void> {
  if (dagIds.length === 0) return;
  await db.query(
    sql`UPDATE dag SET has_import_errors = ${broken} WHERE dag_id = ANY(${dagIds}::text[]) AND has_import_errors <> ${broken}`,
    'ingest_broken',
  );
}

/** Marks Dags that left their file, or whose file is gone, with an audit row each. History stays; nothing new is scheduled. */
export async function markStale(db: Db, dagIds: readonly string[], nowIso: string): Promise<void> {
  if (dagIds.length === 0) return;
  await db.query(
    sql`WITH gone AS (
        UPDATE dag SET is_stale = true, has_import_errors = false, last_expired_at = ${nowIso}::timestamptz,
          next_logical_date = NULL, next_interval_start = NULL, next_interval_end = NULL, next_create_after = NULL
        WHERE dag_id = ANY(${dagIds}::text[]) AND NOT is_stale RETURNING dag_id
      )
      INSERT INTO event_log (at, event, owner, dag_id)
      SELECT ${nowIso}::timestamptz, 'dag_gone', 'dag-processor', dag_id FROM gone`,
    'ingest_stale',
  );
}

/** Stores a bundled module by its content hash; the same content again is nothing new. */
export async function insertModule(db: Db, module: { hash: string; code: string }, nowIso: string): Promise<void> {
  await db.query(
    sql`INSERT INTO dag_module (hash, code, created_at) VALUES (${module.hash}, ${module.code}, ${nowIso}::timestamptz)
      ON CONFLICT (hash) DO NOTHING`,
    'ingest_module',
  );
}
