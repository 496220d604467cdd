/**
 * What `PATCH /task-instances/{id}/run` answers: all that the child is told. Instants are RFC 3339 UTC with `Z`.
 * Clients of the Task SDK refuse unknown keys in `dag_run`. @see execution API 3.2
 */
export type DagRunContext = {
  readonly dag_id: string;
  readonly run_id: string;
  readonly logical_date: string | null;
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
  readonly run_after: string;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly clear_number: number;
  readonly run_type: string;
  readonly state: string;
  readonly conf: unknown;
  readonly triggering_user_name: string | null;
  readonly consumed_asset_events: readonly unknown[];
  readonly partition_key: string | null;
  readonly partition_date: string | null;
  readonly note: string | null;
  readonly team_name: string | null;
};

/** Unset optional keys are left out, never null. */
export type TaskRunContext = {
  readonly dag_run: DagRunContext;
  readonly task_reschedule_count: number;
  readonly max_tries: number;
  readonly variables: readonly never[];
  readonly connections: readonly never[];
  readonly xcom_keys_to_clear: readonly string[];
  readonly should_retry: boolean;
  readonly next_method?: string;
  readonly next_kwargs?: unknown;
  readonly start_date?: string;
};
