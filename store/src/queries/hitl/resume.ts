/** Tries that wait for a person, and how they go on. @see scheduling semantics 7.6 */
import { type Db, sql } from '../../database.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

/** Ends a stretch: the try waits, or goes on at once. Needs its row locked and live. Sends the event of its run. */
export async function parkTask(
  tx: Db,
  o: {
    readonly id: string;
    readonly state: 'awaiting_input' | 'scheduled';
    readonly nextMethod: string;
    /** JSON text. */
    readonly nextKwargs: string;
    /** Null = it waits for as long as it takes. */
    readonly timeoutAt: string | null;
    readonly renderedMapIndex: string | null;
    readonly nowIso: string;
  },
): Promise<void> {
  await tx.query(
    sql`WITH u AS (
        UPDATE task_instance SET state = ${o.state}, next_method = ${o.nextMethod}, next_kwargs = ${o.nextKwargs}::json,
          trigger_id = NULL, trigger_timeout = ${o.timeoutAt}::timestamptz,
          rendered_map_index = COALESCE(${o.renderedMapIndex}, rendered_map_index),
          scheduled_at = CASE WHEN ${o.state} = 'scheduled' THEN ${o.nowIso}::timestamptz ELSE scheduled_at END,
          updated_at = ${o.nowIso}::timestamptz, ${TOKENS_CLEARED}
        WHERE id = ${o.id} RETURNING *
      ), audit AS (
        INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, try_number, owner)
        SELECT ${o.nowIso}::timestamptz, ${o.state}, dag_id, task_id, run_id, map_index, try_number, 'task' FROM u
      )
      SELECT pg_notify('airlock', 'run ' || dag_run_id) FROM u`,
    'hitl_park',
  );
}

export type WaitingTry = {
  readonly id: string;
  readonly dag_run_id: number;
  /** JSON text. */
  readonly next_kwargs: string | null;
  readonly defaults: string[] | null;
  readonly params: Readonly<Record<string, unknown>> | null;
  readonly responded_at: string | null;
  readonly responded_by_id: string | null;
  readonly responded_by_name: string | null;
  readonly chosen_options: string[] | null;
  readonly params_input: Readonly<Record<string, unknown>> | null;
};

/**
 * Tries that wait for a person and have an answer, or whose time is over. Locks: their rows, then their requests; those that
 * somebody else holds are skipped.
 * @param o.ids only these; null = all
 */
export async function lockAnswered(
  tx: Db,
  o: { readonly ids: readonly string[] | null; readonly nowIso: string; readonly limit: number },
): Promise<WaitingTry[]> {
  const ids = o.ids === null ? null : [...o.ids];
  return tx.query<WaitingTry>(
    sql`WITH t AS (
        SELECT t.id, t.dag_run_id, t.next_kwargs FROM task_instance t LEFT JOIN hitl_detail h ON h.ti_id = t.id
        WHERE t.state = 'awaiting_input' AND (${ids}::uuid[] IS NULL OR t.id = ANY(${ids}::uuid[]))
          AND (h.responded_at IS NOT NULL OR t.trigger_timeout <= ${o.nowIso}::timestamptz)
        ORDER BY t.trigger_timeout, t.id LIMIT ${o.limit} FOR NO KEY UPDATE OF t SKIP LOCKED
      ), h AS (SELECT d.* FROM t JOIN hitl_detail d ON d.ti_id = t.id ORDER BY d.ti_id FOR NO KEY UPDATE OF d)
      SELECT t.id, t.dag_run_id, t.next_kwargs::text AS next_kwargs, h.defaults, h.params, h.responded_at, h.responded_by_id,
        h.responded_by_name, h.chosen_options, h.params_input
      FROM t LEFT JOIN h ON h.ti_id = t.id`,
    'hitl_lock_answered',
  );
}

/** Stores defaults as answers of nobody. Needs the requests locked. */
export async function answerByDefaults(
  tx: Db,
  answers: ReadonlyArray<{ readonly id: string; readonly chosen: readonly string[]; readonly input: object }>,
  nowIso: string,
): Promise<void> {
  if (answers.length === 0) return;
  await tx.query(
    sql`UPDATE hitl_detail h SET responded_at = ${nowIso}::timestamptz,
        chosen_options = ARRAY(SELECT json_array_elements_text(x.chosen)), params_input = x.input
      FROM json_to_recordset(${JSON.stringify(answers)}::json) AS x (id uuid, chosen json, input json)
      WHERE h.ti_id = x.id AND h.responded_at IS NULL`,
    'hitl_answer_defaults',
  );
}

/** Puts tries back to scheduled, in the same try, with what they go on with. Needs their rows locked. Sends the events. */
export async function resumeTries(
  tx: Db,
  tries: ReadonlyArray<{ readonly id: string; readonly kwargs: object }>,
  nowIso: string,
): Promise<void> {
  if (tries.length === 0) return;
  await tx.query(
    sql`WITH u AS (
        UPDATE task_instance t SET state = 'scheduled', next_kwargs = x.kwargs, trigger_timeout = NULL,
          scheduled_at = ${nowIso}::timestamptz, updated_at = ${nowIso}::timestamptz
        FROM json_to_recordset(${JSON.stringify(tries)}::json) AS x (id uuid, kwargs json)
        WHERE t.id = x.id AND t.state = 'awaiting_input' RETURNING t.dag_run_id
      )
      SELECT pg_notify('airlock', 'run ' || r.dag_run_id) FROM (SELECT DISTINCT dag_run_id FROM u) r`,
    'hitl_resume',
  );
}
