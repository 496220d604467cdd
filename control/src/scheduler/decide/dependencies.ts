/** Whether one task instance may go on: the checks of scheduling semantics 5, as one answer. Pure. */

import { isFinished } from '@airlock/contract/states';
import type { DagModel, TaskModel } from '../../domain/dag-model.ts';
import {
  countUpstreams,
  decideTriggerRule,
  type RuleDecision,
  type UpstreamState,
} from '../../domain/trigger-rules.ts';
import type { Board, Row } from './board.ts';
import type { RunSnapshot } from './types.ts';

/** `ready` = all met; `wait` = not yet; a state is written at once. */
export type Verdict = 'ready' | 'wait' | 'upstream_failed' | 'skipped' | 'removed';

/** Upstream rows that count for one index of a task: in a mapped group that both share, only the same index. */
function relevantRows(
  model: DagModel,
  board: Board,
  task: TaskModel,
  mapIndex: number,
  upstreamId: string,
): readonly Row[] {
  const rows = board.rowsOf(upstreamId);
  const shared = task.mappedGroup !== null && model.tasks.get(upstreamId)?.mappedGroup === task.mappedGroup;
  return shared && mapIndex >= 0 ? rows.filter((row) => row.mapIndex === mapIndex) : rows;
}

function* upstreamStates(model: DagModel, board: Board, task: TaskModel, mapIndex: number): Generator<UpstreamState> {
  for (const id of task.upstream) {
    const isSetup = model.tasks.get(id)?.isSetup === true;
    // A task without a row (outside its own dates) is absent, so that it does not block for ever.
    for (const row of relevantRows(model, board, task, mapIndex, id)) yield { state: row.state, isSetup };
  }
}

/** Setups guard their whole scope, whatever the rule of a task says. */
function setupVerdict(model: DagModel, board: Board, task: TaskModel, mapIndex: number): Verdict {
  let waiting = false;
  let skipped = false;
  for (const id of model.scopes.setupsOf.get(task.taskId) ?? []) {
    for (const { state } of relevantRows(model, board, task, mapIndex, id)) {
      if (state === 'failed' || state === 'upstream_failed') return 'upstream_failed';
      if (state === 'skipped') skipped = true;
      else if (state !== 'success') waiting = true;
    }
  }
  return skipped ? 'skipped' : waiting ? 'wait' : 'ready';
}

/** A teardown waits until everything in its scope has ended, in whatever state. */
function scopeEnded(model: DagModel, board: Board, task: TaskModel): boolean {
  const scope = model.scopes.scopeOf.get(task.taskId) ?? [];
  return scope.every((id) => board.rowsOf(id).every((row) => isFinished(row.state)));
}

/** The trigger rule with setups and teardowns; the same for all indexes of a task outside mapped groups. */
export function ruleVerdict(model: DagModel, board: Board, task: TaskModel, mapIndex: number): Verdict {
  // Airflow asks nothing else about such a task, not even its setups.
  if (task.triggerRule === 'always') return 'ready';
  const setups = task.isTeardown ? 'ready' : setupVerdict(model, board, task, mapIndex);
  if (setups === 'upstream_failed' || setups === 'skipped') return setups;
  const rule: RuleDecision = decideTriggerRule(
    task.triggerRule,
    countUpstreams(upstreamStates(model, board, task, mapIndex)),
  );
  if (rule !== 'run') return rule;
  if (setups === 'wait') return 'wait';
  return task.isTeardown && !scopeEnded(model, board, task) ? 'wait' : 'ready';
}

/** About what Airflow's scheduler lets pass between two looks at a run. */
const SKIP_SETTLES_MS = 1000;

/**
 * `all_success` is the one rule whose outcome depends on which of two upstreams ends first: a failure after a skip changes
 * nothing any more. Two that end at nearly the same moment are seen together by Airflow's scheduler, and the failure counts;
 * so that milliseconds do not decide here either, a skip waits a moment for an upstream that still runs.
 * @returns instant at which the skip counts whatever the others do, epoch ms; null = now
 */
export function skipSettlesAt(snapshot: RunSnapshot, board: Board, task: TaskModel, mapIndex: number): number | null {
  if (task.triggerRule !== 'all_success') return null;
  const rows = task.upstream.flatMap((id) => relevantRows(snapshot.model, board, task, mapIndex, id));
  if (!rows.some((row) => row.state === 'running')) return null;
  const skippedAt = rows.map((row) => row.origin?.skippedAtMs ?? null).filter((ms) => ms !== null);
  // One skip that is old enough is enough.
  const settlesAtMs = skippedAt.length === 0 ? null : Math.min(...skippedAt) + SKIP_SETTLES_MS;
  return settlesAtMs !== null && settlesAtMs > snapshot.nowMs ? settlesAtMs : null;
}

/** What branching upstreams have said stays in force: skipped again after a clear, unless they are cleared too. */
export function skippedByUpstream(snapshot: RunSnapshot, board: Board, task: TaskModel, mapIndex: number): boolean {
  const { model, skips } = snapshot;
  if (skips.size === 0) return false;
  for (const id of task.upstream) {
    const upstream = model.tasks.get(id);
    if (!upstream?.canSkipDownstream) continue;
    for (const row of relevantRows(model, board, task, mapIndex, id)) {
      const said = isFinished(row.state) ? skips.get(`${id}#${row.mapIndex}`) : undefined;
      if (!said) continue;
      if ('followed' in said ? !said.followed.includes(task.taskId) : said.skipped.includes(task.taskId)) return true;
    }
  }
  return false;
}

/** @see scheduling semantics 5.5 */
export function pastAllows(snapshot: RunSnapshot, task: TaskModel, mapIndex: number): boolean {
  const { previous } = snapshot;
  if (!task.dependsOnPast || previous === null) return true;
  const good = (taskId: string, index: number): boolean | null => {
    const key = `${taskId}#${index}`;
    if (!previous.has(key)) return null;
    const state = previous.get(key);
    return state === 'success' || state === 'skipped';
  };
  const own = good(task.taskId, mapIndex);
  if (own === null) return task.ignoreFirstDependsOnPast;
  if (!own) return false;
  if (!task.waitForDownstream) return true;
  return [...previous].every(([key, state]) => {
    const taskId = key.slice(0, key.lastIndexOf('#'));
    return !task.downstream.includes(taskId) || state === 'success' || state === 'skipped';
  });
}
