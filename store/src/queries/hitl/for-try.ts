/** Requests of a try to people. @see execution API 3.14; promise L34 */
import { type Db, sql } from '../../database.ts';
import { auditOfTry } from '../event-log/by-try.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';

export type HitlUser = { readonly id: string; readonly name: string };
export type HitlRequest = {
  readonly options: readonly string[];
  readonly subject: string;
  readonly body: string | null;
  readonly defaults: readonly string[] | null;
  readonly multiple: boolean;
  readonly params: Readonly<Record<string, unknown>>;
  readonly assigned_users: readonly HitlUser[];
};
export type HitlRow = HitlRequest & {
  readonly responded_at: string | null;
  readonly responded_by_id: string | null;
  readonly responded_by_name: string | null;
  readonly chosen_options: string[] | null;
  readonly params_input: Readonly<Record<string, unknown>> | null;
};

const ROW = sql`json_build_object('options', h.options, 'subject', h.subject, 'body', h.body, 'defaults', h.defaults,
  'multiple', h.multiple, 'params', h.params, 'assigned_users', h.assigned_users, 'responded_at', h.responded_at,
  'responded_by_id', h.responded_by_id, 'responded_by_name', h.responded_by_name, 'chosen_options', h.chosen_options,
  'params_input', h.params_input)`;

/**
 * Stores the request of the caller's try, unless it has one: the first stands, with its answer if there is one.
 * Locks: the caller's row, then the request, then (insert) event_log.
 * @returns null when there is no live row of the caller
 */
export async function putRequestFor(
  db: Db,
  key: CallerKey,
  request: HitlRequest,
): Promise<(CallerRow & { readonly stored: HitlRow | null }) | null> {
  const rows = await db.query<CallerRow & { stored: HitlRow | null }>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      w AS (
        INSERT INTO hitl_detail (ti_id, dag_run_id, dag_id, run_id, task_id, map_index, options, subject, body, defaults,
          multiple, params, assigned_users, created_at)
        SELECT c.id, c.dag_run_id, c.dag_id, c.run_id, c.task_id, c.map_index, ${request.options}::text[], ${request.subject},
          ${request.body}::text, ${request.defaults}::text[], ${request.multiple}::boolean,
          ${JSON.stringify(request.params)}::json, ${JSON.stringify(request.assigned_users)}::json, ${key.nowIso}::timestamptz
        FROM c WHERE c.live
        ON CONFLICT (ti_id) DO NOTHING RETURNING *
      ), audit AS (
        ${auditOfTry(key.nowIso, 'create_hitl_detail')} JOIN w ON true
      )
      SELECT c.*, COALESCE((SELECT ${ROW} FROM w h), CASE WHEN c.live THEN (SELECT ${ROW} FROM hitl_detail h
        WHERE h.ti_id = c.id) END) AS stored FROM c`,
    'hitl_put_for_try',
  );
  return rows[0] ?? null;
}

/** The request of the caller's try and its answer; null = it has made none. Locks nothing. */
export async function readRequestFor(db: Db, key: CallerKey): Promise<With<HitlRow | null> | null> {
  return await readForCaller<HitlRow | null>(db, key, {
    name: 'hitl_for_try',
    value: sql`(SELECT ${ROW} FROM hitl_detail h WHERE h.ti_id = c.id)`,
  });
}

export type OverdueRequest = HitlRow & {
  /** The try has waited, and its time was over before now. */
  readonly overdue: boolean;
};

/** The same, locked, with whether its time is over. Locks: the caller's row, then the request. */
export async function lockRequestFor(
  tx: Db,
  key: CallerKey,
): Promise<(CallerRow & { readonly request: OverdueRequest | null }) | null> {
  const rows = await tx.query<CallerRow & { request: OverdueRequest | null }>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)}, COALESCE(t.trigger_timeout <= ${key.nowIso}::timestamptz, false) AS overdue FROM t),
      h AS (SELECT d.* FROM c JOIN hitl_detail d ON d.ti_id = c.id WHERE c.live FOR NO KEY UPDATE OF d)
      SELECT c.*, (SELECT (${ROW})::jsonb || jsonb_build_object('overdue', c.overdue) FROM h) AS request FROM c`,
    'hitl_lock_for_try',
  );
  return rows[0] ?? null;
}

/** Stores the defaults as the answer. Needs the request locked, unanswered. */
export async function answerByDefault(
  tx: Db,
  key: CallerKey,
  answer: { readonly chosenOptions: readonly string[]; readonly paramsInput: object },
): Promise<void> {
  await tx.query(
    sql`WITH h AS (
        UPDATE hitl_detail SET responded_at = ${key.nowIso}::timestamptz, chosen_options = ${answer.chosenOptions}::text[],
          params_input = ${JSON.stringify(answer.paramsInput)}::json
        WHERE ti_id = ${key.id} AND responded_at IS NULL RETURNING *
      )
      INSERT INTO event_log (at, event, dag_id, task_id, run_id, map_index, owner)
      SELECT ${key.nowIso}::timestamptz, 'hitl_defaults_taken', h.dag_id, h.task_id, h.run_id, h.map_index, 'task' FROM h`,
    'hitl_answer_default',
  );
}
