/**
 * Decides about one run, to a fixed point in one pass: tasks are visited upstream first, so what is decided about one is
 * already seen by those after it. Pure: the same snapshot gives the same decision, whoever asks and however often.
 * @see scheduling semantics 4.3, 4.4, 5, 9
 */
import { isFinished } from '@airlock/contract/states';
import type { TaskModel } from '../../domain/dag-model.ts';
import { type Board, createBoard, type Row } from './board.ts';
import { pastAllows, ruleVerdict, skippedByUpstream, skipSettlesAt, type Verdict } from './dependencies.ts';
import { applyExpansion, expansionOf, expansionVerdict } from './expand.ts';
import { runEnd } from './run-end.ts';
import type { Decision, RunSnapshot, State } from './types.ts';

const schedulable = (state: State): boolean =>
  state === null || state === 'up_for_retry' || state === 'up_for_reschedule';

/** Decides about a run that is `running`. */
export function decideRun(snapshot: RunSnapshot): Decision {
  const { model, run, nowMs } = snapshot;
  const board = createBoard(snapshot);
  const timeoutAtMs =
    model.dagrunTimeoutSeconds === null || run.startDateMs === null
      ? null
      : run.startDateMs + model.dagrunTimeoutSeconds * 1000;
  if (timeoutAtMs !== null && !run.paused) {
    if (timeoutAtMs <= nowMs) {
      for (const row of board.all()) if (!isFinished(row.state)) row.state = 'skipped';
      return board.finish({ state: 'failed', reason: 'timed_out' });
    }
    board.wakeAt(timeoutAtMs);
  }
  reconcile(snapshot, board);
  if (run.logicalDateMs !== null && run.logicalDateMs > nowMs) {
    board.wakeAt(run.logicalDateMs);
    return board.finish(null);
  }
  failFast(snapshot, board);
  let mayStillMove = false;
  for (const task of model.tasks.values()) {
    if (decideTask(snapshot, board, task)) mayStillMove = true;
  }
  // A failure that was only found now, such as an expansion beyond its limit, fails fast too.
  failFast(snapshot, board);
  const decided = board.finish(null);
  const changed = decided.changes.length > 0 || decided.additions.length > 0;
  const end = runEnd(model, board, mayStillMove, changed);
  return end ? board.finish(end) : decided;
}

/**
 * An unpinned run follows the newest version: unfinished rows that no worker holds move to it, new tasks get rows, and rows
 * of tasks that are gone are removed.
 */
function reconcile({ model, run }: RunSnapshot, board: Board): void {
  const rows = board.all();
  const behind = rows.some((row) => row.versionId !== run.versionId && !isFinished(row.state));
  const movable = (row: Row) => schedulable(row.state) || row.state === 'scheduled';
  for (const row of rows) {
    if (model.tasks.has(row.taskId)) {
      // A task that a newer version brings back. What its worker reported as removed, and surplus indexes, stay so.
      if (row.state === 'removed' && row.mapIndex === -1 && row.versionId !== run.versionId) row.state = null;
      if (movable(row)) row.versionId = run.versionId;
    } else if (movable(row)) row.state = 'removed';
  }
  if (!behind) return;
  for (const task of model.tasks.values()) {
    const outside =
      run.logicalDateMs !== null &&
      ((task.startDateMs ?? run.logicalDateMs) > run.logicalDateMs ||
        (task.endDateMs ?? run.logicalDateMs) < run.logicalDateMs);
    if (board.rowsOf(task.taskId).length === 0 && !outside) board.add(task.taskId, -1);
  }
}

/** In a Dag that fails fast, one failure for good stops everything else but teardowns. Finished rows stay. */
function failFast({ model }: RunSnapshot, board: Board): void {
  if (!model.failFast || !board.all().some((row) => row.state === 'failed')) return;
  for (const row of board.all()) {
    if (isFinished(row.state) || model.tasks.get(row.taskId)?.isTeardown) continue;
    row.state = row.state === 'running' ? 'failed' : 'skipped';
  }
}

/** @returns true when some row of the task is ready, or waits for nothing but time. */
function decideTask(snapshot: RunSnapshot, board: Board, task: TaskModel): boolean {
  let rows = board.rowsOf(task.taskId).filter((row) => schedulable(row.state));
  if (rows.length === 0) return false;
  const expansion = expansionOf(snapshot, task);
  if (expansion && rows.some((row) => row.state === null)) {
    const first = rows[0]!;
    const verdict = verdictOf(snapshot, board, task, first.mapIndex === -1 ? -1 : first.mapIndex);
    if (first.mapIndex === -1 && verdict !== 'ready') return write(rows, verdict);
    if (verdict === 'ready') {
      if (snapshot.run.paused) return true;
      const found = expansionVerdict(snapshot, board, task, expansion);
      if (found.kind === 'wait') return false;
      if (found.kind === 'expand') applyExpansion(board, task, found.length);
      else if (first.mapIndex === -1) return write(rows, found.state);
      rows = board.rowsOf(task.taskId).filter((row) => schedulable(row.state));
    }
  }
  // Outside mapped groups every index has the same upstreams, so the rule is worked out once.
  const common = task.mappedGroup === null ? verdictOf(snapshot, board, task, rows[0]?.mapIndex ?? -1) : null;
  let open = false;
  for (const row of rows) {
    const verdict = common ?? verdictOf(snapshot, board, task, row.mapIndex);
    if (verdict !== 'ready') write([row], verdict);
    else if (!isDue(snapshot, board, row)) open = true;
    else if (pastAllows(snapshot, task, row.mapIndex)) {
      open = true;
      if (!snapshot.run.paused) start(task, row);
    }
  }
  return open;
}

function verdictOf(snapshot: RunSnapshot, board: Board, task: TaskModel, mapIndex: number): Verdict {
  if (skippedByUpstream(snapshot, board, task, mapIndex)) return 'skipped';
  const verdict = ruleVerdict(snapshot.model, board, task, mapIndex);
  if (verdict !== 'skipped') return verdict;
  const settledAtMs = skipSettlesAt(snapshot, board, task, mapIndex);
  if (settledAtMs === null) return verdict;
  board.wakeAt(settledAtMs);
  return 'wait';
}

/** Writes a final verdict. @returns false: nothing of this is ready. */
function write(rows: readonly Row[], verdict: Verdict | 'failed'): false {
  if (verdict !== 'wait' && verdict !== 'ready') for (const row of rows) row.state = verdict;
  return false;
}

/** A retry or poke whose instant has come; otherwise the run is looked at again then. */
function isDue({ nowMs }: RunSnapshot, board: Board, row: Row): boolean {
  const dueMs =
    row.state === 'up_for_retry'
      ? row.origin?.retryAtMs
      : row.state === 'up_for_reschedule'
        ? row.origin?.rescheduleAtMs
        : null;
  if (dueMs === null || dueMs === undefined || dueMs <= nowMs) return true;
  board.wakeAt(dueMs);
  return false;
}

/** A ready row moves on; the try begins here, unless it is a poke of one that has begun. */
function start(task: TaskModel, row: Row): void {
  if (row.state !== 'up_for_reschedule') row.tryNumber += 1;
  if (task.completesAtOnce) row.state = 'success';
  else row.state = task.startTrigger === null ? 'scheduled' : 'deferred';
}
