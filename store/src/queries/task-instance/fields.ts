import { type Db, sql } from '../../database.ts';
import { type CallerKey, type CallerRow, callerColumns } from '../token/caller.ts';

type Changed = CallerRow & { readonly changed: boolean };

/** Replaces the rendered fields of a live try. Locks: the row. @returns null when there is no live row of this id. */
export async function setRenderedFields(db: Db, key: CallerKey, fieldsJson: string): Promise<Changed | null> {
  const rows = await db.query<Changed>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      u AS (UPDATE task_instance x SET rendered_fields = ${fieldsJson}::json, updated_at = ${key.nowIso}::timestamptz
        FROM c WHERE x.id = c.id AND c.live RETURNING x.id)
      SELECT c.*, u.id IS NOT NULL AS changed FROM c LEFT JOIN u ON true`,
    'ti_rendered_fields',
  );
  return rows[0] ?? null;
}

/** Drops the rendered fields of this task in all but the newest `keepRuns` runs of its Dag. Locks: those rows. */
export async function pruneRenderedFields(
  db: Db,
  which: { readonly dagId: string; readonly taskId: string; readonly keepRuns: number },
): Promise<void> {
  await db.query(
    sql`UPDATE task_instance SET rendered_fields = NULL
      WHERE dag_id = ${which.dagId} AND task_id = ${which.taskId} AND rendered_fields IS NOT NULL
        AND dag_run_id IN (SELECT id FROM dag_run WHERE dag_id = ${which.dagId}
          ORDER BY run_after DESC, id DESC OFFSET ${which.keepRuns} LIMIT 100)`,
    'ti_prune_rendered_fields',
  );
}

/** Sets the label of a mapped try. Locks: the row. @returns null when there is no live row of this id. */
export async function setRenderedMapIndex(db: Db, key: CallerKey, label: string): Promise<Changed | null> {
  const rows = await db.query<Changed>(
    sql`WITH t AS (SELECT * FROM task_instance WHERE id = ${key.id} FOR NO KEY UPDATE),
      c AS (SELECT ${callerColumns(key)} FROM t),
      u AS (UPDATE task_instance x SET rendered_map_index = ${label}, updated_at = ${key.nowIso}::timestamptz
        FROM c WHERE x.id = c.id AND c.live RETURNING x.id)
      SELECT c.*, u.id IS NOT NULL AS changed FROM c LEFT JOIN u ON true`,
    'ti_rendered_map_index',
  );
  return rows[0] ?? null;
}
