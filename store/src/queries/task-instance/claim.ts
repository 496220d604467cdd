import { type Db, sql } from '../../database.ts';
import { type VersionFiles, versionFiles } from '../dag/files.ts';
import { EXECUTION_TOKENS_CLEARED } from '../token/caller.ts';

export type ClaimedRow = VersionFiles & {
  readonly id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly dag_version_id: string;
  readonly queue: string;
  readonly pool_slots: number;
  readonly priority_weight: number;
  readonly runtime: string;
  readonly needs: string | null;
  readonly execution_timeout_seconds: number | null;
  readonly module_hash: string | null;
  readonly workload_jti: string;
};

/** A place in the queue that is older than this comes before any weight, ms: no try grows old there behind heavier ones. */
const PATIENCE_MS = 60_000;

/**
 * Gives queued task instances to one supervisor: teams in turn, by what each has at workers; in a team what has been queued for
 * longer than a minute, then the highest weight first, then oldest in the queue. Each gets the `jti` of its one workload token. Rows that another claim holds are skipped, never awaited. One that was revoked gets nothing: its row is
 * shared, so that a revocation waits for claims under way and takes back what they took. Locks: the supervisor's row (shared),
 * then the task_instance rows, then (insert) event_log.
 * @param options.jtis as many as rows are wanted, each unused before.
 * @param options.queues null = every queue.
 */
export async function claimQueued(
  db: Db,
  options: {
    readonly supervisorId: string;
    readonly queues: readonly string[] | null;
    readonly jtis: readonly string[];
    readonly nowIso: string;
  },
): Promise<ClaimedRow[]> {
  const patientSince = new Date(Date.parse(options.nowIso) - PATIENCE_MS).toISOString();
  return await db.query<ClaimedRow>(
    sql`WITH alive AS (
        SELECT id FROM supervisor WHERE id = ${options.supervisorId}::uuid AND ended_at IS NULL FOR SHARE
      ), at_workers AS (
        SELECT COALESCE(team, '') AS name, count(*) AS n FROM task_instance
        WHERE state IN ('queued', 'running') AND supervisor_id IS NOT NULL GROUP BY name
      ), in_order AS (
        SELECT t.id, COALESCE(w.n, 0) + row_number() OVER (PARTITION BY t.team ORDER BY
          CASE WHEN t.queued_at < ${patientSince}::timestamptz THEN t.queued_at END, t.priority_weight DESC, t.queued_at, t.id) AS turn
        FROM task_instance t LEFT JOIN at_workers w ON w.name = COALESCE(t.team, '')
        WHERE EXISTS (SELECT 1 FROM alive) AND t.state = 'queued' AND t.supervisor_id IS NULL
          AND (${options.queues}::text[] IS NULL OR t.queue = ANY(${options.queues}::text[]))
      ), picked AS (
        SELECT t.id FROM in_order o JOIN task_instance t ON t.id = o.id WHERE t.state = 'queued' AND t.supervisor_id IS NULL
        ORDER BY o.turn, t.queued_at, t.id LIMIT ${options.jtis.length} FOR NO KEY UPDATE OF t SKIP LOCKED
      ), numbered AS (SELECT id, row_number() OVER () AS n FROM picked),
      given AS (UPDATE task_instance t SET ${EXECUTION_TOKENS_CLEARED}, supervisor_id = ${options.supervisorId}::uuid,
        claimed_at = ${options.nowIso}::timestamptz, workload_jti = (${options.jtis}::text[])[p.n],
        updated_at = ${options.nowIso}::timestamptz
      FROM numbered p, dag_version v, dag d
      WHERE t.id = p.id AND v.id = t.dag_version_id AND d.dag_id = t.dag_id
      RETURNING t.id, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number, t.dag_version_id, t.queue, t.pool_slots,
        t.priority_weight, t.runtime, t.needs, t.execution_timeout_seconds, ${versionFiles(sql`t.dag_run_id`)},
        v.module_hash, t.workload_jti
      ), audit AS (
        INSERT INTO event_log (at, event, owner, dag_id, task_id, run_id, map_index, try_number, extra)
        SELECT ${options.nowIso}::timestamptz, 'claimed', 'worker', g.dag_id, g.task_id, g.run_id, g.map_index, g.try_number,
          json_build_object('supervisor', ${options.supervisorId}::text)::text FROM given g
      )
      SELECT * FROM given`,
    'ti_claim',
  );
}

/** Gives claimed rows back to the queue, because their workloads could not be made. Locks: the rows. */
export async function releaseClaims(
  db: Db,
  which: { readonly supervisorId: string; readonly jtis: readonly string[]; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH released AS (
        UPDATE task_instance SET supervisor_id = NULL, claimed_at = NULL, workload_jti = NULL
        WHERE supervisor_id = ${which.supervisorId} AND state = 'queued' AND workload_jti = ANY(${which.jtis}::text[])
        RETURNING *), audit AS (
        INSERT INTO event_log (at, event, owner, dag_id, task_id, run_id, map_index, try_number, extra)
        SELECT ${which.nowIso}::timestamptz, 'claim_released', 'worker', r.dag_id, r.task_id, r.run_id, r.map_index, r.try_number,
          json_build_object('supervisor', ${which.supervisorId}::text)::text FROM released r)
      SELECT pg_notify('airlock', 'queue') FROM (SELECT count(*) AS n FROM released) r WHERE r.n > 0`,
    'ti_release_claims',
  );
}
