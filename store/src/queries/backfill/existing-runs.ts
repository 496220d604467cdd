import { type Db, sql } from '../../database.ts';

export type ExistingRun = { readonly id: number; readonly state: string; readonly logical_date: string };

/** The runs that a Dag has at these logical dates, epoch ms. Locks them, by id, when asked to. */
export async function findRunsAt(
  db: Db,
  o: { dagId: string; logicalDates: readonly string[]; lock: boolean },
): Promise<ExistingRun[]> {
  const rows = sql`SELECT id, state, logical_date FROM dag_run
    WHERE dag_id = ${o.dagId} AND logical_date = ANY(${[...o.logicalDates]}::timestamptz[]) ORDER BY id`;
  return o.lock
    ? db.query(sql`${rows} FOR NO KEY UPDATE`, 'backfill_lock_existing')
    : db.query(rows, 'backfill_find_existing');
}
