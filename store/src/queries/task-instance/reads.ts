/** What a try may ask about itself and others. The caller's row and the answer come from one statement. */
import { type Db, type Sql, sql } from '../../database.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';

/** `allowed`: the token is live and the right holds; otherwise `data` was not even looked up. */
export type With<T> = CallerRow & { readonly allowed: boolean; readonly data: T };

/**
 * The caller's row with `data` beside it. `data` is evaluated only for a live token whose right (`allowed`, SQL over the
 * caller's row `c`) holds: PostgreSQL runs the sub-select of a CASE branch only when the branch is taken.
 * Locks nothing. @returns null when there is no live row of this id.
 */
export async function readForCaller<T>(
  db: Db,
  key: CallerKey,
  data: { readonly name: string; readonly value: Sql; readonly allowed?: Sql },
): Promise<With<T> | null> {
  const rows = await db.query<With<T>>(
    sql`WITH k AS (SELECT ${callerColumns(key)} FROM task_instance t WHERE t.id = ${key.id}),
      c AS MATERIALIZED (SELECT c.*, c.live AND ${data.allowed ?? sql`true`} AS allowed FROM k c)
      SELECT c.*, CASE WHEN c.allowed THEN ${data.value} END AS data FROM c`,
    data.name,
  );
  return rows[0] ?? null;
}

/** The caller's row alone. Locks nothing. @returns null when there is no live row of this id */
export async function readCaller(db: Db, key: CallerKey): Promise<CallerRow | null> {
  const rows = await db.query<CallerRow>(
    sql`SELECT ${callerColumns(key)} FROM task_instance t WHERE t.id = ${key.id}`,
    'ti_caller',
  );
  return rows[0] ?? null;
}

export type SuccessfulRun = {
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
};

/** Latest successful run of the caller's Dag with an earlier logical date; null when none. */
export async function previousSuccessfulRun(db: Db, key: CallerKey): Promise<With<SuccessfulRun | null> | null> {
  return await readForCaller<SuccessfulRun | null>(db, key, {
    name: 'ti_previous_successful_run',
    value: sql`(SELECT json_build_object('data_interval_start', p.data_interval_start, 'data_interval_end',
        p.data_interval_end, 'start_date', p.start_date, 'end_date', p.end_date)
      FROM dag_run r JOIN dag_run p ON p.dag_id = r.dag_id AND p.state = 'success' AND p.logical_date < r.logical_date
      WHERE r.id = c.dag_run_id ORDER BY p.logical_date DESC LIMIT 1)`,
  });
}

/** Start of the first reschedule record of the caller; null when none. */
export async function firstReschedule(db: Db, key: CallerKey): Promise<With<string | null> | null> {
  return await readForCaller<string | null>(db, key, {
    name: 'ti_first_reschedule',
    value: sql`(SELECT min(s.start_date) FROM task_reschedule s WHERE s.ti_id = c.id)`,
  });
}

export type InstanceFilter = {
  readonly dagId: string;
  readonly mapIndex: number | null;
  /** Null = every task; group and `task_ids` are united by the caller. */
  readonly taskIds: readonly string[] | null;
  readonly logicalDates: readonly string[] | null;
  readonly runIds: readonly string[] | null;
};

function matching(filter: InstanceFilter): Sql {
  return sql`o.dag_id = ${filter.dagId}
    AND (${filter.mapIndex}::integer IS NULL OR o.map_index = ${filter.mapIndex}::integer)
    AND (${filter.taskIds}::text[] IS NULL OR o.task_id = ANY(${filter.taskIds}::text[]))
    AND (${filter.runIds}::text[] IS NULL OR o.run_id = ANY(${filter.runIds}::text[]))
    AND (${filter.logicalDates}::timestamptz[] IS NULL OR EXISTS (SELECT 1 FROM dag_run r
      WHERE r.id = o.dag_run_id AND r.logical_date = ANY(${filter.logicalDates}::timestamptz[])))`;
}

/** How many task instances match; a null among `states` means "no state". `allowed` as in `readForCaller`. */
export async function countInstances(
  db: Db,
  key: CallerKey,
  filter: InstanceFilter & { readonly states: ReadonlyArray<string | null> | null },
  allowed: Sql,
): Promise<With<number | null> | null> {
  return await readForCaller<number | null>(db, key, {
    name: 'ti_count',
    allowed,
    value: sql`(SELECT count(*)::integer FROM task_instance o WHERE ${matching(filter)}
      AND (${filter.states}::text[] IS NULL OR o.state = ANY(${filter.states}::text[])
        OR (o.state IS NULL AND array_position(${filter.states}::text[], NULL) IS NOT NULL)))`,
  });
}

export type InstanceState = {
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
};

/** The states of the task instances that match. `allowed` as in `readForCaller`. */
export async function listInstanceStates(
  db: Db,
  key: CallerKey,
  filter: InstanceFilter,
  allowed: Sql,
): Promise<With<InstanceState[] | null> | null> {
  return await readForCaller<InstanceState[] | null>(db, key, {
    name: 'ti_states',
    allowed,
    value: sql`(SELECT COALESCE(json_agg(json_build_object('run_id', o.run_id, 'task_id', o.task_id, 'map_index', o.map_index,
        'state', o.state) ORDER BY o.run_id, o.task_id, o.map_index), '[]') FROM task_instance o WHERE ${matching(filter)})`,
  });
}

/** The module of the caller's own Dag version. */
export async function readModule(
  db: Db,
  key: CallerKey,
): Promise<With<{ readonly hash: string; readonly code: string } | null> | null> {
  return await readForCaller(db, key, {
    name: 'ti_module',
    value: sql`(SELECT json_build_object('hash', m.hash, 'code', m.code) FROM task_instance t
      JOIN dag_version v ON v.id = t.dag_version_id JOIN dag_module m ON m.hash = v.module_hash WHERE t.id = c.id)`,
  });
}
