import { type Db, sql } from '../../database.ts';

export type ExistingRun = {
  readonly id: number;
  readonly state: string;
  readonly at: string;
  /** When it began; of a run of a backfill that waits, since when. Null = any other that waits. */
  readonly since: string | null;
};

/** The runs that a Dag has at these logical dates, or for the partitions of these dates. Locks them, by id, when asked to. */
export async function findRunsAt(
  db: Db,
  o: { dagId: string; partitioned: boolean; dates: readonly string[]; lock: boolean },
): Promise<ExistingRun[]> {
  const date = o.partitioned ? sql`partition_date` : sql`logical_date`;
  const rows = sql`SELECT id, state, ${date} AS at,
      COALESCE(start_date, CASE WHEN run_type = 'backfill' THEN queued_at END) AS since FROM dag_run
    WHERE dag_id = ${o.dagId} AND ${date} = ANY(${[...o.dates]}::timestamptz[]) ORDER BY id`;
  return o.lock ? db.query(sql`${rows} FOR NO KEY UPDATE`) : db.query(rows);
}
