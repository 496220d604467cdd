/** Dag versions as models; kept by version id where the run services keep theirs. */
import type { Db } from '@airlock/store';
import type { DagModel } from '../../domain/dag-model.ts';
import { loadModels } from '../../runs/models.ts';

/** Models of these versions; a version that is gone is left out. */
export function modelsOf(db: Db, versionIds: ReadonlyArray<string | null>): Promise<Map<string, DagModel>> {
  return loadModels(
    db,
    versionIds.filter((id) => id !== null),
  );
}

export async function modelOf(db: Db, versionId: string | null): Promise<DagModel | null> {
  return versionId === null ? null : ((await modelsOf(db, [versionId])).get(versionId) ?? null);
}
