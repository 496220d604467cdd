import { type Db, sql } from '../../database.ts';

export type DagFile = {
  readonly bundle_name: string;
  readonly relative_fileloc: string;
  /** Of the bundle, and so of every Dag in the file. */
  readonly team: string | null;
};

/** The file with Dags that a token stands for: the SHA-256 of bundle, NUL and path. Locks nothing. */
export async function findFileByToken(db: Db, sha256: Buffer): Promise<DagFile | null> {
  const rows = await db.query<DagFile>(
    sql`SELECT bundle_name, relative_fileloc, team FROM dag
      WHERE sha256(convert_to(bundle_name, 'UTF8') || '\\x00'::bytea || convert_to(relative_fileloc, 'UTF8')) = ${sha256}
      LIMIT 1`,
    'dag_file_by_token',
  );
  return rows[0] ?? null;
}

/**
 * Makes a file count as never parsed: its dag-processor parses it at its next look, whatever its content. Locks: its row.
 * @returns false when that is pending already
 */
export async function forgetParse(db: Db, file: DagFile): Promise<boolean> {
  const rows = await db.query(
    sql`DELETE FROM dag_file WHERE bundle_name = ${file.bundle_name} AND relative_fileloc = ${file.relative_fileloc}
      RETURNING 1`,
    'dag_file_forget',
  );
  return rows.length > 0;
}
