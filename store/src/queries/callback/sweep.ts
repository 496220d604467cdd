import { type Db, sql } from '../../database.ts';

export type SweptCallback = { readonly id: string; readonly dag_id: string; readonly message: string };

/**
 * Takes back claims that were not started in time, and ends callbacks that nobody will report: those past their deadline,
 * those of workers that are gone, and those that no worker took. One that began is never begun again. Locks: the rows.
 * @param o.seenBeforeIso null = silence proves nothing now
 * @returns those that were ended
 */
export async function sweepCallbacks(
  db: Db,
  o: {
    readonly claimedBeforeIso: string;
    readonly seenBeforeIso: string | null;
    readonly deadlineBeforeIso: string;
    readonly createdBeforeIso: string;
    readonly nowIso: string;
  },
): Promise<SweptCallback[]> {
  return await db.query<SweptCallback>(
    sql`WITH held AS (
        SELECT c.id, c.state, c.claimed_at < ${o.claimedBeforeIso}::timestamptz AS stale,
          c.deadline_at < ${o.deadlineBeforeIso}::timestamptz AS late,
          COALESCE(s.ended_at IS NOT NULL OR s.last_seen_at < ${o.seenBeforeIso}::timestamptz, s.id IS NULL) AS gone
        FROM callback c LEFT JOIN supervisor s ON s.id = c.supervisor_id
        WHERE c.state IN ('claimed', 'running') FOR NO KEY UPDATE OF c SKIP LOCKED
      ), back AS (
        UPDATE callback c SET state = 'pending', supervisor_id = NULL, claimed_at = NULL, workload_jti = NULL
        FROM held h WHERE c.id = h.id AND h.state = 'claimed' AND (h.stale OR h.gone) RETURNING c.id
      ), woken AS (SELECT CASE WHEN EXISTS (SELECT 1 FROM back) THEN pg_notify('airlock', 'callback') END),
      untaken AS (
        SELECT id FROM callback WHERE state = 'pending' AND created_at < ${o.createdBeforeIso}::timestamptz
        FOR NO KEY UPDATE SKIP LOCKED
      )
      UPDATE callback c SET state = 'failed', ended_at = ${o.nowIso}::timestamptz, execution_jti = NULL,
        message = CASE WHEN e.late THEN 'It did not end within its time limit.'
          WHEN e.gone THEN 'The host that ran it has ended or fallen silent.' ELSE 'No worker took it in time.' END
      FROM (SELECT id, late, gone FROM held WHERE state = 'running' AND (late OR gone)
        UNION ALL SELECT id, false, false FROM untaken) e, woken
      WHERE c.id = e.id RETURNING c.id, c.dag_id, c.message`,
    'callback_sweep',
  );
}
