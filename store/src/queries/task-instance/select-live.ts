import { type Db, sql } from '../../database.ts';

export type LiveTi = {
  readonly id: string;
  readonly dag_run_id: number;
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string | null;
  readonly try_number: number;
  readonly max_tries: number;
  readonly dag_version_id: string;
};

/** All task instances of locked runs. Locks the rows, by id, so that what is decided about them still holds when it is written. */
export async function lockTisOfRuns(db: Db, runIds: readonly number[]): Promise<LiveTi[]> {
  return db.query<LiveTi>(
    sql`SELECT id, dag_run_id, task_id, map_index, state, try_number, max_tries, dag_version_id FROM task_instance
      WHERE dag_run_id = ANY(${runIds}::bigint[]) ORDER BY id FOR UPDATE`,
    'ti_lock_of_runs',
  );
}

/** Finds runs of a Dag by name, or by logical date from and to (inclusive; either null = open; both null = every run). */
export async function findRunIds(
  db: Db,
  o: { dagId: string; runIds: readonly string[] | null; from: string | null; to: string | null },
): Promise<{ id: number; run_id: string }[]> {
  return db.query(
    sql`SELECT id, run_id FROM dag_run WHERE dag_id = ${o.dagId}
        AND (${o.runIds}::text[] IS NULL OR run_id = ANY(${o.runIds}::text[]))
        AND (${o.from}::timestamptz IS NULL OR logical_date >= ${o.from}::timestamptz)
        AND (${o.to}::timestamptz IS NULL OR logical_date <= ${o.to}::timestamptz)
      ORDER BY id`,
    'run_find_ids',
  );
}
