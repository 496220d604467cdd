/** Ends a try that did not succeed: another one later, or failed for good. @see scheduling semantics 7.1 */
import { type Db, notify } from '@airlock/store';
import { closeTries } from '@airlock/store/queries/task-instance/close-try';
import { failForGood, lockTryToEnd, logTries } from '@airlock/store/queries/task-instance/end-try';
import type { DagModel } from '../domain/dag-model.ts';
import { instantIso } from '../domain/instants.ts';
import { MAX_RETRY_DELAY_SECONDS, mayRetry, retryDelaySeconds } from '../domain/retries.ts';
import { callbackOfTry } from './callbacks.ts';
import { findModel } from './models.ts';
import { newId } from './new-ids.ts';

export type FailOptions = {
  /** Id of the live try. */
  readonly id: string;
  /** Why, for the audit log and the answer of the REST API. */
  readonly reason: string;
  readonly nowIso: string;
  /** When it ended; absent = now. */
  readonly endDate?: string;
  /** False: failed for good, whatever budget is left. Absent: by `max_tries`. True: the worker decided to try again. */
  readonly retry?: boolean;
  /** Waiting time that the worker's retry policy chose, seconds; absent or null = by the task's own. */
  readonly retryDelaySeconds?: number | null;
  readonly retryReason?: string | null;
  /** State that a worker reported; absent or null = the server decided, and starts the callback that the try could not run. */
  readonly reportedState?: string | null;
  /** States in which the try may be ended; it is left alone in any other. */
  readonly from?: readonly string[];
  /**
   * `workload_jti` of the stretch that was judged. Between the judgement and the lock the try may have been reported, queued and
   * begun anew under the same id: what runs now was judged by nobody, and is left alone. Absent = whatever runs.
   */
  readonly stretch?: string | null;
  /** `[core] max_task_retry_delay`, seconds. */
  readonly maxRetryDelaySeconds?: number;
};

export type FailedTry = {
  readonly state: 'up_for_retry' | 'failed';
  readonly dagRunId: number;
  /** Id of the row from now on: a new one before a retry. */
  readonly id: string;
  readonly retryAt: string | null;
};

/**
 * Ends a try as failed. With budget left it is archived under its id, and its row waits as `up_for_retry` under a new one.
 * Locks: the task_instance row. Sends the event of the run.
 * @returns null when the try is gone, no longer in one of `from`, or in another stretch.
 */
export async function failTry(tx: Db, options: FailOptions): Promise<FailedTry | null> {
  const { id, nowIso } = options;
  const from = options.from ?? ['running', 'queued', 'restarting', 'deferred'];
  const endDate = options.endDate ?? nowIso;
  const row = await lockTryToEnd(tx, id);
  if (!row || row.state === null || !from.includes(row.state)) return null;
  if (options.stretch !== undefined && row.workload_jti !== options.stretch) return null;
  const retry = options.retry ?? (row.state === 'restarting' || mayRetry(row.try_number, row.max_tries));
  await logTries(tx, [{ ...row, event: retry ? 'up_for_retry' : 'failed', reason: options.reason }], nowIso);
  await notify(tx, { kind: 'run', dagRunId: row.dag_run_id });
  const model = await findModel(tx, row.dag_version_id);
  if (model && (options.reportedState ?? null) === null) {
    const { id: tiId, task_id: taskId, dag_run_id: dagRunId, dag_version_id: versionId } = row;
    const event = retry ? 'retry' : 'failure';
    await callbackOfTry(tx, { tiId, taskId, dagRunId, versionId, model, event, reason: options.reason }, nowIso);
  }
  if (!retry) {
    await failForGood(tx, { id, endDate, reason: options.reason, nowIso });
    return { state: 'failed', dagRunId: row.dag_run_id, id, retryAt: null };
  }
  const delay = options.retryDelaySeconds ?? delayOf(model, row, options.maxRetryDelaySeconds);
  const retryAt = instantIso(Date.parse(endDate) + delay * 1000);
  const closed = await closeTries(
    tx,
    [
      {
        id,
        new_id: newId(nowIso),
        to_state: 'up_for_retry',
        retry_at: retryAt,
        max_tries: null,
        reported_state: options.reportedState ?? null,
        end_date: endDate,
        retry_delay_override: options.retryDelaySeconds ?? null,
        retry_reason: options.retryReason ?? options.reason,
      },
    ],
    nowIso,
  );
  return { state: 'up_for_retry', dagRunId: row.dag_run_id, id: closed[0]!.new_id, retryAt };
}

type Waiting = NonNullable<Awaited<ReturnType<typeof lockTryToEnd>>>;

function delayOf(model: DagModel | null, row: Waiting, capSeconds = MAX_RETRY_DELAY_SECONDS): number {
  const task = model?.tasks.get(row.task_id);
  // The task may be gone from the version that its run was moved to, or the version itself; the default wait is as good as any.
  const policy = task?.retry ?? { retryDelaySeconds: 300, multiplier: 0, maxRetryDelaySeconds: null };
  return retryDelaySeconds(
    policy,
    {
      dagId: row.dag_id,
      taskId: row.task_id,
      logicalDate: row.logical_date,
      tryNumber: row.try_number,
      mapIndex: row.map_index,
    },
    capSeconds,
  );
}
