import { type Db, sql } from '../../database.ts';
import { all, type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleBundles } from '../team/visible.ts';

export type ImportErrorRow = {
  readonly id: number;
  readonly bundle_name: string;
  readonly filename: string;
  readonly stack_trace: string;
  readonly at: string;
};

const id: Column = { expr: sql`e.id`, type: 'int8' };
export const IMPORT_ERROR_ORDER: Readonly<Record<string, Column>> = {
  id,
  import_error_id: id,
  timestamp: { expr: sql`e.at`, type: 'timestamptz' },
  filename: { expr: sql`e.filename`, type: 'text' },
  bundle_name: { expr: sql`e.bundle_name`, type: 'text' },
  stacktrace: { expr: sql`e.stack_trace`, type: 'text' },
};
const SELECT = sql`e.id, e.bundle_name, e.filename, e.stack_trace, e.at`;

/** A page of import errors. Locks nothing. */
export async function listImportErrors(
  db: Db,
  query: {
    visible: Visible;
    filename?: string;
    bundleName?: string;
    filenamePattern?: string;
    filenamePrefix?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: ImportErrorRow[]; total: number }> {
  return listPage<ImportErrorRow>(db, {
    select: SELECT,
    from: sql`import_error e`,
    where: [
      ...visibleBundles(sql`e.bundle_name`, query.visible),
      ...(query.filename === undefined ? [] : [sql`e.filename = ${query.filename}`]),
      ...(query.bundleName === undefined ? [] : [sql`e.bundle_name = ${query.bundleName}`]),
      ...(query.filenamePattern === undefined ? [] : [contains(sql`e.filename`, query.filenamePattern)]),
      ...(query.filenamePrefix === undefined ? [] : [startsWith(sql`e.filename`, query.filenamePrefix)]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}

/** One import error. */
export async function getImportError(db: Db, visible: Visible, errorId: number): Promise<ImportErrorRow | null> {
  const where = all([sql`e.id = ${errorId}`, ...visibleBundles(sql`e.bundle_name`, visible)]);
  const rows = await db.query<ImportErrorRow>(sql`SELECT ${SELECT} FROM import_error e WHERE ${where}`);
  return rows[0] ?? null;
}
