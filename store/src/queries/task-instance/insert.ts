import { type Db, sql } from '../../database.ts';

/** A row to create. `state`, `try_number` and `scheduled_at` other than null, 0, null: an expanded index that is ready at once. */
export type NewTaskInstance = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly dag_id: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly team: string | null;
  readonly dag_version_id: string;
  readonly state: string | null;
  readonly try_number: number;
  readonly max_tries: number;
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

/**
 * Creates task instances; one that exists already (same run, task and index) stays as it is. Locks: none beyond the new rows.
 * The rows travel as one JSON text, so that 1,000 of them are one parameter.
 */
export async function insertTaskInstances(db: Db, rows: readonly NewTaskInstance[], nowIso: string): Promise<void> {
  if (rows.length === 0) return;
  await db.query(
    sql`INSERT INTO task_instance (id, dag_run_id, dag_id, run_id, task_id, map_index, team, dag_version_id, state, try_number,
        max_tries, operator, task_display_name, runtime, pool, pool_slots, queue, priority_weight, executor, executor_config,
        needs, execution_timeout_seconds, max_active_per_dag, max_active_per_run, scheduled_at, updated_at)
      SELECT x.id, x.dag_run_id, x.dag_id, x.run_id, x.task_id, x.map_index, x.team, x.dag_version_id, x.state, x.try_number,
        x.max_tries, x.operator, x.task_display_name, x.runtime, x.pool, x.pool_slots, x.queue, x.priority_weight, x.executor,
        x.executor_config, x.needs, x.execution_timeout_seconds, x.max_active_per_dag, x.max_active_per_run,
        CASE WHEN x.state = 'scheduled' THEN ${nowIso}::timestamptz END, ${nowIso}::timestamptz
      FROM json_to_recordset(${JSON.stringify(rows)}::json) AS x (id uuid, dag_run_id bigint, dag_id text, run_id text,
        task_id text, map_index integer, team text, dag_version_id uuid, state text, try_number integer, max_tries integer,
        operator text, task_display_name text, runtime text, pool text, pool_slots integer, queue text,
        priority_weight integer, executor text, executor_config json, needs text, execution_timeout_seconds double precision, max_active_per_dag integer,
        max_active_per_run integer)
      ON CONFLICT (dag_run_id, task_id, map_index) DO NOTHING`,
    'ti_insert',
  );
}
