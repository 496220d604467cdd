/** Tests of connections, from the request to the worker. @see promise L25 */
import { type Db, sql } from '../../database.ts';
import type { ConnectionValues } from '../connection/write.ts';

export type NewConnectionTest = {
  readonly id: string;
  /** What is tested, sealed as a connection of this id is. */
  readonly values: ConnectionValues;
  readonly requestedBy: string;
  readonly timeoutSeconds: number;
  readonly nowIso: string;
  /** Tests of this deployment that may be waiting or running at once. */
  readonly maxActive: number;
};

/**
 * Asks for a test, and wakes a worker. @returns false when too many are under way. Locks: the row.
 * @throws 23505 one of this connection is under way
 */
export async function insertConnectionTest(db: Db, test: NewConnectionTest): Promise<boolean> {
  const { values: v } = test;
  const rows = await db.query(
    sql`WITH ins AS (INSERT INTO connection_test (id, team, conn_id, conn_type, host, schema, login, password, port, extra, is_encrypted,
        state, requested_by, timeout_seconds, created_at)
      SELECT ${test.id}, ${v.team}, ${v.conn_id}, ${v.conn_type}, ${v.host}, ${v.schema}, ${v.login}, ${v.password}, ${v.port}::int,
        ${v.extra}, ${v.is_encrypted}, 'pending', ${test.requestedBy}, ${test.timeoutSeconds}::float8, ${test.nowIso}::timestamptz
      WHERE (SELECT count(*) FROM connection_test WHERE state IN ('pending', 'queued', 'running')) < ${test.maxActive}
      RETURNING id)
      SELECT id, pg_notify('airlock', 'queue') FROM ins`,
  );
  return rows.length > 0;
}

export type ClaimedTest = { readonly id: string; readonly conn_id: string; readonly timeout_seconds: number };

/** Gives the oldest waiting test to one worker, with the id of its one token. Locks: the row; one that another claims is skipped. */
export async function claimConnectionTest(db: Db, workloadJti: string): Promise<ClaimedTest | null> {
  const rows = await db.query<ClaimedTest>(
    sql`UPDATE connection_test SET state = 'queued', workload_jti = ${workloadJti}
      WHERE id = (SELECT id FROM connection_test WHERE state = 'pending' ORDER BY created_at LIMIT 1 FOR UPDATE SKIP LOCKED)
      RETURNING id, conn_id, timeout_seconds`,
    'connection_test_claim',
  );
  return rows[0] ?? null;
}

/** Fails tests that nobody has answered in time: half of their own time more, at least 30 s. Locks: the rows. */
export async function failLateConnectionTests(db: Db, nowIso: string): Promise<number> {
  const rows = await db.query(
    sql`UPDATE connection_test SET state = 'failed', ended_at = ${nowIso}::timestamptz,
        result_message = 'No worker answered in time.'
      WHERE state IN ('pending', 'queued', 'running')
        AND created_at + (timeout_seconds + GREATEST(30, timeout_seconds / 2)) * interval '1 second' < ${nowIso}::timestamptz
      RETURNING id`,
    'connection_test_late',
  );
  return rows.length;
}
