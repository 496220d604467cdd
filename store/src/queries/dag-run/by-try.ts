/** Runs that a try makes or clears. @see execution API 3.9; promise L15 */
import { type Db, sql } from '../../database.ts';
import { readForCaller, type With } from '../task-instance/reads.ts';
import type { CallerKey } from '../token/caller.ts';
import { mayTriggerDag, type RightsContext } from '../token/rights.ts';

/** The caller and whether it may make and clear runs of a Dag. Locks nothing. */
export async function readTriggerRight(
  db: Db,
  key: CallerKey,
  dagId: string,
  rights: RightsContext,
): Promise<With<true | null> | null> {
  return await readForCaller<true | null>(db, key, {
    name: 'run_trigger_right',
    allowed: mayTriggerDag(rights, dagId),
    value: sql`true`,
  });
}

/** True when the run was made by this very call, sent once before. Locks nothing. */
export async function wasTriggeredBy(
  db: Db,
  o: {
    readonly tryId: string;
    readonly dagId: string;
    readonly runId: string;
    readonly logicalDate: string | null;
    readonly conf: unknown;
    readonly partitionKey: string | null;
  },
): Promise<boolean> {
  const rows = await db.query(
    sql`SELECT 1 FROM dag_run r WHERE r.dag_id = ${o.dagId} AND r.run_id = ${o.runId} AND r.trigger_try = ${o.tryId}::uuid
      AND r.logical_date IS NOT DISTINCT FROM ${o.logicalDate}::timestamptz
      AND r.partition_key IS NOT DISTINCT FROM ${o.partitionKey}::text AND r.conf::jsonb = ${JSON.stringify(o.conf)}::jsonb`,
    'run_triggered_by',
  );
  return rows.length > 0;
}

/** Notes which try has cleared a run. Needs the run locked. */
export async function markClearedBy(tx: Db, o: { readonly id: number; readonly tryId: string }): Promise<void> {
  await tx.query(sql`UPDATE dag_run SET clear_try = ${o.tryId}::uuid WHERE id = ${o.id}`, 'run_cleared_by');
}
