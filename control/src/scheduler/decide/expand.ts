/** How many indexes a mapped task gets, once that can be known. @see scheduling semantics 6.2 */
import { isFinished } from '@airlock/contract/states';
import type { TaskModel } from '../../domain/dag-model.ts';
import { type Expansion, expansionLength } from '../../domain/mapping.ts';
import type { Board, Row } from './board.ts';
import type { RunSnapshot } from './types.ts';

export type ExpansionVerdict =
  | { readonly kind: 'wait' }
  | { readonly kind: 'end'; readonly state: 'upstream_failed' | 'skipped' | 'failed' }
  | { readonly kind: 'expand'; readonly length: number };

/** The expansion that governs a task: its own, or that of the mapped group around it. */
export function expansionOf(snapshot: RunSnapshot, task: TaskModel): Expansion | null {
  if (task.expansion) return task.expansion;
  return task.mappedGroup === null ? null : (snapshot.model.mappedGroups.get(task.mappedGroup) ?? null);
}

/** Decides about a task whose other dependencies are met. */
export function expansionVerdict(
  snapshot: RunSnapshot,
  board: Board,
  task: TaskModel,
  expansion: Expansion,
): ExpansionVerdict {
  for (const id of expansion.upstream) {
    const rows = board.rowsOf(id);
    if (rows.some((row) => row.state === 'failed' || row.state === 'upstream_failed')) {
      return { kind: 'end', state: 'upstream_failed' };
    }
    if (rows.length > 0 && rows.every((row) => row.state === 'skipped')) return { kind: 'end', state: 'skipped' };
    if (!rows.every((row) => isFinished(row.state))) return { kind: 'wait' };
  }
  const length = expansionLength(expansion, (taskId) => {
    const upstream = snapshot.model.tasks.get(taskId);
    const mapped = upstream !== undefined && (upstream.expansion !== null || upstream.mappedGroup !== null);
    return mapped ? (snapshot.resultCounts.get(taskId) ?? 0) : (snapshot.lengths.get(taskId) ?? null);
  });
  if (length === null) return { kind: 'end', state: 'upstream_failed' };
  if (length === 0) return { kind: 'end', state: 'skipped' };
  const limit = task.document.__airlock_map_limit;
  if (typeof limit === 'number' && length > limit) return { kind: 'end', state: 'failed' };
  return { kind: 'expand', length };
}

/**
 * Gives the task rows 0 to n−1: the row −1 becomes index 0, missing rows are added, surplus ones that have not run again
 * are `removed`. @returns all rows that are to be looked at now.
 */
export function applyExpansion(board: Board, task: TaskModel, length: number): readonly Row[] {
  for (const row of board.rowsOf(task.taskId)) {
    if (row.mapIndex === -1) row.mapIndex = 0;
    else if (row.mapIndex >= length && row.state === null) row.state = 'removed';
  }
  const have = new Set(board.rowsOf(task.taskId).map((row) => row.mapIndex));
  for (let index = 0; index < length; index++) if (!have.has(index)) board.add(task.taskId, index);
  return board.rowsOf(task.taskId);
}
