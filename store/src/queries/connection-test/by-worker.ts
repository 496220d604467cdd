/** Tests of connections, as the worker that holds one's token reaches it. @see execution API 3.16; promise L25 */
import { type Db, sql } from '../../database.ts';

export type TestWorker = {
  /** `sub` and `jti` of the verified workload token. */
  readonly id: string;
  readonly jti: string;
  /** Proof key of the caller; null = a plain bearer. */
  readonly jkt: string | null;
  readonly nowIso: string;
};

export type FetchRow = {
  /** The token is the one that was given out for this test. */
  readonly live: boolean;
  /** False: it had been fetched before, by another or by a bearer. */
  readonly fetched: boolean;
  readonly state: string;
  readonly conn_id: string;
  readonly conn_type: string;
  readonly host: string | null;
  readonly schema: string | null;
  readonly login: string | null;
  readonly password: string | null;
  readonly port: number | null;
  readonly extra: string | null;
  readonly is_encrypted: boolean;
};

/**
 * Hands out the connection of a test once, and again to the same process until it has reported. Locks: the test, then
 * (insert) event_log. @returns null when there is no such test
 */
export async function fetchTested(db: Db, w: TestWorker): Promise<FetchRow | null> {
  const rows = await db.query<FetchRow>(
    sql`WITH c AS (SELECT x.*, COALESCE(x.workload_jti = ${w.jti}, false) AS live FROM connection_test x
        WHERE x.id = ${w.id} FOR NO KEY UPDATE),
      ok AS (SELECT c.id, c.state <> 'running' AS first FROM c WHERE c.live AND (c.state IN ('pending', 'queued')
        OR (c.state = 'running' AND c.fetch_key = ${w.jkt}::text))),
      u AS (UPDATE connection_test x SET state = 'running', fetched_at = ${w.nowIso}::timestamptz, fetch_key = ${w.jkt}::text
        FROM ok WHERE x.id = ok.id AND ok.first),
      audit AS (INSERT INTO event_log (at, event, owner, extra)
        SELECT ${w.nowIso}::timestamptz, 'fetch_connection_test', 'task',
          json_build_object('connection_test_id', c.id, 'connection_id', c.conn_id)::text FROM c JOIN ok ON ok.first)
      SELECT c.live, EXISTS (SELECT 1 FROM ok) AS fetched, c.state, c.conn_id, c.conn_type, c.host, c.schema, c.login,
        c.password, c.port, c.extra, c.is_encrypted FROM c`,
    'connection_test_fetch',
  );
  return rows[0] ?? null;
}

export type ReportRow = {
  readonly live: boolean;
  /** The process that fetched, or nobody has fetched. */
  readonly same_process: boolean;
  readonly reported: boolean;
  /** State and message before. */
  readonly state: string;
  readonly result_message: string | null;
};

/**
 * Stores the result of a test; it touches no connection, whoever asked for the test. Locks: the test, then (insert)
 * event_log. @returns null when there is no such test
 */
export async function reportTest(
  db: Db,
  w: TestWorker & { readonly state: 'success' | 'failed'; readonly message: string | null },
): Promise<ReportRow | null> {
  const rows = await db.query<ReportRow>(
    sql`WITH c AS (SELECT x.*, COALESCE(x.workload_jti = ${w.jti}, false) AS live,
          x.fetched_at IS NULL OR x.fetch_key IS NOT DISTINCT FROM ${w.jkt}::text AS same_process
        FROM connection_test x WHERE x.id = ${w.id} FOR NO KEY UPDATE),
      u AS (UPDATE connection_test x SET state = ${w.state}, result_message = ${w.message}::text,
          ended_at = ${w.nowIso}::timestamptz, fetched_at = COALESCE(x.fetched_at, ${w.nowIso}::timestamptz),
          fetch_key = COALESCE(x.fetch_key, ${w.jkt}::text)
        FROM c WHERE x.id = c.id AND c.live AND c.same_process AND c.state IN ('pending', 'queued', 'running')
        RETURNING x.id),
      audit AS (INSERT INTO event_log (at, event, owner, extra)
        SELECT ${w.nowIso}::timestamptz, 'report_connection_test', 'task', json_build_object('connection_test_id', c.id,
          'connection_id', c.conn_id, 'state', ${w.state}::text)::text FROM c JOIN u ON true)
      SELECT c.live, c.same_process, EXISTS (SELECT 1 FROM u) AS reported, c.state, c.result_message FROM c`,
    'connection_test_report',
  );
  return rows[0] ?? null;
}
