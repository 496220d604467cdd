import { type Db, sql } from '../../database.ts';

export type DueDag = {
  readonly dag_id: string;
  readonly team: string | null;
  readonly current_version_id: string;
  readonly bundle_version: string | null;
  readonly next_logical_date: string | null;
  readonly next_interval_start: string | null;
  readonly next_interval_end: string | null;
  readonly next_create_after: string;
  /** What timetables of the authors' own have answered last; null = the timetable is none. */
  readonly timetable_answer: unknown;
  readonly allowed_run_types: string[] | null;
};

/**
 * Dags whose next scheduled run is due and that have room for one more run. Locks: the dag rows; locked ones are skipped,
 * so that two schedulers make different runs.
 */
export async function lockDueDags(db: Db, o: { nowIso: string; limit: number }): Promise<DueDag[]> {
  return db.query<DueDag>(
    sql`SELECT d.dag_id, d.team, d.current_version_id, (SELECT v.bundle_version FROM dag_version v WHERE v.id = d.current_version_id) AS bundle_version, d.next_logical_date,
        d.next_interval_start, d.next_interval_end, d.next_create_after, d.allowed_run_types,
        (SELECT q.answer FROM timetable_question q WHERE q.dag_id = d.dag_id AND q.purpose = 'next') AS timetable_answer
      FROM dag d
      WHERE d.next_create_after <= ${o.nowIso}::timestamptz AND NOT d.is_paused AND NOT d.is_stale
        AND NOT d.has_import_errors AND d.current_version_id IS NOT NULL
        AND d.max_active_runs > (SELECT count(*) FROM dag_run r
          WHERE r.dag_id = d.dag_id AND r.state IN ('queued', 'running') AND r.run_type <> 'backfill')
      ORDER BY d.next_create_after LIMIT ${o.limit} FOR NO KEY UPDATE OF d SKIP LOCKED`,
    'schedule_due_dags',
  );
}

export type NextDue = {
  /** The next instants, after now, at which a scheduled run is due, or a queued run may start; null = none. */
  readonly create_at: string | null;
  readonly start_at: string | null;
  /** Something of the kind is due already. */
  readonly create_now: boolean;
  readonly start_now: boolean;
};

/** What is due by the clock, and what will be next. Locks nothing. */
export async function findNextDue(db: Db, nowIso: string): Promise<NextDue> {
  const rows = await db.query<NextDue>(
    sql`WITH d AS (
        SELECT next_create_after AS at FROM dag
        WHERE NOT is_paused AND NOT is_stale AND NOT has_import_errors AND next_create_after IS NOT NULL
      ), r AS (
        SELECT q.run_after AS at, g.is_paused OR g.is_stale AS waits FROM dag_run q JOIN dag g ON g.dag_id = q.dag_id
        WHERE q.state = 'queued'
      )
      SELECT (SELECT min(at) FROM d WHERE at > ${nowIso}::timestamptz) AS create_at,
        (SELECT min(at) FROM r WHERE at > ${nowIso}::timestamptz) AS start_at,
        EXISTS (SELECT 1 FROM d WHERE at <= ${nowIso}::timestamptz) AS create_now,
        EXISTS (SELECT 1 FROM r WHERE at <= ${nowIso}::timestamptz AND NOT waits) AS start_now`,
    'schedule_next_due',
  );
  return rows[0]!;
}

/** Running runs of Dags that are not stale: what a scheduler looks at after a gap. By id. */
export async function findRunningRuns(db: Db): Promise<number[]> {
  const rows = await db.query<{ id: number }>(
    sql`SELECT r.id FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id WHERE r.state = 'running' AND NOT d.is_stale ORDER BY r.id`,
    'schedule_running_runs',
  );
  return rows.map((row) => row.id);
}

/** Running runs of some Dags. */
export async function findRunningRunsOf(db: Db, dagIds: readonly string[]): Promise<number[]> {
  const rows = await db.query<{ id: number }>(
    sql`SELECT id FROM dag_run WHERE dag_id = ANY(${dagIds}::text[]) AND state = 'running' ORDER BY id`,
    'schedule_running_runs_of',
  );
  return rows.map((row) => row.id);
}
