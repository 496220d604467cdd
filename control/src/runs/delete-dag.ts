import { AppError } from '@airlock/contract/errors';
import { type Db, notify } from '@airlock/store';
import { hasRunningTasks, lockDagToRemove, removeDag } from '@airlock/store/queries/rest-dag/remove';

/**
 * Deletes a Dag with its runs, versions and all that belongs to them, so that tokens of its tasks name nothing from then on.
 * @returns run ids, whose logs the caller removes. @throws NOT_FOUND · CONFLICT while one of its tasks runs
 */
export async function deleteDag(tx: Db, dagId: string): Promise<readonly string[]> {
  const dag = await lockDagToRemove(tx, dagId);
  if (!dag) throw new AppError('NOT_FOUND', { public: `The Dag with ID: \`${dagId}\` was not found` });
  if (await hasRunningTasks(tx, dagId)) {
    throw new AppError('CONFLICT', {
      public: `Task instances of dag with id: '${dagId}' are still running`,
      remedy: 'Wait until they have ended, or set their state.',
    });
  }
  const runIds = await removeDag(tx, dag);
  await notify(tx, { kind: 'schedule' });
  return runIds;
}
