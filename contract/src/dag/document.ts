/**
 * The interchange format of Dags: Airflow's serialized Dag, version 3. Only the fields that Airlock reads are named; the
 * rest rides along unchanged. This is the shape *after* checking: what a parser sends is unknown until
 * control/src/domain/dag-document.ts has checked it.
 * @see ../shared reference "serialized-dag" sections 1 to 8; docs/dag-format.md
 */

/** A value that JSON can't express, `{__type, __var}`; section 3. */
export type Tagged<T extends string = string, V = unknown> = { readonly __type: T; readonly __var: V };

export type TimetableDocument = Tagged<string, Readonly<Record<string, unknown>>>;

/** One task. Absent field = default of section 5. Durations are seconds, instants epoch seconds. */
export type TaskDocument = {
  readonly task_id: string;
  readonly task_type?: string;
  readonly _task_module?: string;
  readonly _operator_name?: string;
  readonly _task_display_name?: string;
  readonly downstream_task_ids?: readonly string[];
  readonly trigger_rule?: string;
  readonly depends_on_past?: boolean;
  readonly wait_for_downstream?: boolean;
  readonly ignore_first_depends_on_past?: boolean;
  readonly retries?: number;
  readonly retry_delay?: number;
  readonly retry_exponential_backoff?: number;
  readonly max_retry_delay?: number;
  readonly execution_timeout?: number;
  readonly start_date?: number;
  readonly end_date?: number;
  readonly max_active_tis_per_dag?: number;
  readonly max_active_tis_per_dagrun?: number;
  readonly do_xcom_push?: boolean;
  readonly pool?: string;
  readonly pool_slots?: number;
  readonly priority_weight?: number;
  readonly weight_rule?: string;
  readonly queue?: string;
  readonly executor?: string;
  readonly owner?: string;
  readonly doc_md?: string;
  readonly _is_empty?: boolean;
  readonly _is_sensor?: boolean;
  readonly reschedule?: boolean;
  readonly _is_mapped?: boolean;
  readonly _needs_expansion?: boolean;
  readonly _expand_input_attr?: string;
  readonly partial_kwargs?: Readonly<Record<string, unknown>>;
  readonly is_setup?: boolean;
  readonly is_teardown?: boolean;
  readonly on_failure_fail_dagrun?: boolean;
  readonly _can_skip_downstream?: boolean;
  readonly has_on_execute_callback?: boolean;
  readonly has_on_success_callback?: boolean;
  readonly has_on_failure_callback?: boolean;
  readonly has_on_retry_callback?: boolean;
  readonly has_on_skipped_callback?: boolean;
  /** Waits for a trigger at once, without a worker before it. */
  readonly start_from_trigger?: boolean | null;
  readonly start_trigger_args?: {
    readonly trigger_cls: string;
    readonly trigger_kwargs?: unknown;
    readonly next_method: string;
    readonly next_kwargs?: unknown;
    readonly timeout?: number | null;
  } | null;
  readonly inlets?: readonly unknown[];
  readonly outlets?: readonly unknown[];
  readonly template_fields?: readonly string[];
  readonly params?: ReadonlyArray<readonly [string, unknown]>;
  /** Canonical JSON of `Needs`; see needs.ts. */
  readonly __airlock_needs?: string;
  /** Mapped TypeScript tasks: more elements than this fail the task, whatever `[core] max_map_length` says. */
  readonly __airlock_map_limit?: number;
  readonly [field: string]: unknown;
};

export type DagDocument = {
  readonly __version: number;
  readonly client_defaults?: { readonly tasks?: Readonly<Record<string, unknown>> };
  readonly dag: {
    readonly dag_id: string;
    readonly fileloc: string;
    readonly relative_fileloc?: string;
    readonly timezone?: string | number;
    readonly timetable: TimetableDocument;
    readonly catchup?: boolean;
    readonly max_active_runs?: number;
    readonly max_active_tasks?: number;
    readonly max_consecutive_failed_dag_runs?: number;
    readonly disable_bundle_versioning?: boolean;
    readonly tasks: ReadonlyArray<Tagged<'operator', TaskDocument>>;
    readonly task_group?: unknown;
    readonly edge_info?: unknown;
    readonly dag_dependencies?: readonly unknown[];
    readonly params?: ReadonlyArray<readonly [string, unknown]>;
    readonly deadline?: unknown;
    readonly has_on_success_callback?: boolean;
    readonly has_on_failure_callback?: boolean;
    readonly allowed_run_types?: readonly string[] | null;
    readonly start_date?: number;
    readonly end_date?: number;
    readonly dagrun_timeout?: number;
    readonly description?: string;
    readonly doc_md?: string;
    readonly dag_display_name?: string;
    readonly default_args?: unknown;
    readonly tags?: readonly string[];
    readonly owner_links?: Readonly<Record<string, string>>;
    readonly is_paused_upon_creation?: boolean;
    readonly fail_fast?: boolean;
    readonly render_template_as_native_obj?: boolean;
    readonly rerun_with_latest_version?: boolean;
    readonly [field: string]: unknown;
  };
};

/** `_task_module` of every task written in TypeScript; how server and worker tell them from Python's. */
export const TYPESCRIPT_TASK_MODULE = 'airlock.sdk';
/** `task_type` of a TypeScript task and of a TypeScript sensor. */
export const TYPESCRIPT_TASK_TYPE = 'TypeScriptOperator';
export const TYPESCRIPT_SENSOR_TYPE = 'TypeScriptSensor';
/** Queue of TypeScript tasks whose author names none; served only by workers with our runner. */
export const TYPESCRIPT_QUEUE = 'typescript';
/** Field of a mapped TypeScript task that holds the mapping, `_expand_input_attr`. */
export const EXPAND_INPUT_FIELD = 'expand_input';
/** Name in `default_args` under which the needs of a TypeScript Dag's own callbacks stand, as canonical text. */
export const CALLBACK_NEEDS_ARG = '__airlock_callback_needs';
