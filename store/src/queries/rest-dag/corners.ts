import { type Db, sql } from '../../database.ts';
import { all, type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleDags, visibleIn } from '../team/visible.ts';

export const TAG_ORDER: Readonly<Record<string, Column>> = { name: { expr: sql`tag.name`, type: 'text' } };

/** A page of distinct tag names of Dags that are not stale. Locks nothing. */
export async function listTags(
  db: Db,
  query: {
    visible: Visible;
    pattern?: string;
    prefix?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: Array<{ name: string }>; total: number }> {
  return listPage<{ name: string }>(db, {
    select: sql`tag.name`,
    from: sql`(SELECT DISTINCT t.name FROM dag_tag t JOIN dag d ON d.dag_id = t.dag_id WHERE ${all([
      sql`NOT d.is_stale`,
      ...visibleIn(sql`d.team`, query.visible),
    ])}) tag`,
    where: [
      ...(query.pattern === undefined ? [] : [contains(sql`tag.name`, query.pattern)]),
      ...(query.prefix === undefined ? [] : [startsWith(sql`tag.name`, query.prefix)]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}

export type DagStateCount = {
  readonly dag_id: string;
  readonly dag_display_name: string;
  readonly state: string;
  readonly n: number;
};

/** Runs by Dag and state. An empty list of ids = all visible Dags. Locks nothing. */
export async function countRunsByState(db: Db, visible: Visible, dagIds: readonly string[]): Promise<DagStateCount[]> {
  const which = all([
    ...(dagIds.length === 0 ? [] : [sql`r.dag_id = ANY(${[...dagIds]})`]),
    ...visibleDags(sql`r.dag_id`, visible),
  ]);
  return db.query<DagStateCount>(
    sql`SELECT c.dag_id, d.display_name AS dag_display_name, c.state, c.n FROM (
        SELECT r.dag_id, r.state, count(*)::int8 AS n FROM dag_run r WHERE ${which} GROUP BY r.dag_id, r.state
      ) c JOIN dag d ON d.dag_id = c.dag_id ORDER BY c.dag_id`,
  );
}

export type DagWarningRow = {
  readonly dag_id: string;
  readonly dag_display_name: string;
  readonly warning_type: string;
  readonly message: string;
  readonly at: string;
};
export const WARNING_ORDER: Readonly<Record<string, Column>> = {
  dag_id: { expr: sql`w.dag_id`, type: 'text' },
  warning_type: { expr: sql`w.warning_type`, type: 'text' },
  message: { expr: sql`w.message`, type: 'text' },
  timestamp: { expr: sql`w.at`, type: 'timestamptz' },
};

/** A page of Dag warnings. Locks nothing. */
export async function listWarnings(
  db: Db,
  query: {
    visible: Visible;
    dagId?: string;
    type?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: DagWarningRow[]; total: number }> {
  return listPage<DagWarningRow>(db, {
    select: sql`w.dag_id, d.display_name AS dag_display_name, w.warning_type, w.message, w.at`,
    from: sql`dag_warning w JOIN dag d ON d.dag_id = w.dag_id`,
    where: [
      ...visibleIn(sql`d.team`, query.visible),
      ...(query.dagId === undefined ? [] : [sql`w.dag_id = ${query.dagId}`]),
      ...(query.type === undefined ? [] : [sql`w.warning_type = ${query.type}`]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}

/** What only the details of a Dag show: running runs, and whether this user starred it. */
export async function dagExtras(
  db: Db,
  dagId: string,
  user: string,
): Promise<{ active_runs: number; is_favorite: boolean }> {
  const rows = await db.query<{ active_runs: number; is_favorite: boolean }>(
    sql`SELECT (SELECT count(*) FROM dag_run WHERE state = 'running' AND dag_id = ${dagId})::int AS active_runs,
      EXISTS (SELECT 1 FROM dag_favorite WHERE dag_id = ${dagId} AND user_name = ${user}) AS is_favorite`,
  );
  return rows[0]!;
}
