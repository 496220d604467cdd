import { type Db, type Sql, sql } from '../../database.ts';
import {
  type Column,
  contains,
  given,
  inRange,
  listPage,
  type Range,
  type SortKey,
  startsWith,
} from '../rest-list/compose.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

export type XComRow = {
  readonly key: string;
  readonly at: string;
  readonly logical_date: string | null;
  readonly map_index: number;
  readonly task_id: string;
  readonly dag_id: string;
  readonly run_id: string;
  readonly dag_display_name: string;
  readonly task_display_name: string;
  readonly run_after: string;
};

const SELECT = sql`x.key, x.at, r.logical_date, x.map_index, x.task_id, x.dag_id, x.run_id,
  d.display_name AS dag_display_name, COALESCE(t.task_display_name, x.task_id) AS task_display_name, r.run_after`;
const FROM = sql`xcom x JOIN dag_run r ON r.id = x.dag_run_id JOIN dag d ON d.dag_id = x.dag_id
  LEFT JOIN task_instance t ON t.dag_run_id = x.dag_run_id AND t.task_id = x.task_id AND t.map_index = x.map_index`;

const text = (expr: Sql): Column => ({ expr, type: 'text' });
const instant = (expr: Sql): Column => ({ expr, type: 'timestamptz' });
export const XCOM_ORDER: Readonly<Record<string, Column>> = {
  key: text(sql`x.key`),
  dag_id: text(sql`x.dag_id`),
  run_id: text(sql`x.run_id`),
  task_id: text(sql`x.task_id`),
  map_index: { expr: sql`x.map_index`, type: 'int8' },
  timestamp: instant(sql`x.at`),
  run_after: instant(sql`r.run_after`),
};

export type XComFilters = {
  readonly visible: Visible;
  /** Null = any. */
  readonly dagId: string | null;
  readonly runId: string | null;
  readonly taskId: string | null;
  readonly key?: string;
  readonly mapIndexes?: readonly number[];
  readonly keyPattern?: string;
  readonly keyPrefix?: string;
  readonly dagNamePattern?: string;
  readonly dagNamePrefix?: string;
  readonly runIdPattern?: string;
  readonly runIdPrefix?: string;
  readonly taskIdPattern?: string;
  readonly taskIdPrefix?: string;
  readonly logicalDate?: Range<string>;
  readonly runAfter?: Range<string>;
};

/** A page of XComs, without their values. Locks nothing. */
export async function listXComs(
  db: Db,
  f: XComFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: XComRow[]; total: number }> {
  const indexes = f.mapIndexes ?? [];
  return listPage<XComRow>(db, {
    select: SELECT,
    from: FROM,
    where: [
      ...visibleIn(sql`d.team`, f.visible),
      // With both names given the run is looked up once, so that the primary key of xcom serves the rest.
      ...(f.dagId === null || f.runId === null
        ? [
            ...given(f.dagId ?? undefined, (id) => sql`x.dag_id = ${id}`),
            ...given(f.runId ?? undefined, (id) => sql`x.run_id = ${id}`),
          ]
        : [sql`x.dag_run_id = (SELECT id FROM dag_run WHERE dag_id = ${f.dagId} AND run_id = ${f.runId})`]),
      ...given(f.taskId ?? undefined, (id) => sql`x.task_id = ${id}`),
      ...given(f.key, (key) => sql`x.key = ${key}`),
      ...(indexes.length === 0 ? [] : [sql`x.map_index = ANY(${[...indexes]}::int[])`]),
      ...given(f.keyPattern, (term) => contains(sql`x.key`, term)),
      ...given(f.keyPrefix, (term) => startsWith(sql`x.key`, term)),
      ...given(f.dagNamePattern, (term) => contains(sql`d.display_name`, term)),
      ...given(f.dagNamePrefix, (term) => startsWith(sql`d.display_name`, term)),
      ...given(f.runIdPattern, (term) => contains(sql`x.run_id`, term)),
      ...given(f.runIdPrefix, (term) => startsWith(sql`x.run_id`, term)),
      ...given(f.taskIdPattern, (term) => contains(sql`x.task_id`, term)),
      ...given(f.taskIdPrefix, (term) => startsWith(sql`x.task_id`, term)),
      ...inRange(sql`r.logical_date`, f.logicalDate ?? {}),
      ...inRange(sql`r.run_after`, f.runAfter ?? {}),
    ],
    ...page,
  });
}

/** One XCom with its value as the JSON text that was sent. */
export async function getXCom(
  db: Db,
  which: { dagId: string; runId: string; taskId: string; mapIndex: number; key: string },
): Promise<(XComRow & { readonly value: string | null }) | null> {
  const rows = await db.query<XComRow & { value: string | null }>(
    sql`SELECT ${SELECT}, x.value::text AS value FROM ${FROM}
      WHERE x.dag_run_id = (SELECT id FROM dag_run WHERE dag_id = ${which.dagId} AND run_id = ${which.runId})
        AND x.task_id = ${which.taskId} AND x.map_index = ${which.mapIndex} AND x.key = ${which.key}`,
    'rest_xcom_get',
  );
  return rows[0] ?? null;
}
