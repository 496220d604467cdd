import { type Db, type Sql, sql } from '../../database.ts';
import {
  anyInt,
  anyOf,
  type Column,
  contains,
  containsText,
  given,
  inRange,
  listPage,
  type Range,
  type SortKey,
  startsWith,
} from '../rest-list/compose.ts';
import { type Visible, visibleDags } from '../team/visible.ts';

export type HitlDetailRow = {
  /** The try that asked. */
  readonly ti_id: string;
  readonly options: string[];
  readonly subject: string;
  readonly body: string | null;
  readonly defaults: string[] | null;
  readonly multiple: boolean;
  readonly params: Record<string, unknown>;
  readonly assigned_users: Array<{ id: string; name: string }>;
  readonly created_at: string;
  readonly responded_at: string | null;
  readonly responded_by_id: string | null;
  readonly responded_by_name: string | null;
  readonly chosen_options: string[] | null;
  readonly params_input: Record<string, unknown> | null;
};

const SELECT = sql`h.ti_id, h.options, h.subject, h.body, h.defaults, h.multiple, h.params, h.assigned_users, h.created_at,
  h.responded_at, h.responded_by_id, h.responded_by_name, h.chosen_options, h.params_input`;
/** Requests of current tries; those of earlier ones are history. */
const FROM = sql`hitl_detail h JOIN task_instance t ON t.id = h.ti_id JOIN dag_run r ON r.id = t.dag_run_id`;

const text = (expr: Sql): Column => ({ expr, type: 'text' });
const instant = (expr: Sql): Column => ({ expr, type: 'timestamptz' });
export const HITL_ORDER: Readonly<Record<string, Column>> = {
  ti_id: { expr: sql`h.ti_id`, type: 'uuid' },
  subject: text(sql`h.subject`),
  responded_at: instant(sql`h.responded_at`),
  created_at: instant(sql`h.created_at`),
  responded_by_user_id: text(sql`h.responded_by_id`),
  responded_by_user_name: text(sql`h.responded_by_name`),
  dag_id: text(sql`t.dag_id`),
  run_id: text(sql`t.run_id`),
  task_display_name: text(sql`t.task_display_name`),
  run_after: instant(sql`r.run_after`),
  rendered_map_index: text(sql`t.rendered_map_index`),
  task_instance_operator: text(sql`t.operator`),
  task_instance_state: text(sql`t.state`),
};

export type HitlFilters = {
  readonly visible: Visible;
  /** Null = any. */
  readonly dagId: string | null;
  readonly runId: string | null;
  readonly dagIdPattern?: string;
  readonly dagIdPrefix?: string;
  readonly taskId?: string;
  readonly taskIdPattern?: string;
  readonly taskIdPrefix?: string;
  readonly mapIndexes: readonly number[];
  readonly states: ReadonlyArray<string | null>;
  readonly answered?: boolean;
  readonly respondedById: readonly string[];
  readonly respondedByName: readonly string[];
  readonly subject?: string;
  readonly body?: string;
  readonly createdAt?: Range<string>;
};

const some = <T>(values: readonly T[], make: (values: readonly T[]) => Sql): Sql[] =>
  values.length === 0 ? [] : [make(values)];

/** A page of requests of current tries. Locks nothing. */
export async function listHitlDetails(
  db: Db,
  f: HitlFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: HitlDetailRow[]; total: number }> {
  return listPage<HitlDetailRow>(db, {
    select: SELECT,
    from: FROM,
    where: [
      ...visibleDags(sql`t.dag_id`, f.visible),
      ...given(f.dagId, (id) => sql`t.dag_id = ${id}`),
      ...given(f.runId, (id) => sql`t.run_id = ${id}`),
      ...given(f.dagIdPattern, (term) => contains(sql`t.dag_id`, term)),
      ...given(f.dagIdPrefix, (term) => startsWith(sql`t.dag_id`, term)),
      ...given(f.taskId, (id) => sql`t.task_id = ${id}`),
      ...given(f.taskIdPattern, (term) => contains(sql`t.task_id`, term)),
      ...given(f.taskIdPrefix, (term) => startsWith(sql`t.task_id`, term)),
      ...some(f.mapIndexes, (indexes) => anyInt(sql`t.map_index`, indexes)),
      ...some(f.states, (states) => anyOf(sql`t.state`, states)),
      ...given(f.answered, (answered) => sql`(h.responded_at IS NOT NULL) = ${answered}`),
      ...some(f.respondedById, (ids) => sql`h.responded_by_id = ANY(${[...ids]})`),
      ...some(f.respondedByName, (names) => sql`h.responded_by_name = ANY(${[...names]})`),
      ...given(f.subject, (term) => containsText(sql`h.subject`, term)),
      ...given(f.body, (term) => containsText(sql`COALESCE(h.body, '')`, term)),
      ...inRange(sql`h.created_at`, f.createdAt ?? {}),
    ],
    ...page,
  });
}

/** The request of a try, ended or not. */
export async function getHitlDetail(db: Db, tiId: string): Promise<HitlDetailRow | null> {
  const rows = await db.query<HitlDetailRow>(
    sql`SELECT ${SELECT} FROM hitl_detail h WHERE h.ti_id = ${tiId}`,
    'rest_hitl_get',
  );
  return rows[0] ?? null;
}

/**
 * Locks the current try of a task instance, then its request, in the order in which its worker does.
 * @returns null when the try has been replaced; `request` null = it has not asked
 */
export async function lockHitlDetail(tx: Db, tiId: string): Promise<{ readonly request: HitlDetailRow | null } | null> {
  const tries = await tx.query<{ dag_run_id: number }>(
    sql`SELECT dag_run_id FROM task_instance WHERE id = ${tiId} FOR NO KEY UPDATE`,
    'rest_hitl_lock_try',
  );
  if (tries.length === 0) return null;
  const rows = await tx.query<HitlDetailRow>(
    sql`SELECT ${SELECT} FROM hitl_detail h WHERE h.ti_id = ${tiId} FOR NO KEY UPDATE`,
    'rest_hitl_lock',
  );
  return { request: rows[0] ?? null };
}

/** Stores a person's answer. Needs the request locked, unanswered. */
export async function answerHitl(
  tx: Db,
  tiId: string,
  answer: {
    readonly by: { readonly id: string; readonly name: string };
    readonly chosenOptions: readonly string[];
    readonly paramsInput: object;
    readonly nowIso: string;
  },
): Promise<void> {
  await tx.query(
    sql`UPDATE hitl_detail SET responded_at = ${answer.nowIso}::timestamptz, responded_by_id = ${answer.by.id},
        responded_by_name = ${answer.by.name}, chosen_options = ${[...answer.chosenOptions]}::text[],
        params_input = ${JSON.stringify(answer.paramsInput)}::json
      WHERE ti_id = ${tiId} AND responded_at IS NULL`,
    'rest_hitl_answer',
  );
}

/** Id of one try of a task instance by its number, an ended one first, the newest of them. Null = there is none. */
export async function findTryId(
  db: Db,
  key: { dagId: string; runId: string; taskId: string; mapIndex: number },
  tryNumber: number,
): Promise<string | null> {
  const rows = await db.query<{ id: string }>(
    sql`SELECT id FROM (
        SELECT id, 0 AS live FROM task_instance_history h
        WHERE h.dag_run_id = (SELECT id FROM dag_run WHERE dag_id = ${key.dagId} AND run_id = ${key.runId})
          AND h.task_id = ${key.taskId} AND h.map_index = ${key.mapIndex} AND h.try_number = ${tryNumber}
        UNION ALL
        SELECT id, 1 FROM task_instance t WHERE t.dag_id = ${key.dagId} AND t.run_id = ${key.runId}
          AND t.task_id = ${key.taskId} AND t.map_index = ${key.mapIndex} AND t.try_number = ${tryNumber}
      ) x ORDER BY live, id DESC LIMIT 1`,
    'rest_hitl_try',
  );
  return rows[0]?.id ?? null;
}
