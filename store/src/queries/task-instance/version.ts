import { type Db, sql } from '../../database.ts';
import type { CallerKey } from '../token/caller.ts';
import { readForCaller, type With } from './reads.ts';

/** The Dag version of a live row; null = there is none. Locks nothing. */
export async function readVersionOf(db: Db, id: string): Promise<string | null> {
  const rows = await db.query<{ dag_version_id: string }>(
    sql`SELECT dag_version_id FROM task_instance WHERE id = ${id}`,
    'ti_version',
  );
  return rows[0]?.dag_version_id ?? null;
}

/** The Dag version that the caller's try runs, for its graph. */
export async function readGraphVersion(db: Db, key: CallerKey): Promise<With<string> | null> {
  return await readForCaller<string>(db, key, {
    name: 'ti_graph_version',
    value: sql`(SELECT v.dag_version_id FROM task_instance v WHERE v.id = c.id)`,
  });
}
