import type { GitSource } from '@airlock/contract/git-source';
import { sql } from '../../database.ts';

/** Where a worker finds the files of a version of a Dag. */
export type VersionFiles = {
  readonly bundle_name: string;
  /** The commit that the run is pinned to, else that of its version; null = the bundle has no versions. */
  readonly bundle_version: string | null;
  /** Empty for git; null when the bundle is no longer configured. */
  readonly bundle_path: string | null;
  readonly bundle_git: GitSource | null;
  /** Within the bundle: at a commit the file that it was read from then, else the one where the Dag is now. */
  readonly relative_fileloc: string;
};

/** `VersionFiles` as columns. Beside it stand `v` (dag_version) and `d` (dag). @param run SQL of the id of the run */
export const versionFiles = (run: ReturnType<typeof sql>) => sql`v.bundle_name,
  COALESCE((SELECT r.bundle_version FROM dag_run r WHERE r.id = ${run}), v.bundle_version) AS bundle_version,
  (SELECT b.path FROM dag_bundle b WHERE b.name = v.bundle_name) AS bundle_path,
  (SELECT b.git FROM dag_bundle b WHERE b.name = v.bundle_name) AS bundle_git,
  CASE WHEN v.bundle_version IS NULL THEN d.relative_fileloc ELSE COALESCE(v.relative_fileloc, d.relative_fileloc) END
    AS relative_fileloc`;
