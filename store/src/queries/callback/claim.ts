import { type Db, sql } from '../../database.ts';
import { type VersionFiles, versionFiles } from '../dag/files.ts';

export type ClaimedCallback = VersionFiles & {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly kind: string;
  readonly event: string;
  readonly target: { readonly path?: string; readonly kwargs?: unknown } | null;
  readonly module_hash: string | null;
  readonly workload_jti: string;
};

/**
 * Gives callbacks to one supervisor, oldest of the highest priority first; each gets the `jti` of its one workload token. Those of
 * queues that only programs of others serve go to any worker. Locks: the supervisor's row (shared), then the callbacks;
 * rows that another claim holds are skipped; then (insert) event_log.
 * @param o.jtis as many as rows are wanted, each unused before
 * @param o.queues null = every queue
 */
export async function claimCallbacks(
  db: Db,
  o: {
    readonly supervisorId: string;
    readonly queues: readonly string[] | null;
    readonly commandQueues: readonly string[];
    readonly jtis: readonly string[];
    readonly nowIso: string;
  },
): Promise<ClaimedCallback[]> {
  return await db.query<ClaimedCallback>(
    sql`WITH alive AS (
        SELECT id FROM supervisor WHERE id = ${o.supervisorId}::uuid AND ended_at IS NULL FOR SHARE
      ), picked AS (
        SELECT id FROM callback
        WHERE EXISTS (SELECT 1 FROM alive) AND state = 'pending' AND (${o.queues}::text[] IS NULL
          OR queue = ANY(${o.queues}::text[]) OR queue = ANY(${o.commandQueues}::text[]))
        ORDER BY priority DESC, created_at LIMIT ${o.jtis.length} FOR NO KEY UPDATE SKIP LOCKED
      ), numbered AS (SELECT id, row_number() OVER () AS n FROM picked),
      given AS (UPDATE callback c SET state = 'claimed', supervisor_id = ${o.supervisorId}::uuid,
        claimed_at = ${o.nowIso}::timestamptz, workload_jti = (${o.jtis}::text[])[p.n]
      FROM numbered p, dag_version v, dag d, dag_run r
      WHERE c.id = p.id AND v.id = c.dag_version_id AND d.dag_id = c.dag_id AND r.id = c.dag_run_id
      RETURNING c.id, c.dag_id, r.run_id, c.kind, c.event, c.target, ${versionFiles(sql`c.dag_run_id`)},
        v.module_hash, c.workload_jti
      ), audit AS (
        INSERT INTO event_log (at, event, owner, dag_id, run_id, extra)
        SELECT ${o.nowIso}::timestamptz, 'callback claimed', 'worker', g.dag_id, g.run_id,
          json_build_object('callback', g.id, 'supervisor', ${o.supervisorId}::text)::text FROM given g
      )
      SELECT * FROM given`,
    'callback_claim',
  );
}

/** Gives claimed callbacks back, because their workloads could not be made. Locks: the rows, then (insert) event_log. */
export async function releaseCallbacks(
  db: Db,
  which: { readonly supervisorId: string; readonly jtis: readonly string[]; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH released AS (
        UPDATE callback SET state = 'pending', supervisor_id = NULL, claimed_at = NULL, workload_jti = NULL
        WHERE supervisor_id = ${which.supervisorId} AND state = 'claimed' AND workload_jti = ANY(${which.jtis}::text[])
        RETURNING id, dag_id), audit AS (
        INSERT INTO event_log (at, event, owner, dag_id, extra)
        SELECT ${which.nowIso}::timestamptz, 'callback released', 'worker', r.dag_id,
          json_build_object('callback', r.id, 'supervisor', ${which.supervisorId}::text)::text FROM released r)
      SELECT pg_notify('airlock', 'callback') FROM (SELECT count(*) AS n FROM released) r WHERE r.n > 0`,
    'callback_release',
  );
}
