/**
 * Callbacks as rows, written in the transaction of what they are about: a callback is due if and only if that was
 * committed. Who runs them is executors/placement.ts and a worker. @see scheduling semantics 10.1
 */
import type { Db } from '@airlock/store';
import {
  type CallbackEvent,
  type CallbackSubject,
  insertCallbacks,
  type NewCallback,
} from '@airlock/store/queries/callback/insert';
import type { DagModel } from '../domain/dag-model.ts';
import { newId } from './new-ids.ts';

/** Queue of what is about no task. */
const DEFAULT_QUEUE = 'default';

/** The queue of a Dag's own callbacks: whoever runs its tasks has what it takes to run them. */
export function callbackQueue(model: DagModel): string {
  const [first] = model.tasks.values();
  return first?.queue ?? DEFAULT_QUEUE;
}

export type EndedRun = {
  readonly id: number;
  readonly versionId: string;
  readonly model: DagModel;
  readonly state: 'success' | 'failed';
  /** `success`, `task_failure`, `all_tasks_deadlocked` or `timed_out`, as callbacks read it. */
  readonly reason: string;
  /** The task instance that has decided it; null = none has. */
  readonly decisive: CallbackSubject | null;
};

/** Callbacks of Dags whose runs have ended. Only what a Dag declares is asked for, also after a time-out. */
export async function callbacksOfEnds(tx: Db, ends: readonly EndedRun[], nowIso: string): Promise<void> {
  const rows: NewCallback[] = [];
  for (const { id, versionId, model, state, reason, decisive } of ends) {
    const event = state === 'success' ? 'success' : 'failure';
    if (!model.callbacks[event]) continue;
    rows.push({
      id: newId(nowIso),
      kind: 'dag',
      event,
      dag_run_id: id,
      dag_version_id: versionId,
      queue: callbackQueue(model),
      needs: model.callbackNeeds,
      about: decisive,
      reason,
      target: null,
    });
  }
  await insertCallbacks(tx, rows, nowIso);
}

/** The callback of a task whose try the server has ended; call it while the try's row still has its id. */
export async function callbackOfTry(
  tx: Db,
  of: {
    readonly tiId: string;
    readonly taskId: string;
    readonly dagRunId: number;
    readonly versionId: string;
    readonly model: DagModel;
    readonly event: Extract<CallbackEvent, 'failure' | 'retry'>;
    readonly reason: string;
  },
  nowIso: string,
): Promise<void> {
  const task = of.model.tasks.get(of.taskId);
  if (!task?.callbacks[of.event]) return;
  const row: NewCallback = {
    id: newId(nowIso),
    kind: 'task',
    event: of.event,
    dag_run_id: of.dagRunId,
    dag_version_id: of.versionId,
    queue: task.queue,
    needs: task.needs,
    about: { id: of.tiId },
    reason: of.reason,
    target: null,
  };
  await insertCallbacks(tx, [row], nowIso);
}
