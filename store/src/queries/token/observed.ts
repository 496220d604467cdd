/** What tasks without declared needs use. */
import { type Db, sql } from '../../database.ts';

/** Kinds that needs can say, and kinds that they can't. */
export const NEED_KINDS = ['connections', 'variables', 'xcoms', 'assets', 'dags', 'tasks'] as const;
export type UseKind =
  | (typeof NEED_KINDS)[number]
  | 'variable_writes'
  | 'xcom_reads'
  | 'xcom_writes'
  | 'run_reads'
  | 'task_reads'
  | 'asset_reads'
  | 'asset_writes';

export type ObservedUse = {
  readonly dag_id: string;
  readonly task_id: string;
  readonly kind: UseKind;
  readonly name: string;
  readonly uses: number;
};

/** Names of one kind that are told apart for one task; what comes after counts as `*`. */
export const MAX_NAMES = 1000;

/** Adds uses to what is known. Uses of a Dag that is gone are dropped. Locks: the rows, in the order of their keys. */
export async function addObservedUses(db: Db, uses: readonly ObservedUse[], nowIso: string): Promise<void> {
  if (uses.length === 0) return;
  await db.query(
    sql`WITH x AS (
        SELECT j.dag_id, j.task_id, j.kind, CASE WHEN o.name IS NOT NULL OR (SELECT count(*) FROM observed_use n
            WHERE n.dag_id = j.dag_id AND n.task_id = j.task_id AND n.kind = j.kind) < ${MAX_NAMES}::integer
          THEN j.name ELSE '*' END AS name, j.uses
        FROM json_to_recordset(${JSON.stringify(uses)}::json) AS j (dag_id text, task_id text, kind text, name text, uses bigint)
        JOIN dag d ON d.dag_id = j.dag_id
        LEFT JOIN observed_use o ON o.dag_id = j.dag_id AND o.task_id = j.task_id AND o.kind = j.kind AND o.name = j.name)
      INSERT INTO observed_use (dag_id, task_id, kind, name, uses, first_at, last_at)
      SELECT dag_id, task_id, kind, name, sum(uses), ${nowIso}::timestamptz, ${nowIso}::timestamptz FROM x
      GROUP BY dag_id, task_id, kind, name ORDER BY dag_id, task_id, kind, name
      ON CONFLICT (dag_id, task_id, kind, name) DO UPDATE SET uses = observed_use.uses + excluded.uses,
        last_at = GREATEST(observed_use.last_at, excluded.last_at)`,
    'observed_use_add',
  );
}

export type ObservedRow = Omit<ObservedUse, 'dag_id'> & { readonly first_at: string; readonly last_at: string };

/** All that the tasks of a Dag have used. Locks nothing. */
export async function listObservedUses(db: Db, dagId: string): Promise<ObservedRow[]> {
  return db.query<ObservedRow>(
    sql`SELECT task_id, kind, name, uses, first_at, last_at FROM observed_use WHERE dag_id = ${dagId}
      ORDER BY task_id, kind, name`,
    'observed_use_list',
  );
}
