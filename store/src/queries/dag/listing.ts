import { BUNDLE_ITSELF } from '@airlock/contract/bundles';
import { type Db, sql } from '../../database.ts';

/**
 * Forgets files of a bundle that are no longer there, with their import errors, and that the bundle could not be read. Locks:
 * the rows that go.
 * @returns Dags, not stale so far, whose file is gone.
 */
export async function dropMissingFiles(db: Db, bundleName: string, files: readonly string[]): Promise<string[]> {
  const rows = await db.query<{ dag_id: string }>(
    sql`WITH kept AS MATERIALIZED (SELECT unnest(${files}::text[]) AS path),
      f AS (DELETE FROM dag_file x WHERE x.bundle_name = ${bundleName} AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.path = x.relative_fileloc)),
      e AS (DELETE FROM import_error x WHERE x.bundle_name = ${bundleName} AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.path = x.filename))
      SELECT d.dag_id FROM dag d WHERE d.bundle_name = ${bundleName} AND NOT d.is_stale
        AND NOT EXISTS (SELECT 1 FROM kept k WHERE k.path = d.relative_fileloc)
      ORDER BY d.dag_id FOR NO KEY UPDATE OF d`,
    'listing_missing',
  );
  return rows.map((row) => row.dag_id);
}

/** Keeps why a bundle can't be read, with the instant at which that was heard first. Locks: its row. */
export async function setBundleFailure(db: Db, o: { bundleName: string; text: string; nowIso: string }): Promise<void> {
  await db.query(
    sql`INSERT INTO import_error (bundle_name, filename, stack_trace, at)
      VALUES (${o.bundleName}, ${BUNDLE_ITSELF}, ${o.text}, ${o.nowIso}::timestamptz)
      ON CONFLICT (bundle_name, filename) DO UPDATE SET stack_trace = EXCLUDED.stack_trace
        WHERE import_error.stack_trace <> EXCLUDED.stack_trace`,
    'listing_failure',
  );
}
