/** Dags, their versions and tasks as the wire shows them. @see rest-api 5.6 */
import { createHash } from 'node:crypto';
import type { DagRow } from '@airlock/store/queries/rest-dag/list';
import type { DagVersionRow } from '@airlock/store/queries/rest-dag/versions';
import type { DagModel, TaskModel } from '../../domain/dag-model.ts';
import { type ParamDefinition, readParams } from '../../domain/params.ts';
import { untag } from '../../domain/values.ts';
import { nowIso, wireInstant } from '../http/instant.ts';

const PARTITIONED = new Set(['PartitionedAssetTimetable', 'CronPartitionTimetable']);

/** Size of what a file token holds, decoded. */
export const DIGEST_BYTES = 32;

/** The same for all Dags of a file, and worth nothing to whoever can not list Dags anyway. */
export function fileToken(row: Pick<DagRow, 'bundle_name' | 'relative_fileloc'>): string {
  return createHash('sha256').update(`${row.bundle_name}\0${row.relative_fileloc}`).digest('base64url');
}

export function dagAnswer(row: DagRow, model: DagModel | null): Record<string, unknown> {
  const limits = model ? [...model.tasks.values()] : [];
  return {
    dag_id: row.dag_id,
    dag_display_name: row.display_name,
    is_paused: row.is_paused,
    is_stale: row.is_stale,
    last_parsed_time: wireInstant(row.last_parsed_at),
    last_parse_duration: row.last_parse_seconds,
    last_expired: wireInstant(row.last_expired_at),
    bundle_name: row.bundle_name,
    bundle_version: row.bundle_version,
    relative_fileloc: row.relative_fileloc,
    fileloc: row.fileloc,
    description: row.description,
    timetable_summary: row.timetable_type === 'NullTimetable' ? null : row.timetable_summary,
    timetable_description: row.timetable_description,
    timetable_partitioned: PARTITIONED.has(row.timetable_type),
    timetable_periodic: row.timetable_periodic,
    tags: row.tags.map((name) => ({ name, dag_id: row.dag_id, dag_display_name: row.display_name })),
    max_active_tasks: row.max_active_tasks,
    max_active_runs: row.max_active_runs,
    max_consecutive_failed_dag_runs: row.max_consecutive_failed_dag_runs,
    has_task_concurrency_limits: limits.some(
      (task) => task.maxActiveTisPerDag !== null || task.maxActiveTisPerDagrun !== null,
    ),
    has_import_errors: row.has_import_errors,
    next_dagrun_logical_date: wireInstant(row.next_logical_date),
    next_dagrun_data_interval_start: wireInstant(row.next_interval_start),
    next_dagrun_data_interval_end: wireInstant(row.next_interval_end),
    next_dagrun_run_after: wireInstant(row.next_create_after),
    allowed_run_types: row.allowed_run_types,
    owners: row.owners
      .split(',')
      .map((owner) => owner.trim())
      .filter((owner) => owner !== ''),
    is_backfillable: row.timetable_periodic && (row.allowed_run_types?.includes('backfill') ?? true),
    file_token: fileToken(row),
  };
}

export function versionAnswer(row: DagVersionRow): Record<string, unknown> {
  return {
    id: row.id,
    version_number: row.version_number,
    dag_id: row.dag_id,
    bundle_name: row.bundle_name,
    bundle_version: row.bundle_version,
    created_at: wireInstant(row.created_at),
    dag_display_name: row.dag_display_name,
    bundle_url: null,
  };
}

/** `P1DT1H`, as the reference's framework writes durations. */
export function isoDuration(seconds: number | null): string | null {
  if (seconds === null) return null;
  const days = Math.floor(seconds / 86_400);
  const hours = Math.floor((seconds % 86_400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  const rest = Math.round((seconds % 60) * 1e6) / 1e6;
  const part = (value: number, unit: string) => (value > 0 ? `${value}${unit}` : '');
  const time = part(hours, 'H') + part(minutes, 'M') + part(rest, 'S');
  const text = `P${part(days, 'D')}${time === '' ? '' : `T${time}`}`;
  return text === 'P' ? 'PT0S' : text;
}

function timeDelta(seconds: number | null): Record<string, unknown> | null {
  if (seconds === null) return null;
  const days = Math.floor(seconds / 86_400);
  const whole = Math.floor(seconds - days * 86_400);
  const microseconds = Math.round((seconds - Math.floor(seconds)) * 1e6);
  return { __type: 'TimeDelta', days, seconds: whole, microseconds };
}

const instantOf = (ms: number | null): string | null => (ms === null ? null : nowIso(ms));

function paramsAnswer(params: readonly ParamDefinition[], source: string | null): Record<string, unknown> {
  return Object.fromEntries(
    params.map((param) => [
      param.name,
      { value: param.hasDefault ? param.default : null, schema: param.schema, description: param.description, source },
    ]),
  );
}

/** A zone's name, or a fixed offset of so many seconds as `+01:00`. */
export function zoneName(zone: string | number): string {
  if (typeof zone === 'string') return zone;
  const minutes = Math.abs(Math.round(zone / 60));
  const part = (value: number) => String(value).padStart(2, '0');
  return `${zone < 0 ? '-' : '+'}${part(Math.floor(minutes / 60))}:${part(minutes % 60)}`;
}

/** Common indentation off, blank edges kept as they are. */
function dedent(text: string): string {
  const lines = text.split('\n');
  const indents = lines.filter((line) => line.trim() !== '').map((line) => /^[ \t]*/.exec(line)![0].length);
  const common = indents.length > 0 ? Math.min(...indents) : 0;
  return lines.map((line) => (line.trim() === '' ? '' : line.slice(common))).join('\n');
}

const textOrNull = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** Fields that only the details have. */
export function dagDetails(
  row: DagRow,
  model: DagModel,
  extras: { active_runs: number; is_favorite: boolean },
  version: DagVersionRow | null,
  loadedAt: string,
): Record<string, unknown> {
  const { dag } = model.document;
  const doc = textOrNull(dag.doc_md);
  const searchPath = untag(dag.template_searchpath);
  const timetable = dag.timetable.__var as { asset_condition?: unknown };
  return {
    ...dagAnswer(row, model),
    catchup: model.catchup,
    dag_run_timeout: isoDuration(model.dagrunTimeoutSeconds),
    asset_expression: timetable?.asset_condition ?? null,
    doc_md: doc === null ? null : dedent(doc),
    start_date: instantOf(model.startDateMs),
    end_date: instantOf(model.endDateMs),
    is_paused_upon_creation: model.isPausedUponCreation,
    params: paramsAnswer(model.params, null),
    render_template_as_native_obj: dag.render_template_as_native_obj === true,
    template_search_path: Array.isArray(searchPath) ? searchPath : null,
    timezone: zoneName(model.timezone),
    last_parsed: loadedAt,
    default_args: untag(dag.default_args ?? {}),
    rerun_with_latest_version: model.rerunWithLatestVersion,
    owner_links: dag.owner_links ?? {},
    is_favorite: extras.is_favorite,
    active_runs_count: extras.active_runs,
    concurrency: row.max_active_tasks,
    latest_dag_version: version ? versionAnswer(version) : null,
  };
}

export function taskAnswer(task: TaskModel, model: DagModel): Record<string, unknown> {
  const { document } = task;
  const partial = (document.partial_kwargs ?? {}) as Record<string, unknown>;
  const own = readParams(document.params ?? []);
  const ownNames = new Set(own.map((param) => param.name));
  const inherited = model.params.filter((param) => !ownNames.has(param.name));
  const fields = document.template_fields ?? (untag(partial.template_fields) as unknown);
  return {
    task_id: task.taskId,
    task_display_name: task.displayName,
    owner: task.owner,
    start_date: instantOf(task.startDateMs ?? model.startDateMs),
    end_date: instantOf(task.endDateMs),
    trigger_rule: task.triggerRule,
    depends_on_past: task.dependsOnPast,
    wait_for_downstream: task.waitForDownstream,
    retries: task.retries,
    queue: task.queue,
    pool: task.pool,
    pool_slots: task.poolSlots,
    execution_timeout: timeDelta(task.executionTimeoutSeconds),
    retry_delay: timeDelta(task.retry.retryDelaySeconds),
    retry_exponential_backoff: task.retry.multiplier,
    priority_weight: task.priorityWeight,
    weight_rule: task.weightRule,
    ui_color: textOrNull(document.ui_color) ?? '#fff',
    ui_fgcolor: textOrNull(document.ui_fgcolor) ?? '#000',
    template_fields: Array.isArray(fields) ? fields : [],
    downstream_task_ids: task.downstream,
    doc_md: textOrNull(document.doc_md) ?? textOrNull(partial.doc_md),
    operator_name: task.operatorName,
    params: { ...paramsAnswer(inherited, 'dag'), ...paramsAnswer(own, 'task') },
    class_ref: { module_path: document._task_module ?? null, class_name: task.taskType },
    is_mapped: task.expansion !== null,
    extra_links: [],
  };
}
