/** When a run is over, and how it ended. @see scheduling semantics 9 */
import { isFinished } from '@airlock/contract/states';
import type { DagModel, TaskModel } from '../../domain/dag-model.ts';
import type { Board } from './board.ts';
import type { Decision, Decisive, RunSnapshot } from './types.ts';

const leavesOf = new WeakMap<DagModel, readonly string[]>();

/** Tasks that decide the run's state: those that count and have no downstream that counts. */
export function leaves(model: DagModel): readonly string[] {
  const known = leavesOf.get(model);
  if (known) return known;
  const counts = (task: TaskModel | undefined) => task !== undefined && (!task.isTeardown || task.onFailureFailDagrun);
  const tasks = [...model.tasks.values()];
  const counting = tasks.filter(counts);
  const found =
    counting.length > 0
      ? counting.filter((task) => !task.downstream.some((id) => counts(model.tasks.get(id))))
      : tasks.filter((task) => task.downstream.length === 0);
  const ids = found.map((task) => task.taskId);
  leavesOf.set(model, ids);
  return ids;
}

/** States in which something will still happen to a task instance without any help of the scheduler. */
const MOVING = new Set(['scheduled', 'queued', 'running', 'restarting', 'deferred', 'awaiting_input']);

/**
 * @param mayStillMove true when some unfinished task instance is ready, or waits only for time, past or limits
 * @param changed true when this examination changed anything
 */
export function runEnd(model: DagModel, board: Board, mayStillMove: boolean, changed: boolean): Decision['end'] {
  const rows = board.all();
  const unfinished = rows.filter((row) => !isFinished(row.state));
  if (unfinished.length === 0) {
    const failed = leaves(model).some((id) =>
      board.rowsOf(id).some((row) => row.state === 'failed' || row.state === 'upstream_failed'),
    );
    return failed ? { state: 'failed', reason: 'task_failure' } : { state: 'success', reason: null };
  }
  if (mayStillMove || changed) return null;
  const held = unfinished.some((row) => {
    const task = model.tasks.get(row.taskId);
    if (row.state !== null && MOVING.has(row.state)) return true;
    return (
      task !== undefined &&
      (task.dependsOnPast || task.maxActiveTisPerDag !== null || task.maxActiveTisPerDagrun !== null)
    );
  });
  return held ? null : { state: 'failed', reason: 'all_tasks_deadlocked' };
}

/**
 * The task instance that has decided the end, as a callback is told: the last that ended as the run did; after a time-out the last
 * that it cut short; of a deadlock the first that waits although something before it has ended. @returns null where none has
 */
export function decisiveOf({ model, tis }: RunSnapshot, { changes, end }: Decision): Decisive | null {
  if (end?.reason === 'timed_out') return changes.length > 0 ? { state: 'skipped' } : null;
  if (end?.reason !== 'all_tasks_deadlocked') return end && { state: end.state };
  const ended = new Set(tis.filter((ti) => isFinished(ti.state)).map((ti) => ti.taskId));
  const order = new Map([...model.tasks.keys()].map((id, i) => [id, i]));
  const [first] = tis
    .filter((ti) => !isFinished(ti.state) && model.tasks.get(ti.taskId)?.upstream.some((id) => ended.has(id)))
    .sort((a, b) => order.get(a.taskId)! - order.get(b.taskId)! || a.mapIndex - b.mapIndex);
  return first ? { id: first.id } : null;
}
