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

/** True when this token has reported just this end of the try before, whatever became of the try since. Locks nothing. */
export async function wasReported(db: Db, key: CallerKey, state: string): Promise<boolean> {
  const rows = await db.query(
    sql`SELECT 1 FROM task_instance WHERE id = ${key.id} AND reported_jti = ${key.jti} AND reported_as = ${state}`,
    'ti_was_reported',
  );
  return rows.length > 0;
}
