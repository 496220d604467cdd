import { type Db, type Sql, sql } from '../../database.ts';
import {
  all,
  anyInt,
  anyOf,
  type Column,
  type CursorPage,
  type CursorValues,
  contains,
  countRows,
  given,
  inOpenRange,
  inRange,
  listByCursor,
  listPage,
  type Range,
  type SortKey,
  startsWith,
} from '../rest-list/compose.ts';
import { type Visible, visibleDags } from '../team/visible.ts';

export type TaskInstanceRow = {
  readonly id: string;
  readonly dag_id: string;
  readonly dag_display_name: string;
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly logical_date: string | null;
  readonly run_after: string;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly duration: number | null;
  readonly state: string | null;
  readonly try_number: number;
  readonly max_tries: number;
  readonly task_display_name: string;
  readonly hostname: string;
  readonly unixname: string | null;
  readonly pool: string;
  readonly pool_slots: number;
  readonly queue: string;
  readonly priority_weight: number;
  readonly operator: string | null;
  readonly queued_at: string | null;
  readonly scheduled_at: string | null;
  readonly pid: number | null;
  readonly executor: string | null;
  readonly executor_config: unknown;
  readonly note: string | null;
  readonly rendered_map_index: string | null;
  readonly rendered_fields: Record<string, unknown> | null;
  readonly dag_version_id: string | null;
  /** What it waits for, while it is deferred. */
  readonly trigger: {
    readonly id: number;
    readonly classpath: string;
    readonly created_at: string;
    readonly queue: string | null;
    /** Of the triggerer that runs it. */
    readonly job: TriggererJob | null;
  } | null;
};

export type TriggererJob = {
  readonly id: number;
  readonly state: string;
  readonly job_type: string;
  readonly start_date: string;
  readonly end_date: string | null;
  readonly latest_heartbeat: string;
  readonly hostname: string;
  readonly unixname: string;
};

const SELECT = sql`t.id, t.dag_id, d.display_name AS dag_display_name, t.run_id, t.task_id, t.map_index, r.logical_date,
  r.run_after, t.start_date, t.end_date, t.duration, t.state, t.try_number, t.max_tries, t.task_display_name, t.hostname,
  t.unixname, t.pool, t.pool_slots, t.queue, t.priority_weight, t.operator, t.queued_at, t.scheduled_at, t.pid, t.executor,
  t.executor_config, t.note, t.rendered_map_index, t.rendered_fields, t.dag_version_id,
  CASE WHEN t.state = 'deferred' THEN (SELECT json_build_object('id', g.id, 'classpath', g.classpath,
    'created_at', g.created_at, 'queue', g.queue, 'job', (SELECT to_json(j) FROM job j
      WHERE j.instance_id = g.supervisor_id AND j.job_type = 'TriggererJob'))
    FROM trigger g WHERE g.id = t.trigger_id AND g.ti_id = t.id) END AS trigger`;
const FROM = sql`task_instance t JOIN dag_run r ON r.id = t.dag_run_id JOIN dag d ON d.dag_id = t.dag_id`;

const text = (expr: Sql): Column => ({ expr, type: 'text' });
const instant = (expr: Sql): Column => ({ expr, type: 'timestamptz' });
const int = (expr: Sql): Column => ({ expr, type: 'int8' });
export const TASK_INSTANCE_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`t.id`, type: 'uuid' },
  state: text(sql`t.state`),
  duration: { expr: sql`t.duration`, type: 'float8' },
  start_date: instant(sql`t.start_date`),
  end_date: instant(sql`t.end_date`),
  map_index: int(sql`t.map_index`),
  try_number: int(sql`t.try_number`),
  logical_date: instant(sql`r.logical_date`),
  run_after: instant(sql`r.run_after`),
  data_interval_start: instant(sql`r.data_interval_start`),
  data_interval_end: instant(sql`r.data_interval_end`),
  rendered_map_index: text(sql`COALESCE(t.rendered_map_index, lpad(t.map_index::text, 12, '0'))`),
  operator: text(sql`t.operator`),
};

export type TaskInstanceFilters = {
  readonly visible: Visible;
  readonly dagIds: readonly string[] | null;
  readonly runIds: readonly string[] | null;
  readonly taskIds?: readonly string[];
  readonly taskGroup?: string;
  readonly displayNamePattern?: string;
  readonly displayNamePrefix?: string;
  readonly dagIdPattern?: string;
  readonly dagIdPrefix?: string;
  readonly runIdPattern?: string;
  readonly runIdPrefix?: string;
  readonly states?: ReadonlyArray<string | null>;
  readonly pools?: readonly string[];
  readonly poolPattern?: string;
  readonly poolPrefix?: string;
  readonly queues?: readonly string[];
  readonly queuePattern?: string;
  readonly queuePrefix?: string;
  readonly executors?: readonly string[];
  readonly versionNumbers?: readonly number[];
  readonly tryNumbers?: readonly number[];
  readonly operators?: readonly string[];
  readonly operatorPattern?: string;
  readonly operatorPrefix?: string;
  readonly mapIndexes?: readonly number[];
  /** True: only instances that a mapping has expanded. */
  readonly onlyMapped?: boolean;
  readonly renderedPattern?: string;
  readonly renderedPrefix?: string;
  readonly runAfter?: Range<string>;
  readonly logicalDate?: Range<string>;
  readonly startDate?: Range<string>;
  readonly endDate?: Range<string>;
  readonly updatedAt?: Range<string>;
  readonly duration?: Range<number>;
  readonly openRanges: boolean;
  readonly nowIso: string;
};

const some = <T>(values: readonly T[] | undefined, make: (values: readonly T[]) => Sql): Sql[] =>
  values === undefined || values.length === 0 ? [] : [make(values)];
const RENDERED = sql`COALESCE(t.rendered_map_index, t.map_index::text)`;

function conditions(f: TaskInstanceFilters): Sql[] {
  const open = (column: Sql, range: Range<string>) =>
    f.openRanges ? inOpenRange(column, range, f.nowIso) : inRange(column, range);
  const ids = (column: Sql, values: readonly string[] | null) =>
    values === null ? [] : [values.length === 1 ? sql`${column} = ${values[0]}` : sql`${column} = ANY(${[...values]})`];
  const words = (column: Sql) => (values: readonly string[]) => sql`${column} = ANY(${[...values]})`;
  return [
    ...visibleDags(sql`t.dag_id`, f.visible),
    ...ids(sql`t.dag_id`, f.dagIds),
    ...ids(sql`t.run_id`, f.runIds),
    ...some(f.taskIds, words(sql`t.task_id`)),
    ...given(f.taskGroup, (group) => sql`starts_with(t.task_id, ${`${group}.`})`),
    ...given(f.displayNamePattern, (term) => contains(sql`t.task_display_name`, term)),
    ...given(f.displayNamePrefix, (term) => startsWith(sql`t.task_display_name`, term)),
    ...given(f.dagIdPattern, (term) => contains(sql`t.dag_id`, term)),
    ...given(f.dagIdPrefix, (term) => startsWith(sql`t.dag_id`, term)),
    ...given(f.runIdPattern, (term) => contains(sql`t.run_id`, term)),
    ...given(f.runIdPrefix, (term) => startsWith(sql`t.run_id`, term)),
    ...some(f.states, (states) => anyOf(sql`t.state`, states)),
    ...some(f.pools, words(sql`t.pool`)),
    ...given(f.poolPattern, (term) => contains(sql`t.pool`, term)),
    ...given(f.poolPrefix, (term) => startsWith(sql`t.pool`, term)),
    ...some(f.queues, words(sql`t.queue`)),
    ...given(f.queuePattern, (term) => contains(sql`t.queue`, term)),
    ...given(f.queuePrefix, (term) => startsWith(sql`t.queue`, term)),
    ...some(f.executors, words(sql`t.executor`)),
    ...some(f.versionNumbers, (numbers) => {
      return sql`EXISTS (SELECT 1 FROM dag_version v WHERE v.id = t.dag_version_id
        AND v.version_number = ANY(${[...numbers]}::int[]))`;
    }),
    ...some(f.tryNumbers, (numbers) => anyInt(sql`t.try_number`, numbers)),
    ...some(f.operators, words(sql`t.operator`)),
    ...given(f.operatorPattern, (term) => contains(sql`t.operator`, term)),
    ...given(f.operatorPrefix, (term) => startsWith(sql`t.operator`, term)),
    ...some(f.mapIndexes, (indexes) => anyInt(sql`t.map_index`, indexes)),
    ...(f.onlyMapped ? [sql`t.map_index >= 0`] : []),
    ...given(f.renderedPattern, (term) => contains(RENDERED, term)),
    ...given(f.renderedPrefix, (term) => startsWith(RENDERED, term)),
    ...inRange(sql`r.run_after`, f.runAfter ?? {}),
    ...inRange(sql`r.logical_date`, f.logicalDate ?? {}),
    ...open(sql`t.start_date`, f.startDate ?? {}),
    ...open(sql`t.end_date`, f.endDate ?? {}),
    ...inRange(sql`t.updated_at`, f.updatedAt ?? {}),
    ...inRange(sql`t.duration`, f.duration ?? {}),
  ];
}

const isBounded = (range?: Range<string>) => Object.values(range ?? {}).some((bound) => bound !== undefined);

/** The run is looked up only where a filter asks something of it: it multiplies what a count costs by ten. */
function countFrom({ runAfter, logicalDate }: TaskInstanceFilters): Sql {
  return isBounded(runAfter) || isBounded(logicalDate)
    ? sql`task_instance t JOIN dag_run r ON r.id = t.dag_run_id`
    : sql`task_instance t`;
}

/** A page of task instances. Locks nothing. */
export async function listTaskInstances(
  db: Db,
  filters: TaskInstanceFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: TaskInstanceRow[]; total: number }> {
  const where = conditions(filters);
  return listPage<TaskInstanceRow>(db, { select: SELECT, from: FROM, countFrom: countFrom(filters), where, ...page });
}

/** A page of task instances by cursor, and the count up to `most`. Locks nothing. */
export async function listTaskInstancesByCursor(
  db: Db,
  filters: TaskInstanceFilters,
  page: {
    order: readonly SortKey[];
    limit: number;
    from: { values: CursorValues; direction: 'after' | 'before' } | null;
    most: number;
  },
): Promise<CursorPage<TaskInstanceRow> & { total: number }> {
  const where = conditions(filters);
  const parts = { select: SELECT, from: FROM, where, order: page.order, limit: page.limit };
  const found = await listByCursor<TaskInstanceRow>(db, parts, page.from);
  const total = await countRows(db, { from: countFrom(filters), where: all(where), most: page.most });
  return { ...found, total };
}

export type TaskInstanceKey = {
  readonly dagId: string;
  readonly runId: string;
  readonly taskId: string;
  readonly mapIndex: number;
};

/** The live row of one task instance. */
export async function getTaskInstanceRow(db: Db, key: TaskInstanceKey): Promise<TaskInstanceRow | null> {
  const rows = await db.query<TaskInstanceRow>(
    sql`SELECT ${SELECT} FROM ${FROM} WHERE t.dag_id = ${key.dagId} AND t.run_id = ${key.runId}
      AND t.task_id = ${key.taskId} AND t.map_index = ${key.mapIndex}`,
    'rest_ti_get',
  );
  return rows[0] ?? null;
}

/** Live rows by id, in order of run, task and map index. */
export async function getTaskInstancesById(db: Db, ids: readonly string[]): Promise<TaskInstanceRow[]> {
  if (ids.length === 0) return [];
  return db.query<TaskInstanceRow>(
    sql`SELECT ${SELECT} FROM ${FROM} WHERE t.id = ANY(${[...ids]}::uuid[])
      ORDER BY t.dag_run_id, t.task_id, t.map_index`,
  );
}

/** Live rows of some tasks of one run, by task and map index. Locks nothing. */
export async function listTaskInstancesOf(
  db: Db,
  which: { readonly dagId: string; readonly runId: string; readonly taskIds: readonly string[] },
): Promise<TaskInstanceRow[]> {
  return db.query<TaskInstanceRow>(
    sql`SELECT ${SELECT} FROM ${FROM} WHERE t.dag_id = ${which.dagId} AND t.run_id = ${which.runId}
      AND t.task_id = ANY(${[...which.taskIds]}) ORDER BY t.task_id, t.map_index`,
    'rest_ti_of_tasks',
  );
}

/** Map indexes that a task has in a run. */
export async function mapIndexesOf(db: Db, dagId: string, runId: string, taskId: string): Promise<number[]> {
  const rows = await db.query<{ map_index: number }>(
    sql`SELECT map_index FROM task_instance WHERE dag_id = ${dagId} AND run_id = ${runId} AND task_id = ${taskId}
      ORDER BY map_index`,
    'rest_ti_map_indexes',
  );
  return rows.map((row) => row.map_index);
}

/** Task ids that a run has. */
export async function taskIdsOf(db: Db, dagRunId: number): Promise<string[]> {
  const rows = await db.query<{ task_id: string }>(
    sql`SELECT DISTINCT task_id FROM task_instance WHERE dag_run_id = ${dagRunId}`,
  );
  return rows.map((row) => row.task_id);
}

/** Sets the note of one task instance; null removes it. Locks: that row of `task_instance`. */
export async function setTaskNote(
  db: Db,
  ti: { id: string; note: string | null; user: string; nowIso: string },
): Promise<void> {
  await db.query(
    sql`UPDATE task_instance SET note = ${ti.note}, note_user = ${ti.note === null ? null : ti.user},
      updated_at = ${ti.nowIso} WHERE id = ${ti.id}`,
  );
}
