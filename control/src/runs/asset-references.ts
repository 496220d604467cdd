import type { Db } from '@airlock/store';
import { type NewReference, setReferences, upsertAssets } from '@airlock/store/queries/asset/ingest';
import type { AssetUse } from '../domain/assets.ts';
import type { DagModel } from '../domain/dag-model.ts';

/** Stores what the current version of a Dag says of assets. Needs the lock of ingestion. */
export async function storeAssetReferences(tx: Db, model: DagModel, nowIso: string): Promise<void> {
  const rows = model.assets.map(rowOf);
  if (rows.length > 0) await upsertAssets(tx, rows, nowIso);
  await setReferences(tx, model.dagId, rows, nowIso);
}

function rowOf(use: AssetUse): NewReference {
  return {
    role: use.role,
    task_id: use.taskId,
    kind: use.kind,
    name: use.kind === 'uri' ? null : use.name,
    uri: use.kind === 'asset' || use.kind === 'uri' ? use.uri : null,
    group: use.kind === 'asset' || use.kind === 'alias' ? use.group : null,
    extra: use.kind === 'asset' ? use.extra : null,
    access_control: use.accessControl,
  };
}
