/** The fields of REST answers that the CLI shows. What a server adds rides along and is shown by --json. */
export type Dag = {
  readonly dag_id: string;
  readonly is_paused: boolean;
  readonly timetable_summary: string | null;
  readonly timetable_description: string | null;
  readonly next_dagrun_run_after: string | null;
  readonly description: string | null;
  readonly has_import_errors: boolean;
  readonly owners: readonly string[];
  readonly tags: ReadonlyArray<{ readonly name: string }>;
  readonly relative_fileloc: string | null;
};
export type DagRun = {
  readonly dag_id: string;
  readonly dag_run_id: string;
  readonly state: string;
  readonly run_type: string;
  readonly logical_date: string | null;
  readonly run_after: string;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly duration?: number | null;
  readonly conf: unknown;
};
export type TaskInstance = {
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly try_number: number;
  readonly max_tries: number;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly duration: number | null;
  readonly pool: string;
  readonly queue: string | null;
  readonly hostname: string | null;
};
export type ImportError = {
  readonly import_error_id: number;
  readonly filename: string;
  readonly bundle_name: string | null;
  readonly timestamp: string;
  readonly stack_trace: string;
};
export type Backfill = {
  readonly id: number;
  readonly dag_id: string;
  readonly from_date: string;
  readonly to_date: string;
  readonly is_paused: boolean;
  readonly completed_at: string | null;
};
export type Waiting = {
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly cause: string;
  readonly text: string;
  readonly until: string | null;
};
export type NextRuns = {
  readonly dag_id: string;
  readonly timetable: string;
  readonly next_runs: ReadonlyArray<{
    readonly logical_date: string | null;
    readonly data_interval_start: string | null;
    readonly data_interval_end: string | null;
    readonly run_after: string;
    readonly partition_key: string | null;
  }>;
  readonly total_entries: number;
  /** Why the schedule makes no run; null = it has none to make. */
  readonly cause: string | null;
};
export type Page<K extends string, T> = { readonly [key in K]: readonly T[] } & { readonly total_entries?: number };

/** `/api/v2/…` with every part escaped. */
export function apiPath(...parts: readonly string[]): string {
  return `/api/v2/${parts.map(encodeURIComponent).join('/')}`;
}

/** What the tasks of a Dag have used without declaring it. */
export type ObservedNeeds = {
  readonly task_id: string;
  readonly needs: Readonly<Record<string, readonly string[]>>;
  readonly beyond: ReadonlyArray<{ readonly kind: string; readonly name: string; readonly uses: number }>;
};
