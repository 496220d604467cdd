import { type Db, join, type Sql, sql } from '../../database.ts';
import {
  type Column,
  contains,
  containsText,
  given,
  inOpenRange,
  listPage,
  type Range,
  type SortKey,
  startsWith,
} from '../rest-list/compose.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

export type DagRow = {
  readonly dag_id: string;
  readonly display_name: string;
  readonly is_paused: boolean;
  readonly is_stale: boolean;
  readonly last_parsed_at: string;
  readonly last_parse_seconds: number | null;
  readonly last_expired_at: string | null;
  readonly bundle_name: string;
  readonly bundle_version: string | null;
  readonly relative_fileloc: string;
  readonly fileloc: string;
  readonly description: string | null;
  readonly timetable_type: string;
  readonly timetable_summary: string | null;
  readonly timetable_description: string | null;
  readonly timetable_periodic: boolean;
  readonly max_active_tasks: number;
  readonly max_active_runs: number;
  readonly max_consecutive_failed_dag_runs: number;
  readonly has_import_errors: boolean;
  readonly next_logical_date: string | null;
  readonly next_interval_start: string | null;
  readonly next_interval_end: string | null;
  readonly next_create_after: string | null;
  readonly allowed_run_types: string[] | null;
  readonly owners: string;
  readonly current_version_id: string | null;
  /** Sorted by name. */
  readonly tags: string[];
};

export const DAG_COLUMNS = sql`d.dag_id, d.display_name, d.is_paused, d.is_stale, d.last_parsed_at, d.last_parse_seconds,
  d.last_expired_at, d.bundle_name, v.bundle_version, d.relative_fileloc, d.fileloc, d.description,
  d.timetable_type, d.timetable_summary, d.timetable_description, d.timetable_periodic, d.max_active_tasks,
  d.max_active_runs, d.max_consecutive_failed_dag_runs, d.has_import_errors, d.next_logical_date, d.next_interval_start,
  d.next_interval_end, d.next_create_after, d.allowed_run_types, d.owners, d.current_version_id,
  ARRAY(SELECT t.name FROM dag_tag t WHERE t.dag_id = d.dag_id ORDER BY t.name) AS tags`;
/** The commit is the Dag's own: other files of its bundle may have been read at a newer one already. */
const FROM = sql`dag d LEFT JOIN dag_version v ON v.id = d.current_version_id`;
const NEWEST_RUN = sql`LEFT JOIN LATERAL (SELECT r.state, r.start_date, r.end_date FROM dag_run r
  WHERE r.dag_id = d.dag_id ORDER BY r.run_after DESC LIMIT 1) newest ON true`;

const newestState: Column = { expr: sql`newest.state`, type: 'text' };
const newestStart: Column = { expr: sql`newest.start_date`, type: 'timestamptz' };
const dagId: Column = { expr: sql`d.dag_id`, type: 'text' };
export const DAG_ORDER: Readonly<Record<string, Column>> = {
  dag_id: dagId,
  dag_display_name: { expr: sql`d.display_name`, type: 'text' },
  next_dagrun: { expr: sql`d.next_logical_date`, type: 'timestamptz' },
  last_run_state: newestState,
  last_run_start_date: newestStart,
};

export type DagFilters = {
  readonly visible: Visible;
  readonly tags?: readonly string[];
  readonly tagsMatch?: 'any' | 'all';
  readonly owners?: readonly string[];
  readonly dagIdPattern?: string;
  readonly dagIdPrefix?: string;
  readonly displayNamePattern?: string;
  readonly displayNamePrefix?: string;
  readonly excludeStale?: boolean;
  readonly paused?: boolean;
  readonly hasImportErrors?: boolean;
  readonly lastRunState?: string;
  readonly runState?: readonly string[];
  readonly runStartDate?: Range<string>;
  readonly runEndDate?: Range<string>;
  readonly bundleName?: string;
  readonly bundleVersion?: string;
  readonly timetableTypes?: readonly string[];
  readonly hasAssetSchedule?: boolean;
  readonly assetDependency?: string;
  readonly favoriteOf?: { readonly user: string; readonly is: boolean };
  readonly nowIso: string;
};

const ASSET_TIMETABLES = ['AssetTriggeredTimetable', 'PartitionedAssetTimetable', 'AssetOrTimeSchedule'];
const isBounded = (range?: Range<string>) =>
  range !== undefined && Object.values(range).some((bound) => bound !== undefined);

/** Conditions on `dag d`, and on `newest` where a filter looks at the newest run. */
export function dagConditions(filters: DagFilters): Sql[] {
  const tags = [...new Set(filters.tags ?? [])];
  const matching = sql`(SELECT count(*) FROM dag_tag t WHERE t.dag_id = d.dag_id AND t.name = ANY(${tags}))`;
  const owners = filters.owners ?? [];
  return [
    ...visibleIn(sql`d.team`, filters.visible),
    ...(tags.length === 0
      ? []
      : [filters.tagsMatch === 'all' ? sql`${matching} = ${tags.length}` : sql`${matching} > 0`]),
    ...(owners.length === 0
      ? []
      : [
          sql`(${join(
            owners.map((owner) => containsText(sql`d.owners`, owner)),
            ' OR ',
          )})`,
        ]),
    ...given(filters.dagIdPattern, (term) => contains(sql`d.dag_id`, term)),
    ...given(filters.dagIdPrefix, (term) => startsWith(sql`d.dag_id`, term)),
    ...given(filters.displayNamePattern, (term) => contains(sql`d.display_name`, term)),
    ...given(filters.displayNamePrefix, (term) => startsWith(sql`d.display_name`, term)),
    ...(filters.excludeStale === false ? [] : [sql`NOT d.is_stale`]),
    ...given(filters.paused, (paused) => sql`d.is_paused = ${paused}`),
    ...given(filters.hasImportErrors, (has) => sql`d.has_import_errors = ${has}`),
    ...given(filters.lastRunState, (state) => sql`newest.state = ${state}`),
    ...((filters.runState ?? []).length === 0 ? [] : [sql`newest.state = ANY(${[...filters.runState!]})`]),
    ...inOpenRange(sql`newest.start_date`, filters.runStartDate ?? {}, filters.nowIso),
    ...inOpenRange(sql`newest.end_date`, filters.runEndDate ?? {}, filters.nowIso),
    ...given(filters.bundleName, (name) => sql`d.bundle_name = ${name}`),
    ...given(filters.bundleVersion, (version) => sql`v.bundle_version = ${version}`),
    ...((filters.timetableTypes ?? []).length === 0
      ? []
      : [sql`d.timetable_type = ANY(${[...filters.timetableTypes!]})`]),
    ...given(filters.hasAssetSchedule, (has) => sql`(d.timetable_type = ANY(${ASSET_TIMETABLES})) = ${has}`),
    ...given(filters.assetDependency, (term) => containsText(sql`COALESCE(d.timetable_description, '')`, term)),
    ...given(filters.favoriteOf, ({ user, is }) => {
      return sql`EXISTS (SELECT 1 FROM dag_favorite f WHERE f.dag_id = d.dag_id AND f.user_name = ${user}) = ${is}`;
    }),
  ];
}

function looksAtRuns(filters: DagFilters, order: readonly SortKey[]): boolean {
  return (
    filters.lastRunState !== undefined ||
    (filters.runState ?? []).length > 0 ||
    isBounded(filters.runStartDate) ||
    isBounded(filters.runEndDate) ||
    order.some((key) => key.column === newestState || key.column === newestStart)
  );
}

/** A page of Dags. Looks at runs only when a filter or the order does. Locks nothing. */
export async function listDags(
  db: Db,
  filters: DagFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: DagRow[]; total: number }> {
  const from = looksAtRuns(filters, page.order) ? sql`${FROM} ${NEWEST_RUN}` : FROM;
  return listPage<DagRow>(db, { select: DAG_COLUMNS, from, where: dagConditions(filters), ...page });
}

/** One Dag. */
export async function getDagRow(db: Db, id: string): Promise<DagRow | null> {
  const rows = await db.query<DagRow>(sql`SELECT ${DAG_COLUMNS} FROM ${FROM} WHERE d.dag_id = ${id}`, 'rest_dag_get');
  return rows[0] ?? null;
}

/** Whether there is such a Dag. */
export async function dagExists(db: Db, id: string): Promise<boolean> {
  const rows = await db.query(sql`SELECT 1 FROM dag WHERE dag_id = ${id}`, 'rest_dag_exists');
  return rows.length > 0;
}
