import { type Db, type Sql, sql } from '../../database.ts';
import { all, anyInt, type Column, listPage, type SortKey } from '../rest-list/compose.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

export type DagVersionRow = {
  readonly id: string;
  readonly version_number: number;
  readonly dag_id: string;
  readonly bundle_name: string;
  readonly bundle_version: string | null;
  readonly created_at: string;
  readonly dag_display_name: string;
};

const SELECT = sql`v.id, v.version_number, v.dag_id, v.bundle_name, v.bundle_version, v.created_at,
  d.display_name AS dag_display_name`;
const FROM = sql`dag_version v JOIN dag d ON d.dag_id = v.dag_id`;
const text = (expr: Sql): Column => ({ expr, type: 'text' });
export const DAG_VERSION_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`v.id`, type: 'uuid' },
  version_number: { expr: sql`v.version_number`, type: 'int8' },
  bundle_name: text(sql`v.bundle_name`),
  bundle_version: text(sql`v.bundle_version`),
};

/** A page of Dag versions. `dagId` null = of all Dags. Locks nothing. */
export async function listDagVersions(
  db: Db,
  query: {
    visible: Visible;
    dagId: string | null;
    versionNumbers: readonly number[];
    bundleName?: string;
    bundleVersion?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: DagVersionRow[]; total: number }> {
  return listPage<DagVersionRow>(db, {
    select: SELECT,
    from: FROM,
    where: [
      ...visibleIn(sql`d.team`, query.visible),
      ...visibleIn(sql`v.team`, query.visible),
      ...(query.dagId === null ? [] : [sql`v.dag_id = ${query.dagId}`]),
      ...(query.versionNumbers.length === 0 ? [] : [anyInt(sql`v.version_number`, query.versionNumbers)]),
      ...(query.bundleName === undefined ? [] : [sql`v.bundle_name = ${query.bundleName}`]),
      ...(query.bundleVersion === undefined ? [] : [sql`v.bundle_version = ${query.bundleVersion}`]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}

/** One version by number. Whether the Dag is visible is decided before; this asks for the team that the version was stored for. */
export async function getDagVersion(
  db: Db,
  visible: Visible,
  dagId: string,
  versionNumber: number,
): Promise<DagVersionRow | null> {
  const where = all([
    sql`v.dag_id = ${dagId}`,
    sql`v.version_number = ${versionNumber}`,
    ...visibleIn(sql`v.team`, visible),
  ]);
  const rows = await db.query<DagVersionRow>(sql`SELECT ${SELECT} FROM ${FROM} WHERE ${where}`);
  return rows[0] ?? null;
}

/** Versions by id, in any order. */
export async function getDagVersionsById(db: Db, ids: readonly string[]): Promise<DagVersionRow[]> {
  if (ids.length === 0) return [];
  return db.query<DagVersionRow>(
    sql`SELECT ${SELECT} FROM ${FROM} WHERE v.id = ANY(${[...ids]}::uuid[])`,
    'rest_versions_by_id',
  );
}

/** Source text of a version, by default of the newest that may be seen, as above. */
export async function getDagSource(
  db: Db,
  visible: Visible,
  dagId: string,
  versionNumber: number | null,
): Promise<{ source: string; version_number: number; dag_display_name: string } | null> {
  const rows = await db.query<{ source: string; version_number: number; dag_display_name: string }>(
    sql`SELECT v.source, v.version_number, d.display_name AS dag_display_name FROM ${FROM}
      WHERE ${all([
        sql`v.dag_id = ${dagId}`,
        sql`(${versionNumber}::int IS NULL OR v.version_number = ${versionNumber})`,
        ...visibleIn(sql`v.team`, visible),
      ])}
      ORDER BY v.version_number DESC LIMIT 1`,
  );
  return rows[0] ?? null;
}
