/**
 * Models of Dag versions, built once per process. A version never changes, so an entry is never wrong; the least recently
 * used go when there are many.
 */
import type { DagDocument } from '@airlock/contract/dag/document';
import { AppError, isAppError } from '@airlock/contract/errors';
import type { Db } from '@airlock/store';
import { findDocuments } from '@airlock/store/queries/dag/find';
import { buildDagModel, type DagModel } from '../domain/dag-model.ts';

const MAX_MODELS = 512;
const cache = new Map<string, DagModel>();

/** @throws NOT_FOUND when the version is gone, or can't be read by this release */
export async function loadModel(db: Db, versionId: string): Promise<DagModel> {
  const model = (await loadModels(db, [versionId])).get(versionId);
  if (model) return model;
  throw new AppError('NOT_FOUND', { public: 'This version of the Dag is gone.', internal: { versionId } });
}

/** @returns null when the version is gone, or can't be read by this release */
export async function findModel(db: Db, versionId: string): Promise<DagModel | null> {
  return (await loadModels(db, [versionId])).get(versionId) ?? null;
}

/**
 * Models of several versions with at most one query. Versions that are gone, or that this release can't read, are not in
 * the answer: one such Dag must not hold up the others.
 */
export async function loadModels(db: Db, versionIds: readonly string[]): Promise<Map<string, DagModel>> {
  const wanted = [...new Set(versionIds)];
  const found = new Map<string, DagModel>();
  const missing: string[] = [];
  for (const id of wanted) {
    const model = cache.get(id);
    if (!model) missing.push(id);
    else {
      found.set(id, model);
      cache.delete(id);
      cache.set(id, model);
    }
  }
  if (missing.length > 0) {
    for (const { id, document } of await findDocuments(db, missing)) {
      const model = read(document as DagDocument);
      if (!model) continue;
      found.set(id, model);
      cache.set(id, model);
    }
    for (const id of cache.keys()) {
      if (cache.size <= MAX_MODELS) break;
      cache.delete(id);
    }
  }
  return found;
}

function read(document: DagDocument): DagModel | null {
  try {
    return buildDagModel(document);
  } catch (error) {
    if (isAppError(error, 'DAG_INVALID')) return null;
    throw error;
  }
}
