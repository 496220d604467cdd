/** How dag-processors take questions to timetables, and store what they were answered. @see decision 24 */
import { type Db, sql } from '../../database.ts';

export type ClaimedQuestion = {
  readonly id: string;
  readonly dag_id: string;
  readonly bundle_name: string;
  /** From the Dag's current version. */
  readonly timetable: unknown;
  readonly ask: unknown;
};

/**
 * Takes questions for one dag-processor: of each bundle at most one that a schedule asks and one that a caller waits for, so
 * that a timetable that does not come to an end holds up its own bundle's schedules at most. Those that have failed before
 * come last. Locks: the rows.
 */
export async function claimQuestions(
  db: Db,
  o: {
    readonly supervisorId: string;
    readonly bundles: readonly string[];
    readonly limit: number;
    /** What this one works on; what else it was given it never got. */
    readonly holds: readonly string[];
    /** A claim from before is void. */
    readonly claimedBeforeIso: string;
    readonly nowIso: string;
  },
): Promise<ClaimedQuestion[]> {
  return db.query<ClaimedQuestion>(
    sql`WITH held AS (
        SELECT q.id, d.bundle_name, q.purpose = 'next' AS is_next, q.claimed_at IS NOT NULL AND q.claimed_at >= ${o.claimedBeforeIso}::timestamptz
          AND (q.supervisor_id <> ${o.supervisorId}::uuid OR q.id = ANY(${[...o.holds]}::uuid[]))
          AND EXISTS (SELECT 1 FROM supervisor s WHERE s.id = q.supervisor_id AND s.ended_at IS NULL) AS is_taken,
          row_number() OVER (PARTITION BY d.bundle_name, q.purpose = 'next' ORDER BY q.problem IS NOT NULL, q.due_at, q.id) AS place
        FROM timetable_question q JOIN dag d ON d.dag_id = q.dag_id
        WHERE q.answered_at IS NULL AND q.due_at <= ${o.nowIso}::timestamptz AND NOT d.is_stale
          AND d.current_version_id IS NOT NULL AND d.bundle_name = ANY(${[...o.bundles]}::text[])
      ), chosen AS (
        SELECT h.id FROM held h WHERE NOT h.is_taken
          AND NOT EXISTS (SELECT 1 FROM held t WHERE t.bundle_name = h.bundle_name
            AND t.is_next = h.is_next AND (t.is_taken OR t.place < h.place))
        LIMIT ${o.limit}
      ), taken AS (
        UPDATE timetable_question q SET supervisor_id = ${o.supervisorId}::uuid, claimed_at = ${o.nowIso}::timestamptz
        FROM chosen WHERE q.id = chosen.id AND q.answered_at IS NULL
          AND (q.claimed_at IS NULL OR q.claimed_at < ${o.claimedBeforeIso}::timestamptz OR q.supervisor_id = ${o.supervisorId}::uuid
            OR NOT EXISTS (SELECT 1 FROM supervisor s WHERE s.id = q.supervisor_id AND s.ended_at IS NULL))
        RETURNING q.id, q.dag_id, q.ask
      )
      SELECT t.id, t.dag_id, d.bundle_name, t.ask, v.document #> '{dag,timetable}' AS timetable
      FROM taken t JOIN dag d ON d.dag_id = t.dag_id JOIN dag_version v ON v.id = d.current_version_id`,
    'timetable_claim',
  );
}

export type AnsweredQuestion = {
  readonly dag_id: string;
  readonly purpose: 'next' | 'manual' | 'backfill';
  readonly ask: unknown;
  readonly current_version_id: string;
  readonly bundle_name: string;
  readonly relative_fileloc: string;
};

/** The question of this id, if this dag-processor has taken it and nobody has answered. Locks: the dag row, then its row. */
export async function lockQuestion(
  db: Db,
  o: { readonly id: string; readonly supervisorId: string },
): Promise<AnsweredQuestion | null> {
  // The order of locks of whoever parses, triggers or schedules a Dag.
  await db.query(
    sql`SELECT 1 FROM dag WHERE dag_id = (SELECT dag_id FROM timetable_question WHERE id = ${o.id}) FOR NO KEY UPDATE`,
    'timetable_lock_dag',
  );
  const rows = await db.query<AnsweredQuestion>(
    sql`SELECT q.dag_id, q.purpose, q.ask, d.current_version_id, d.bundle_name, d.relative_fileloc
      FROM timetable_question q JOIN dag d ON d.dag_id = q.dag_id
      WHERE q.id = ${o.id} AND q.supervisor_id = ${o.supervisorId}::uuid AND q.answered_at IS NULL
        AND NOT d.is_stale AND d.current_version_id IS NOT NULL FOR UPDATE OF q`,
    'timetable_lock',
  );
  return rows[0] ?? null;
}

/** Stores an answer, and wakes who waits for it. */
export async function storeAnswer(
  db: Db,
  o: { readonly id: string; readonly answer: object; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH done AS (
        UPDATE timetable_question SET answer = ${JSON.stringify(o.answer)}::json, problem = NULL,
          answered_at = ${o.nowIso}::timestamptz WHERE id = ${o.id} RETURNING id)
      SELECT pg_notify('airlock', 'timetable') FROM done`,
    'timetable_store',
  );
}

/** Stores why there is no answer. @param againIso when it is asked again; null = never */
export async function storeProblem(
  db: Db,
  o: { readonly id: string; readonly problem: string; readonly againIso: string | null; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH done AS (
        UPDATE timetable_question SET answer = NULL, problem = ${o.problem}, supervisor_id = NULL, claimed_at = NULL,
          answered_at = CASE WHEN ${o.againIso}::timestamptz IS NULL THEN ${o.nowIso}::timestamptz END,
          due_at = COALESCE(${o.againIso}::timestamptz, due_at) WHERE id = ${o.id} RETURNING id)
      SELECT pg_notify('airlock', 'timetable') FROM done`,
    'timetable_problem',
  );
}

/** What the timetables of one file's Dags have failed with, as one text; null = nothing. */
export async function findProblemsOfFile(
  db: Db,
  o: { readonly bundleName: string; readonly relativeFileloc: string },
): Promise<string | null> {
  const rows = await db.query<{ text: string | null }>(
    sql`SELECT string_agg(q.problem, E'\n\n' ORDER BY d.dag_id) AS text
      FROM dag d JOIN timetable_question q ON q.dag_id = d.dag_id AND q.purpose = 'next' AND q.problem IS NOT NULL
      WHERE d.bundle_name = ${o.bundleName} AND d.relative_fileloc = ${o.relativeFileloc} AND NOT d.is_stale`,
    'timetable_problems',
  );
  return rows[0]?.text ?? null;
}

/** The import error of a file, if any. */
export async function findImportErrorText(
  db: Db,
  o: { readonly bundleName: string; readonly relativeFileloc: string },
): Promise<string | null> {
  const rows = await db.query<{ stack_trace: string }>(
    sql`SELECT stack_trace FROM import_error WHERE bundle_name = ${o.bundleName} AND filename = ${o.relativeFileloc}`,
    'timetable_import_error',
  );
  return rows[0]?.stack_trace ?? null;
}
