/**
 * The row of the try that a token names, as every request reads it: in the same statement as the request's own data, so that
 * what the token may do and what it gets are decided on one snapshot.
 */
import { type Sql, sql } from '../../database.ts';

/** Whose token asks, and when. */
export type CallerKey = {
  /** `sub` of the verified token: a try id. */
  readonly id: string;
  /** `jti` of the verified token. */
  readonly jti: string;
  readonly nowIso: string;
  /** The triggerer that asks for a try whose trigger it runs; absent = the try's own token asks. */
  readonly triggerer?: string | null;
};

export type CallerRow = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly team: string | null;
  readonly state: string | null;
  readonly try_number: number;
  /** Canonical needs; null = undeclared. */
  readonly needs: string | null;
  readonly execution_jti: string | null;
  readonly execution_confirmed: boolean;
  readonly execution_jti_next: string | null;
  readonly execution_next_at: string | null;
  readonly execution_jti_prev: string | null;
  readonly execution_overlap_until: string | null;
  readonly deadline_at: string | null;
  /** The try runs, within its deadline, and the token is one of its live ones. */
  readonly live: boolean;
};

/** Who is shown: the token's `jti` and triggerer as values, or as SQL where a statement serves many. */
type Presented = { readonly jti: string | Sql; readonly nowIso: string; readonly triggerer?: string | Sql | null };

/**
 * True where the row is that of a running try and `jti` one of its live tokens; or that of a deferred one whose trigger this
 * triggerer runs, which may use for it what the try may use itself.
 */
export function liveCondition({ jti, nowIso, triggerer = null }: Presented): Sql {
  return sql`COALESCE(CASE WHEN ${triggerer}::uuid IS NULL THEN
    t.state = 'running' AND t.deadline_at > ${nowIso}::timestamptz AND (
      t.execution_jti = ${jti} OR t.execution_jti_next = ${jti}
      OR (t.execution_jti_prev = ${jti} AND t.execution_overlap_until > ${nowIso}::timestamptz))
    ELSE t.state = 'deferred' AND EXISTS (SELECT 1 FROM trigger g JOIN supervisor v ON v.id = g.supervisor_id
      WHERE g.id = t.trigger_id AND g.ti_id = t.id AND v.id = ${triggerer}::uuid AND v.ended_at IS NULL) END, false)`;
}

/** Columns of `CallerRow` from `task_instance t`. */
export function callerColumns(key: Presented): Sql {
  return sql`t.id, t.dag_run_id, t.dag_id, t.run_id, t.task_id, t.map_index, t.team, t.state, t.try_number, t.needs,
    t.execution_jti, t.execution_confirmed, t.execution_jti_next, t.execution_next_at, t.execution_jti_prev,
    t.execution_overlap_until, t.deadline_at, ${liveCondition(key)} AS live`;
}

/**
 * SET clauses that record the use of a token: the first use of a bought token confirms it, the first use of a successor
 * makes it the try's token and gives the predecessor its last seconds. `successorJti` (null = none wanted) becomes the one
 * successor unless there is one already, or the token is a predecessor, whose successor was taken up long ago.
 * The same expressions for single rows and for batches: `jti` and `successorJti` are SQL.
 * @see promise L3
 */
export function tokenUse(use: { jti: Sql; successorJti: Sql; now: Sql; overlapUntil: Sql }): Sql {
  const { jti, successorJti, now, overlapUntil } = use;
  return sql`
    execution_confirmed = COALESCE(t.execution_confirmed OR t.execution_jti = ${jti} OR t.execution_jti_next = ${jti}, false),
    execution_jti_prev = CASE WHEN t.execution_jti_next = ${jti} THEN t.execution_jti ELSE t.execution_jti_prev END,
    execution_overlap_until = CASE WHEN t.execution_jti_next = ${jti} THEN ${overlapUntil} ELSE t.execution_overlap_until END,
    execution_jti = CASE WHEN t.execution_jti_next = ${jti} THEN ${jti} ELSE t.execution_jti END,
    execution_next_at = CASE
      WHEN t.execution_jti_next = ${jti} THEN CASE WHEN ${successorJti} IS NULL THEN NULL ELSE ${now} END
      WHEN t.execution_jti = ${jti} AND t.execution_jti_next IS NULL AND ${successorJti} IS NOT NULL THEN ${now}
      ELSE t.execution_next_at END,
    execution_jti_next = CASE
      WHEN t.execution_jti_next = ${jti} THEN ${successorJti}
      WHEN t.execution_jti = ${jti} AND t.execution_jti_next IS NULL THEN ${successorJti}
      ELSE t.execution_jti_next END`;
}

/** SET clauses that take the execution tokens from a try, whatever is known of its workload token. */
export const EXECUTION_TOKENS_CLEARED: Sql = sql`
  exchanged_at = NULL, exchange_key = NULL, execution_jti = NULL, execution_confirmed = false, execution_jti_next = NULL,
  execution_next_at = NULL, execution_jti_prev = NULL, execution_overlap_until = NULL, deadline_at = NULL`;

/** SET clauses that take every token from a try; for the statement that ends its stretch. */
export const TOKENS_CLEARED: Sql = sql`
  supervisor_id = NULL, claimed_at = NULL, workload_jti = NULL, ${EXECUTION_TOKENS_CLEARED}`;
