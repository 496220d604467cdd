/**
 * What the two APIs may do to Dags, runs and task instances. Each takes an open transaction and the instant, changes rows
 * and sends the events; none knows HTTP. Locks are taken in one order everywhere: dag, then dag_run, then task_instance.
 */

export { activateEmitted, type EmitOptions, emitAssetEvents, type OutletEvent, type Outlets } from './asset-events.ts';
export { type BackfillRequest, createBackfill, planBackfill } from './backfill.ts';
export { type ClearedTi, type ClearOptions, clearTaskInstances, runsOnLatest } from './clear.ts';
export { type CreatedRun, type CreateRunOptions, createDagRun } from './create-run.ts';
export { endTrigger, resumeOverdue } from './deferred.ts';
export { deleteDag } from './delete-dag.ts';
export { deleteDagRun } from './delete-run.ts';
export { type FailedTry, type FailOptions, failTry } from './fail-try.ts';
export { type IngestOptions, ingestParseReport } from './ingest.ts';
export { applyBundleListing, recordBundleFailure } from './listing.ts';
export { findModel, loadModel } from './models.ts';
export { endRestart, reapMissingTries, releaseTriesOf } from './reap.ts';
export { resumeAnswered } from './resume.ts';
export {
  type SetRunState,
  type SetTiResult,
  type SetTiState,
  setDagRunState,
  setTaskInstanceState,
} from './set-state.ts';
export { recordWatcherEvent } from './watchers.ts';
