import { AppError } from '@airlock/contract/errors';
import { type Db, notify } from '@airlock/store';
import { deleteRun, lockRun } from '@airlock/store/queries/dag-run/lock';

/**
 * Deletes a run that does not run, with its task instances, XComs and history. Their ids, and so their tokens, name nothing
 * from then on. @throws NOT_FOUND · CONFLICT while it is running
 */
export async function deleteDagRun(tx: Db, options: { readonly dagId: string; readonly runId: string }): Promise<void> {
  const { dagId, runId } = options;
  const run = await lockRun(tx, dagId, runId);
  if (!run) {
    throw new AppError('NOT_FOUND', {
      public: `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` was not found`,
    });
  }
  if (run.state === 'running') {
    throw new AppError('CONFLICT', {
      public: `The DagRun with dag_id: \`${dagId}\` and run_id: \`${runId}\` cannot be deleted in running state`,
    });
  }
  await deleteRun(tx, run.id);
  await notify(tx, { kind: 'schedule' });
}
