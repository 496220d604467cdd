/** Which triggerer runs which trigger. @see scheduling semantics 7.5 */
import type { GitSource } from '@airlock/contract/git-source';
import { type Db, sql } from '../../database.ts';
import { RUN_FACTS, type RunFacts } from '../dag-run/facts.ts';
import { freeOfOwner, inQueues, WATCHED } from './conditions.ts';

export type ClaimedTrigger = {
  readonly id: number;
  readonly classpath: string;
  readonly kwargs: string;
  readonly is_encrypted: boolean;
  readonly ti_id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
  readonly dag_version_id: string;
  readonly queue: string;
  readonly pool_slots: number;
  readonly priority_weight: number;
  readonly team: string | null;
  readonly runtime: string;
  readonly trigger_timeout: string | null;
  /** Bytes of log that earlier triggerers of this wait have sent. */
  readonly log_offset: number;
  readonly bundle_name: string;
  /** Null when the bundle is gone. */
  readonly bundle_path: string | null;
  /** Null = the bundle is none of git, or gone. */
  readonly bundle_git: GitSource | null;
  /** The commit that the try's run is pinned to, else that of its version; null = the bundle has no versions. */
  readonly bundle_version: string | null;
  /** Of a trigger that its task starts with: it may have templates of the run. */
  readonly run: RunFacts | null;
};

export type ClaimOptions = {
  readonly supervisorId: string;
  /** Ids that it runs now. */
  readonly holds: readonly number[];
  /** Most that it takes now. */
  readonly limit: number;
  /** Queues that it serves: null = triggers of no queue only. */
  readonly queues: readonly string[] | null;
  /** A triggerer not heard of since then is dead. */
  readonly seenBeforeIso: string;
  readonly nowIso: string;
};

/**
 * Takes triggers that nobody runs: new ones, those of triggerers that ended or fell silent, and those that this one was
 * given in an answer which it never got. Teams in turn, by what each has at triggerers; in a team heaviest first, then oldest. Locks: the trigger rows; locked ones are skipped.
 */
export async function claimTriggers(db: Db, o: ClaimOptions): Promise<ClaimedTrigger[]> {
  return db.query<ClaimedTrigger>(
    sql`WITH waiting AS (
        SELECT g.id, COALESCE(t.team, '') AS team, t.priority_weight,
          g.id <> ALL(${[...o.holds]}::bigint[]) AND ${freeOfOwner(o)} AS is_free, ${inQueues(o.queues)} AS is_ours
        FROM task_instance t JOIN trigger g ON g.id = t.trigger_id AND g.ti_id = t.id WHERE t.state = 'deferred'
      ), at_triggerers AS (SELECT team, count(*) AS n FROM waiting WHERE NOT is_free GROUP BY team
      ), in_order AS (
        SELECT w.id, COALESCE(a.n, 0) + row_number() OVER (PARTITION BY w.team ORDER BY w.priority_weight DESC, w.id) AS turn
        FROM waiting w LEFT JOIN at_triggerers a ON a.team = w.team WHERE w.is_free AND w.is_ours
      ), free AS (
        SELECT g.id FROM in_order o JOIN trigger g ON g.id = o.id WHERE ${freeOfOwner(o)}
        ORDER BY o.turn, g.id LIMIT ${o.limit} FOR NO KEY UPDATE OF g SKIP LOCKED
      ), taken AS (
        UPDATE trigger g SET supervisor_id = ${o.supervisorId}::uuid, claimed_at = ${o.nowIso}::timestamptz
        FROM free WHERE g.id = free.id RETURNING g.*
      )
      SELECT g.id, g.classpath, g.kwargs, g.is_encrypted, t.id AS ti_id, t.dag_id, t.run_id, t.task_id, t.map_index,
        t.try_number, t.dag_version_id, t.queue, t.pool_slots, t.priority_weight, t.team, t.runtime, t.trigger_timeout,
        t.log_bytes - t.log_base AS log_offset, v.bundle_name, b.path AS bundle_path,
        b.git AS bundle_git,
        COALESCE((SELECT r.bundle_version FROM dag_run r WHERE r.id = t.dag_run_id), v.bundle_version) AS bundle_version,
        CASE WHEN g.from_document THEN (SELECT ${RUN_FACTS} FROM dag_run r WHERE r.id = g.dag_run_id) END AS run
      FROM taken g JOIN task_instance t ON t.trigger_id = g.id
      JOIN dag_version v ON v.id = t.dag_version_id LEFT JOIN dag_bundle b ON b.name = v.bundle_name
      ORDER BY t.priority_weight DESC, g.id`,
    'trigger_claim',
  );
}

/**
 * Of the triggers that a triggerer runs, those that are not its own any more. Locks nothing.
 * @returns `ended`: nobody waits for it; false: another triggerer has it.
 */
export async function findLostTriggers(
  db: Db,
  o: { readonly supervisorId: string; readonly holds: readonly number[] },
): Promise<Array<{ readonly id: number; readonly ended: boolean }>> {
  if (o.holds.length === 0) return [];
  return db.query(
    sql`SELECT h.id, NOT x.wanted AS ended FROM unnest(${[...o.holds]}::bigint[]) AS h (id)
      LEFT JOIN trigger g ON g.id = h.id
      CROSS JOIN LATERAL (SELECT COALESCE(CASE WHEN g.digest IS NULL THEN EXISTS (SELECT 1 FROM task_instance t
        WHERE t.trigger_id = g.id AND t.id = g.ti_id AND t.state = 'deferred') ELSE ${WATCHED} END, false) AS wanted) x
      WHERE NOT x.wanted OR g.supervisor_id IS DISTINCT FROM ${o.supervisorId}::uuid`,
    'trigger_lost',
  );
}
