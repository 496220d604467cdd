import type { GitSource } from '@airlock/contract/git-source';
import { type Db, sql } from '../../database.ts';

export type BundleRow = {
  readonly name: string;
  readonly kind: 'local' | 'git';
  readonly path: string;
  readonly git: (GitSource & { readonly refresh_seconds: number }) | null;
  /** Relative path → digest of the inputs of the last report. */
  readonly files: Record<string, string>;
};

/** The active bundles among `names` (null = all) with what is known of their files. Locks nothing. */
export async function listBundles(db: Db, names: readonly string[] | null): Promise<BundleRow[]> {
  return await db.query<BundleRow>(
    sql`SELECT b.name, b.kind, b.path, b.git, COALESCE((SELECT json_object_agg(f.relative_fileloc, f.inputs_digest)
        FROM dag_file f WHERE f.bundle_name = b.name), '{}') AS files
      FROM dag_bundle b WHERE b.active AND (${names}::text[] IS NULL OR b.name = ANY (${names}::text[])) ORDER BY b.name`,
    'bundle_list',
  );
}
