import type { GitSource } from '@airlock/contract/git-source';
import { type Db, sql } from '../../database.ts';
import { refreshActiveAssets } from '../asset/ingest.ts';
import { markStale } from '../dag/ingest.ts';
import { followTeam } from '../team/follow.ts';

export type BundleRow = {
  readonly name: string;
  /** Absolute; empty for git. */
  readonly path: string;
  readonly git: (GitSource & { readonly refresh_seconds: number }) | null;
  /** Team that the bundle and all its Dags belong to; it has to exist. */
  readonly team: string | null;
};

/** Lets processes that start together prepare the bundles one after the other, until the transaction ends. */
export async function lockBundles(tx: Db): Promise<void> {
  await tx.query(sql`SELECT pg_advisory_xact_lock(hashtext('airlock bundles'))`);
}

/** Whether a bundle of this name was ever there. */
export async function bundleIsKnown(db: Db, name: string): Promise<boolean> {
  return (await db.query(sql`SELECT 1 FROM dag_bundle WHERE name = ${name}`)).length > 0;
}

/**
 * Makes the table say what the configuration says: these bundles are active, all others are not; Dags of inactive ones
 * become stale, and their import errors go. Dags follow their bundle into its team. Locks: rows of `dag_bundle`, then of `dag`, then as `followTeam`.
 */
export async function syncBundles(tx: Db, bundles: readonly BundleRow[], nowIso: string): Promise<void> {
  const names = bundles.map((bundle) => bundle.name);
  for (const bundle of [...bundles].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    await tx.query(
      sql`INSERT INTO dag_bundle (name, kind, path, team, active, git)
        VALUES (${bundle.name}, ${bundle.git ? 'git' : 'local'}, ${bundle.path}, ${bundle.team}, true,
          ${bundle.git ? JSON.stringify(bundle.git) : null}::json)
        ON CONFLICT (name) DO UPDATE SET kind = EXCLUDED.kind, path = EXCLUDED.path, team = EXCLUDED.team, active = true,
          git = EXCLUDED.git, version = CASE WHEN EXCLUDED.kind = 'local' THEN NULL ELSE dag_bundle.version END
        WHERE dag_bundle.path <> EXCLUDED.path OR dag_bundle.git::text IS DISTINCT FROM EXCLUDED.git::text OR dag_bundle.team IS DISTINCT FROM EXCLUDED.team OR NOT dag_bundle.active`,
    );
  }
  await tx.query(sql`UPDATE dag_bundle SET active = false WHERE active AND NOT name = ANY(${names})`);
  const gone = await tx.query<{ dag_id: string }>(
    sql`SELECT dag_id FROM dag WHERE NOT is_stale AND bundle_name IN (SELECT name FROM dag_bundle WHERE NOT active)
      ORDER BY dag_id FOR NO KEY UPDATE`,
  );
  await markStale(
    tx,
    gone.map((dag) => dag.dag_id),
    nowIso,
  );
  if (gone.length > 0) await refreshActiveAssets(tx, nowIso);
  await tx.query(sql`DELETE FROM import_error WHERE bundle_name IN (SELECT name FROM dag_bundle WHERE NOT active)`);
  const moved = await tx.query<{ dag_id: string }>(
    sql`UPDATE dag SET team = b.team FROM dag_bundle b
      WHERE b.name = dag.bundle_name AND dag.team IS DISTINCT FROM b.team RETURNING dag.dag_id`,
  );
  await followTeam(
    tx,
    moved.map((dag) => dag.dag_id),
  );
}
