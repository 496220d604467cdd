import { type Db, sql } from '../../database.ts';

/** Which runs of a Dag, by what they are a partition of. */
export type PartitionSelector =
  | { readonly kind: 'run'; readonly runId: string }
  | { readonly kind: 'key'; readonly key: string }
  /** Partition dates, inclusive; null = open. */
  | { readonly kind: 'window'; readonly from: string | null; readonly to: string | null };

export type PartitionRun = { readonly id: number; readonly run_id: string; readonly in_partition: boolean };

/** At most `limit` runs, by partition date and name. Locks nothing. */
export async function selectPartitionRuns(
  db: Db,
  dagId: string,
  selector: PartitionSelector,
  limit: number,
): Promise<PartitionRun[]> {
  const which =
    selector.kind === 'run'
      ? sql`run_id = ${selector.runId}`
      : selector.kind === 'key'
        ? sql`partition_key = ${selector.key}`
        : sql`(partition_key IS NOT NULL OR partition_date IS NOT NULL)
          AND (${selector.from}::timestamptz IS NULL OR partition_date >= ${selector.from}::timestamptz)
          AND (${selector.to}::timestamptz IS NULL OR partition_date <= ${selector.to}::timestamptz)`;
  return db.query<PartitionRun>(
    sql`SELECT id, run_id, (partition_key IS NOT NULL OR partition_date IS NOT NULL) AS in_partition FROM dag_run
      WHERE dag_id = ${dagId} AND ${which} ORDER BY partition_date, run_id LIMIT ${limit}`,
  );
}

/** Takes runs out of their partitions. Locks: the dag_run rows. */
export async function leavePartitions(db: Db, ids: readonly number[], nowIso: string): Promise<void> {
  await db.query(
    sql`UPDATE dag_run SET partition_key = NULL, partition_date = NULL, updated_at = ${nowIso}::timestamptz
      WHERE id = ANY(${[...ids]}::bigint[])`,
    'rest_run_leave_partitions',
  );
}
