import { type Db, sql } from '../../database.ts';
import { type CallerKey, liveCondition, tokenUse } from '../token/caller.ts';
import { relaxedUnless } from '../token/relaxed.ts';
import type { TokenState } from '../token/use.ts';

export type Heartbeat = {
  readonly id: string;
  readonly jti: string;
  readonly hostname: string;
  readonly pid: number;
  /** Wanted successor of the token, when its refresh is due. */
  readonly successorJti: string | null;
  /** Until when the predecessor works, if this is the first use of its successor. */
  readonly overlapUntilIso: string;
};

/**
 * Records heartbeats of running tries, one per try, with the use and refresh of their tokens: one statement for all that
 * arrived together. A beat that does not fit (other host or pid, other token, other state) changes nothing and is not in
 * the answer. Locks: the rows, in the order of their ids.
 * @see execution API 3.4
 */
export async function recordHeartbeats(
  db: Db,
  beats: readonly Heartbeat[],
  nowIso: string,
): Promise<Map<string, TokenState>> {
  const rows = await db.query<TokenState & { id: string }>(
    sql`WITH ${relaxedUnless(beats.some((beat) => beat.successorJti !== null))}, h AS (
        SELECT b.* FROM unnest(${beats.map((b) => b.id)}::uuid[], ${beats.map((b) => b.jti)}::text[],
          ${beats.map((b) => b.hostname)}::text[], ${beats.map((b) => b.pid)}::integer[],
          ${beats.map((b) => b.successorJti)}::text[], ${beats.map((b) => b.overlapUntilIso)}::timestamptz[])
          AS b (id, jti, hostname, pid, successor, overlap_until)
        JOIN task_instance t ON t.id = b.id ORDER BY b.id FOR NO KEY UPDATE OF t
      )
      UPDATE task_instance t SET last_heartbeat_at = ${nowIso}::timestamptz, ${tokenUse({
        jti: sql`h.jti`,
        successorJti: sql`h.successor`,
        now: sql`${nowIso}::timestamptz`,
        overlapUntil: sql`h.overlap_until`,
      })}
      FROM relaxed, h
      WHERE t.id = h.id AND t.state = 'running' AND t.hostname = h.hostname AND t.pid = h.pid
        AND t.deadline_at > ${nowIso}::timestamptz AND (t.execution_jti = h.jti OR t.execution_jti_next = h.jti
          OR (t.execution_jti_prev = h.jti AND t.execution_overlap_until > ${nowIso}::timestamptz))
      RETURNING t.id, t.execution_jti, t.execution_jti_next, t.execution_next_at, t.deadline_at`,
    'ti_heartbeat',
  );
  return new Map(rows.map((row) => [row.id, row]));
}

export type OwnTry = {
  readonly archived: boolean;
  /** As `CallerRow.live`. */
  readonly live: boolean;
  readonly state: string | null;
  readonly hostname: string;
  readonly pid: number | null;
  /** What the worker of an archived try had reported. */
  readonly reported_state: string | null;
  readonly execution_jti: string | null;
  readonly execution_jti_next: string | null;
  readonly execution_jti_prev: string | null;
  readonly execution_overlap_until: string | null;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly try_number: number;
};

/** What became of a try, live or archived; for the answer to a report that changed nothing. Locks nothing. */
export async function findOwnTry(db: Db, key: CallerKey): Promise<OwnTry | null> {
  const rows = await db.query<OwnTry>(
    sql`SELECT false AS archived, ${liveCondition(key)} AS live, t.state, t.hostname, t.pid, NULL AS reported_state,
        t.execution_jti, t.execution_jti_next, t.execution_jti_prev, t.execution_overlap_until, t.dag_id, t.run_id, t.task_id, t.map_index, t.try_number
      FROM task_instance t WHERE t.id = ${key.id}
      UNION ALL
      SELECT true, false, h.state, h.hostname, h.pid, h.reported_state, NULL, NULL, NULL, NULL, h.dag_id, h.run_id, h.task_id,
        h.map_index, h.try_number
      FROM task_instance_history h WHERE h.id = ${key.id}
      LIMIT 1`,
    'ti_own',
  );
  return rows[0] ?? null;
}
