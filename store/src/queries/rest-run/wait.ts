import { type Db, sql } from '../../database.ts';

/** State of a run; null = there is none. */
export async function getRunState(db: Db, dagId: string, runId: string): Promise<string | null> {
  const rows = await db.query<{ state: string }>(
    sql`SELECT state FROM dag_run WHERE dag_id = ${dagId} AND run_id = ${runId}`,
    'rest_run_state',
  );
  return rows[0]?.state ?? null;
}

export type RunResult = { readonly task_id: string; readonly map_index: number; readonly text: string };

/**
 * Returned values of a run as JSON texts, by task and map index. Locks nothing.
 * @param taskIds null = those that the Dag's author named as its results
 * @returns null when together they are larger than `maxBytes`
 */
export async function listRunResults(
  db: Db,
  which: { readonly dagId: string; readonly runId: string; readonly taskIds: readonly string[] | null },
  maxBytes: number,
): Promise<RunResult[] | null> {
  const found = sql`xcom x JOIN dag_run r ON r.id = x.dag_run_id
    WHERE r.dag_id = ${which.dagId} AND r.run_id = ${which.runId} AND x.key = 'return_value'
      AND ${which.taskIds === null ? sql`x.dag_result` : sql`x.task_id = ANY(${[...which.taskIds]})`}`;
  const sizes = await db.query<{ bytes: number }>(
    sql`SELECT COALESCE(sum(octet_length(x.value::text)), 0)::float8 AS bytes FROM ${found}`,
  );
  if (sizes[0]!.bytes > maxBytes) return null;
  return db.query<RunResult>(
    sql`SELECT x.task_id, x.map_index, COALESCE(x.value::text, 'null') AS text FROM ${found} ORDER BY x.task_id, x.map_index`,
  );
}
