import { type Db, sql } from '../../database.ts';
import { TOKENS_CLEARED } from '../token/caller.ts';

/** What a cleared task instance takes over from the document. */
export type RefreshedTi = {
  readonly id: string;
  readonly operator: string;
  readonly task_display_name: string;
  readonly runtime: string;
  readonly pool: string;
  readonly pool_slots: number;
  readonly queue: string;
  readonly priority_weight: number;
  readonly executor: string | null;
  readonly executor_config: unknown;
  readonly needs: string | null;
  readonly execution_timeout_seconds: number | null;
  readonly max_active_per_dag: number | null;
  readonly max_active_per_run: number | null;
};

/** Brings rows up to date with their task. Their version stays: by that the scheduler sees that a run has to follow another. Locks: the rows. */
export async function refreshTaskInstances(db: Db, rows: readonly RefreshedTi[]): Promise<void> {
  if (rows.length === 0) return;
  await db.query(
    sql`UPDATE task_instance t SET operator = x.operator,
        task_display_name = x.task_display_name, runtime = x.runtime, pool = x.pool, pool_slots = x.pool_slots,
        queue = x.queue, priority_weight = x.priority_weight, executor = x.executor, executor_config = x.executor_config,
        needs = x.needs, execution_timeout_seconds = x.execution_timeout_seconds,
        max_active_per_dag = x.max_active_per_dag, max_active_per_run = x.max_active_per_run
      FROM json_to_recordset(${JSON.stringify(rows)}::json) AS x (id uuid, operator text,
        task_display_name text, runtime text, pool text, pool_slots integer, queue text, priority_weight integer,
        executor text, executor_config json, needs text, execution_timeout_seconds double precision,
        max_active_per_dag integer, max_active_per_run integer)
      WHERE t.id = x.id`,
    'ti_refresh',
  );
}

/** Sets states by hand: missing dates are stamped, tokens go. Locks: the rows. */
export async function setStates(
  db: Db,
  changes: ReadonlyArray<{ readonly id: string; readonly state: string }>,
  nowIso: string,
): Promise<void> {
  if (changes.length === 0) return;
  await db.query(
    sql`UPDATE task_instance t SET state = c.state, start_date = COALESCE(t.start_date, ${nowIso}::timestamptz),
        end_date = COALESCE(t.end_date, ${nowIso}::timestamptz),
        duration = GREATEST(EXTRACT(EPOCH FROM COALESCE(t.end_date, ${nowIso}::timestamptz)
          - COALESCE(t.start_date, ${nowIso}::timestamptz)), 0),
        retry_at = NULL, reschedule_at = NULL, next_method = NULL, next_kwargs = NULL, trigger_id = NULL,
        updated_at = ${nowIso}::timestamptz, ${TOKENS_CLEARED}
      FROM unnest(${changes.map((c) => c.id)}::uuid[], ${changes.map((c) => c.state)}::text[]) AS c (id, state)
      WHERE t.id = c.id`,
    'ti_set_states',
  );
}
