import { type Db, type Sql, sql } from '../../database.ts';
import { visibleAssets } from '../rest-asset/visible.ts';
import {
  all,
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

export type RunRow = {
  readonly id: number;
  readonly dag_id: string;
  readonly dag_display_name: string;
  readonly run_id: string;
  readonly state: string;
  readonly run_type: string;
  readonly triggered_by: string;
  readonly triggering_user_name: string | null;
  readonly logical_date: string | null;
  readonly data_interval_start: string | null;
  readonly data_interval_end: string | null;
  readonly run_after: string;
  readonly queued_at: string | null;
  readonly start_date: string | null;
  readonly end_date: string | null;
  readonly duration: number | null;
  readonly last_scheduling_decision: string | null;
  /** JSON text. */
  readonly conf: string;
  readonly note: string | null;
  readonly bundle_version: string | null;
  readonly partition_key: string | null;
  readonly partition_date: string | null;
  /** Versions that its task instances use, oldest first. */
  readonly version_ids: string[];
};

const DURATION = sql`extract(epoch FROM r.end_date - r.start_date)::float8`;
const SELECT = sql`r.id, r.dag_id, d.display_name AS dag_display_name, r.run_id, r.state, r.run_type, r.triggered_by,
  r.triggering_user_name, r.logical_date, r.data_interval_start, r.data_interval_end, r.run_after, r.queued_at,
  r.start_date, r.end_date, ${DURATION} AS duration, r.last_scheduling_decision, r.conf::text AS conf, r.note,
  r.bundle_version, r.partition_key, r.partition_date,
  ARRAY(SELECT DISTINCT used.id FROM (
    SELECT r.created_version_id AS id UNION ALL SELECT t.dag_version_id FROM task_instance t WHERE t.dag_run_id = r.id
  ) used WHERE used.id IS NOT NULL ORDER BY 1) AS version_ids`;
const FROM = sql`dag_run r JOIN dag d ON d.dag_id = r.dag_id`;

const text = (expr: Sql): Column => ({ expr, type: 'text' });
const instant = (expr: Sql): Column => ({ expr, type: 'timestamptz' });
export const RUN_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`r.id`, type: 'int8' },
  state: text(sql`r.state`),
  dag_id: text(sql`r.dag_id`),
  run_id: text(sql`r.run_id`),
  dag_run_id: text(sql`r.run_id`),
  logical_date: instant(sql`r.logical_date`),
  partition_date: instant(sql`r.partition_date`),
  run_after: instant(sql`r.run_after`),
  start_date: instant(sql`r.start_date`),
  end_date: instant(sql`r.end_date`),
  updated_at: instant(sql`r.updated_at`),
  conf: text(sql`r.conf::text`),
  duration: { expr: DURATION, type: 'float8' },
};

export type RunFilters = {
  readonly visible: Visible;
  /** Null = runs of all Dags. */
  readonly dagIds: readonly string[] | null;
  readonly runAfter?: Range<string>;
  readonly logicalDate?: Range<string>;
  readonly startDate?: Range<string>;
  readonly endDate?: Range<string>;
  readonly updatedAt?: Range<string>;
  readonly duration?: Range<number>;
  /** Whether a NULL start or end counts as "now, still open". */
  readonly openRanges: boolean;
  readonly confContains?: string;
  readonly runTypes?: readonly string[];
  readonly states?: ReadonlyArray<string | null>;
  readonly versionNumbers?: readonly number[];
  readonly bundleVersion?: string;
  readonly runIdPattern?: string;
  readonly runIdPrefix?: string;
  readonly userPattern?: string;
  readonly userPrefix?: string;
  readonly dagIdPattern?: string;
  readonly dagIdPrefix?: string;
  readonly partitionDate?: Range<string>;
  /** Part of the name or uri of an asset whose events the run has consumed, whatever its case. */
  readonly consumingAsset?: string;
  readonly partitionKeyPattern?: string;
  readonly partitionKeyPrefix?: string;
  readonly nowIso: string;
};

const some = <T>(values: readonly T[] | undefined, make: (values: readonly T[]) => Sql): Sql[] =>
  values === undefined || values.length === 0 ? [] : [make(values)];

function conditions(f: RunFilters): Sql[] {
  const open = (column: Sql, range: Range<string>) =>
    f.openRanges ? inOpenRange(column, range, f.nowIso) : inRange(column, range);
  return [
    ...visibleDags(sql`r.dag_id`, f.visible),
    ...(f.dagIds === null
      ? []
      : [f.dagIds.length === 1 ? sql`r.dag_id = ${f.dagIds[0]}` : sql`r.dag_id = ANY(${[...f.dagIds]})`]),
    ...inRange(sql`r.run_after`, f.runAfter ?? {}),
    ...inRange(sql`r.logical_date`, f.logicalDate ?? {}),
    ...open(sql`r.start_date`, f.startDate ?? {}),
    ...open(sql`r.end_date`, f.endDate ?? {}),
    ...inRange(sql`r.updated_at`, f.updatedAt ?? {}),
    ...inRange(DURATION, f.duration ?? {}),
    ...inRange(sql`r.partition_date`, f.partitionDate ?? {}),
    ...given(f.consumingAsset, (term) => {
      const seen = all(visibleAssets(f.visible));
      return sql`EXISTS (SELECT 1 FROM dag_run_asset_event x JOIN asset_event e ON e.id = x.event_id JOIN asset a ON a.id = e.asset_id
        WHERE x.dag_run_id = r.id AND (position(lower(${term}) IN lower(a.name)) > 0 OR position(lower(${term}) IN lower(a.uri)) > 0)
          AND ${seen})`;
    }),
    ...given(f.confContains, (term) => sql`position(${term} IN r.conf::text) > 0`),
    ...some(f.runTypes, (types) => sql`r.run_type = ANY(${[...types]})`),
    ...some(f.states, (states) => anyOf(sql`r.state`, states)),
    ...some(f.versionNumbers, (numbers) => {
      return sql`EXISTS (SELECT 1 FROM dag_version v WHERE v.dag_id = r.dag_id AND v.version_number = ANY(${[...numbers]}::int[])
        AND (v.id = r.created_version_id OR EXISTS (
          SELECT 1 FROM task_instance t WHERE t.dag_run_id = r.id AND t.dag_version_id = v.id)))`;
    }),
    ...given(f.bundleVersion, (version) => sql`r.bundle_version = ${version}`),
    ...given(f.runIdPattern, (term) => contains(sql`r.run_id`, term)),
    ...given(f.runIdPrefix, (term) => startsWith(sql`r.run_id`, term)),
    ...given(f.userPattern, (term) => contains(sql`r.triggering_user_name`, term)),
    ...given(f.userPrefix, (term) => startsWith(sql`r.triggering_user_name`, term)),
    ...given(f.dagIdPattern, (term) => contains(sql`r.dag_id`, term)),
    ...given(f.dagIdPrefix, (term) => startsWith(sql`r.dag_id`, term)),
    ...given(f.partitionKeyPattern, (term) => contains(sql`r.partition_key`, term, { or: false })),
    ...given(f.partitionKeyPrefix, (term) => startsWith(sql`r.partition_key`, term, { or: false })),
  ];
}

/** A page of runs. Locks nothing. */
export async function listRuns(
  db: Db,
  filters: RunFilters,
  page: { order: readonly SortKey[]; limit: number; offset: number },
): Promise<{ rows: RunRow[]; total: number }> {
  return listPage<RunRow>(db, {
    select: SELECT,
    from: FROM,
    countFrom: sql`dag_run r`,
    where: conditions(filters),
    ...page,
  });
}

/** A page of runs by cursor, and the count up to `most`. Locks nothing. */
export async function listRunsByCursor(
  db: Db,
  filters: RunFilters,
  page: {
    order: readonly SortKey[];
    limit: number;
    from: { values: CursorValues; direction: 'after' | 'before' } | null;
    most: number;
  },
): Promise<CursorPage<RunRow> & { total: number }> {
  const where = conditions(filters);
  const parts = { select: SELECT, from: FROM, where, order: page.order, limit: page.limit };
  const found = await listByCursor<RunRow>(db, parts, page.from);
  const total = await countRows(db, { from: sql`dag_run r`, where: all(where), most: page.most });
  return { ...found, total };
}

/** One run. */
export async function getRunRow(db: Db, dagId: string, runId: string): Promise<RunRow | null> {
  const rows = await db.query<RunRow>(
    sql`SELECT ${SELECT} FROM ${FROM} WHERE r.dag_id = ${dagId} AND r.run_id = ${runId}`,
    'rest_run_get',
  );
  return rows[0] ?? null;
}

/** Sets the note of a run; null removes it. Locks: that row of `dag_run`. */
export async function setRunNote(
  db: Db,
  run: { id: number; note: string | null; user: string; nowIso: string },
): Promise<void> {
  await db.query(
    sql`UPDATE dag_run SET note = ${run.note}, note_user = ${run.note === null ? null : run.user},
      updated_at = ${run.nowIso} WHERE id = ${run.id}`,
  );
}
