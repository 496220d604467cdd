import { type Db, sql } from '../../database.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';

/** The caller's row, locked, for a change that takes several statements. Locks: the row. */
export async function lockCaller(tx: Db, key: CallerKey): Promise<CallerRow | null> {
  const rows = await tx.query<CallerRow>(
    sql`SELECT ${callerColumns(key)} FROM task_instance t WHERE t.id = ${key.id} FOR NO KEY UPDATE`,
    'ti_lock_caller',
  );
  return rows[0] ?? null;
}

/** Notes on an archived try what its worker had reported, so that the same report again is recognised. Locks: the row. */
export async function markReported(tx: Db, which: { readonly id: string; readonly state: string }): Promise<void> {
  await tx.query(
    sql`UPDATE task_instance_history SET reported_state = ${which.state} WHERE id = ${which.id}`,
    'ti_mark_reported',
  );
}
