/** Makes the runs that events of assets ask for, one per Dag and pass. @see scheduling semantics 3.4 */
import { randomBytes } from 'node:crypto';
import type { Database, Db } from '@airlock/store';
import {
  findQueuedDags,
  lockDags,
  type QueuedDag,
  recordConsumed,
  takeQueued,
} from '@airlock/store/queries/asset/triggered';
import type { DagModel } from '../domain/dag-model.ts';
import { instantIso } from '../domain/instants.ts';
import { generateRunId } from '../domain/run-id.ts';
import { loadModels } from '../runs/models.ts';
import { type CreateResult, insertAutomaticRun } from './create-runs.ts';

export type AssetRunOptions = { readonly nowMs: number; readonly limit: number };

/**
 * A Dag whose condition holds gets one run for all events since its last one; its queue is emptied of what
 * was seen, so that later events make another. Nothing is queued most of the time: then it is one read, and no transaction.
 */
export async function createAssetRuns(db: Database, options: AssetRunOptions): Promise<CreateResult> {
  const ready = await satisfied(db, null);
  if (ready.length === 0) return { created: [], more: false, denied: [] };
  const dagIds = ready.slice(0, options.limit).map(({ dag }) => dag.dag_id);
  const made = await db.transaction((tx) => makeRuns(tx, dagIds, options.nowMs));
  return { ...made, more: ready.length > options.limit };
}

/** Locks: the dag rows, then their asset_queued rows. */
async function makeRuns(tx: Db, dagIds: readonly string[], nowMs: number): Promise<Omit<CreateResult, 'more'>> {
  const locked = await lockDags(tx, dagIds);
  // Looked at again under the lock: another scheduler may have been here.
  const mine = locked.length === 0 ? [] : await satisfied(tx, locked);
  const created: number[] = [];
  const denied: string[] = [];
  for (const { dag, model } of mine) {
    const at = await takeQueued(tx, { dagId: dag.dag_id, assetIds: dag.queued.map((asset) => asset.asset_id) });
    if (at === null) continue;
    if (dag.allowed_run_types && !dag.allowed_run_types.includes('asset_triggered')) {
      denied.push(dag.dag_id);
      continue;
    }
    const runAfter = instantIso(Date.parse(at));
    const id = await insertAutomaticRun(tx, dag, model, {
      runType: 'asset_triggered',
      triggeredBy: 'asset',
      runId: generateRunId('asset_triggered', runAfter, randomBytes(4).toString('hex')),
      logicalDate: null,
      interval: null,
      runAfter: at,
      partition: null,
      nowIso: instantIso(nowMs),
    });
    if (id === null) continue;
    await recordConsumed(tx, {
      dagRunId: id,
      dagId: dag.dag_id,
      runAfter: at,
      catchup: model.catchup,
    });
    created.push(id);
  }
  return { created, denied };
}

type Ready = { readonly dag: QueuedDag; readonly model: DagModel };

async function satisfied(db: Db, dagIds: readonly string[] | null): Promise<Ready[]> {
  const dags = await findQueuedDags(db, dagIds);
  const models = await loadModels(
    db,
    dags.map((dag) => dag.current_version_id),
  );
  return dags.flatMap((dag) => {
    const model = models.get(dag.current_version_id);
    return model?.assetCondition?.(dag.queued) ? [{ dag, model }] : [];
  });
}
