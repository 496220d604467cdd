/** What timetables of the authors' own are asked, by who wants to know it. @see decision 24 */
import { type Db, sql } from '../../database.ts';

export type StoredAnswer = {
  /** The last good answer, as `timetableAnswer` of the contract; null = none. */
  readonly answer: unknown;
  readonly problem: string | null;
  readonly asked_at: string;
  readonly answered_at: string | null;
};

/**
 * Asks for the coming runs of a Dag, in the place of an earlier question; the last answer stays until there is another.
 * Locks: the row.
 */
export async function askNextRuns(
  db: Db,
  o: { readonly id: string; readonly dagId: string; readonly ask: object; readonly nowIso: string },
): Promise<void> {
  await db.query(
    sql`WITH asked AS (
        INSERT INTO timetable_question (id, dag_id, purpose, ask, asked_at, due_at)
        VALUES (${o.id}, ${o.dagId}, 'next', ${JSON.stringify(o.ask)}::json, ${o.nowIso}::timestamptz, ${o.nowIso}::timestamptz)
        ON CONFLICT (dag_id) WHERE purpose = 'next' DO UPDATE SET id = EXCLUDED.id, ask = EXCLUDED.ask,
          asked_at = EXCLUDED.asked_at, due_at = EXCLUDED.due_at, supervisor_id = NULL, claimed_at = NULL, answered_at = NULL
        RETURNING id)
      SELECT pg_notify('airlock', 'timetable') FROM asked`,
    'timetable_ask_next',
  );
}

/** The Dag's timetable is not the author's own any more. Locks: the row. */
export async function dropNextRuns(db: Db, dagId: string): Promise<void> {
  await db.query(
    sql`DELETE FROM timetable_question WHERE dag_id = ${dagId} AND purpose = 'next'`,
    'timetable_drop_next',
  );
}

/** Asks for one caller, who waits. */
export async function askOnce(
  db: Db,
  o: {
    readonly id: string;
    readonly dagId: string;
    readonly purpose: 'manual' | 'backfill';
    readonly ask: object;
    readonly nowIso: string;
  },
): Promise<void> {
  await db.query(
    sql`WITH asked AS (
        INSERT INTO timetable_question (id, dag_id, purpose, ask, asked_at, due_at)
        VALUES (${o.id}, ${o.dagId}, ${o.purpose}, ${JSON.stringify(o.ask)}::json, ${o.nowIso}::timestamptz, ${o.nowIso}::timestamptz)
        RETURNING id)
      SELECT pg_notify('airlock', 'timetable') FROM asked`,
  );
}

/** What a question that was asked once has come to; null = it is gone. */
export async function findAnswer(db: Db, id: string): Promise<StoredAnswer | null> {
  const rows = await db.query<StoredAnswer>(
    sql`SELECT answer, problem, asked_at, answered_at FROM timetable_question WHERE id = ${id}`,
    'timetable_answer',
  );
  return rows[0] ?? null;
}

/** What is known of a Dag's coming runs; null = nobody has asked. */
export async function findNextRuns(db: Db, dagId: string): Promise<StoredAnswer | null> {
  const rows = await db.query<StoredAnswer>(
    sql`SELECT answer, problem, asked_at, answered_at FROM timetable_question
      WHERE dag_id = ${dagId} AND purpose = 'next'`,
    'timetable_next_runs',
  );
  return rows[0] ?? null;
}

/** Whoever asked has read the answer, or waits no more. */
export async function dropQuestion(db: Db, id: string): Promise<void> {
  await db.query(sql`DELETE FROM timetable_question WHERE id = ${id}`, 'timetable_drop');
}

/** Questions of callers that went away. */
export async function sweepQuestions(db: Db, askedBeforeIso: string): Promise<void> {
  await db.query(
    sql`DELETE FROM timetable_question WHERE purpose <> 'next' AND asked_at < ${askedBeforeIso}::timestamptz`,
    'timetable_sweep',
  );
}
