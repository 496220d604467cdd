import { type Db, sql } from '../../database.ts';

export type RunToDecide = {
  readonly id: number;
  readonly dag_id: string;
  readonly run_id: string;
  readonly team: string | null;
  readonly run_type: string;
  readonly logical_date: string | null;
  readonly start_date: string | null;
  /** The run's own version, or the Dag's newest. */
  readonly version_id: string | null;
  readonly is_paused: boolean;
  /** Place in its backfill, from 1; null = in none. */
  readonly backfill_ordinal: number | null;
};

/**
 * Locks running runs and reads them. Runs of stale Dags are left out; those of Dags whose file is broken are not: they go on
 * with the last good version. Locks: dag_run rows, by id; locked ones are skipped.
 */
export async function lockRunsToDecide(db: Db, ids: readonly number[]): Promise<RunToDecide[]> {
  return db.query<RunToDecide>(
    sql`SELECT r.id, r.dag_id, r.run_id, r.team, r.run_type, r.logical_date, r.start_date,
        COALESCE(r.created_version_id, d.current_version_id) AS version_id, d.is_paused, r.backfill_ordinal
      FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id
      WHERE r.id = ANY(${ids}::bigint[]) AND r.state = 'running' AND NOT d.is_stale
      ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED`,
    'schedule_lock_runs',
  );
}

/** One run as a decision about it would see it, in whatever state. Locks nothing. */
export async function findRunToDecide(
  db: Db,
  dagId: string,
  runId: string,
): Promise<(RunToDecide & { readonly state: string }) | null> {
  const rows = await db.query<RunToDecide & { state: string }>(
    sql`SELECT r.id, r.dag_id, r.run_id, r.team, r.run_type, r.logical_date, r.start_date,
        COALESCE(r.created_version_id, d.current_version_id) AS version_id, d.is_paused, r.backfill_ordinal, r.state
      FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id WHERE r.dag_id = ${dagId} AND r.run_id = ${runId}`,
    'schedule_find_run',
  );
  return rows[0] ?? null;
}

/** Those of the ids that are running although `lockRunsToDecide` did not give them: someone else holds them just now. */
export async function findHeldRuns(db: Db, ids: readonly number[]): Promise<number[]> {
  const rows = await db.query<{ id: number }>(
    sql`SELECT r.id FROM dag_run r JOIN dag d ON d.dag_id = r.dag_id
      WHERE r.id = ANY(${ids}::bigint[]) AND r.state = 'running' AND NOT d.is_stale`,
    'schedule_held_runs',
  );
  return rows.map((row) => row.id);
}

/** One task instance as an array, since thousands of them travel as one JSON value. Instants are epoch ms. */
export type TiTuple = [
  id: string,
  taskId: string,
  mapIndex: number,
  state: string | null,
  tryNumber: number,
  versionId: string,
  retryAtMs: number | null,
  rescheduleAtMs: number | null,
  skippedAtMs: number | null,
];

export type RunContents = {
  readonly id: number;
  readonly tis: TiTuple[];
  /** Task id → length of its result. */
  readonly lengths: Record<string, number>;
  /** Task id → results of a mapped task; asked for only where a mapping needs it. */
  readonly counts: Record<string, number>;
  /** `task_id#map_index` → text of a skip decision; asked for only where a task branches. */
  readonly skips: Record<string, string>;
};

/** Reads all that a decision about runs needs, in one statement. Locks nothing: the runs are locked already. */
export async function loadRunContents(
  db: Db,
  ids: readonly number[],
  wanted: { counts: boolean; skips: boolean },
): Promise<RunContents[]> {
  return db.query<RunContents>(
    sql`SELECT r.id,
        COALESCE((SELECT json_agg(json_build_array(t.id, t.task_id, t.map_index, t.state, t.try_number, t.dag_version_id,
            (EXTRACT(EPOCH FROM t.retry_at) * 1000)::double precision,
            (EXTRACT(EPOCH FROM t.reschedule_at) * 1000)::double precision,
            CASE WHEN t.state = 'skipped' THEN (EXTRACT(EPOCH FROM t.updated_at) * 1000)::double precision END) ORDER BY t.map_index)
          FROM task_instance t WHERE t.dag_run_id = r.id), '[]') AS tis,
        COALESCE((SELECT json_object_agg(m.task_id, m.length) FROM task_map m
          WHERE m.dag_run_id = r.id AND m.map_index = -1), '{}') AS lengths,
        CASE WHEN ${wanted.counts} THEN COALESCE((SELECT json_object_agg(x.task_id, x.n) FROM (
            SELECT task_id, count(*) AS n FROM xcom WHERE dag_run_id = r.id AND key = 'return_value' AND map_index >= 0
            GROUP BY task_id) x), '{}') ELSE '{}' END AS counts,
        CASE WHEN ${wanted.skips} THEN COALESCE((SELECT json_object_agg(x.task_id || '#' || x.map_index, x.value::text)
          FROM xcom x WHERE x.dag_run_id = r.id AND x.key = 'skipmixin_key'), '{}') ELSE '{}' END AS skips
      FROM dag_run r WHERE r.id = ANY(${ids}::bigint[])`,
    'schedule_load_runs',
  );
}

/** States of the run before one on the schedule, as `task_id#map_index` → state; null when there is none. */
export async function loadPreviousStates(
  db: Db,
  o: { dagId: string; logicalDate: string; skipManual: boolean },
): Promise<Record<string, string | null> | null> {
  const rows = await db.query<{ states: Record<string, string | null> }>(
    sql`SELECT COALESCE((SELECT json_object_agg(t.task_id || '#' || t.map_index, t.state) FROM task_instance t
        WHERE t.dag_run_id = r.id), '{}') AS states
      FROM dag_run r WHERE r.dag_id = ${o.dagId} AND r.logical_date < ${o.logicalDate}::timestamptz
        AND (NOT ${o.skipManual} OR r.run_type <> 'manual')
      ORDER BY r.logical_date DESC LIMIT 1`,
    'schedule_previous',
  );
  return rows[0]?.states ?? null;
}
