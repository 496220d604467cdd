/** Callbacks of Dags and tasks, and deadlines, as an author declares them. */
import { DagError, show } from './dag-error.ts';
import { parseDuration } from './duration.ts';
import type { CallbackNeeds } from './handles.ts';
import { parseInstant } from './instant.ts';
import { checkKeys, readCallbackNeeds, readInteger, readText } from './options.ts';
import type { DagContext, NeedyCallback } from './types.ts';

type Given = Readonly<Record<string, unknown>>;

export const TASK_CALLBACK_KEYS = ['onSuccess', 'onFailure', 'onRetry', 'onSkip'] as const;
export type TaskCallbackKey = (typeof TASK_CALLBACK_KEYS)[number];
/** The functions as the author wrote them; their arguments are built by the runner. */
export type TaskCallbackMap = Readonly<Partial<Record<TaskCallbackKey, (...values: unknown[]) => unknown>>>;

/** A Dag's own callback with what it may read. */
export type BoundCallback = { readonly needs: CallbackNeeds; readonly run: (context: unknown) => unknown };

export type DeadlineReference =
  | { readonly reference_type: 'DagRunQueuedAtDeadline' }
  | { readonly reference_type: 'DagRunLogicalDateDeadline' }
  | { readonly reference_type: 'FixedDatetimeDeadline'; readonly datetime: number }
  | { readonly reference_type: 'AverageRuntimeDeadline'; readonly max_runs: number; readonly min_runs: number };

export type BoundDeadline = {
  readonly name: string | null;
  readonly reference: DeadlineReference;
  /** Seconds. */
  readonly interval: number;
  readonly callback: BoundCallback;
};

export type DagCallbacks = {
  readonly success: BoundCallback | null;
  readonly failure: BoundCallback | null;
  readonly deadlines: readonly BoundDeadline[];
};

const CALLBACK = Symbol.for('airlock.callback');
const MAX_DEADLINES = 20;
const MAX_RUNS = 1000;

/**
 * A callback of a Dag that needs connections, variables or results of tasks; `needs` is at once the type of `context.needs` and
 * the right.
 */
export function callback<N extends CallbackNeeds>(options: {
  readonly needs: N;
  readonly run: (context: DagContext<N>) => unknown;
}): NeedyCallback {
  const given = checkKeys('callback', options, ['needs', 'run']);
  if (typeof given.run !== 'function')
    throw new DagError(`callback: run is ${show(given.run)}, not a function.`, 'Write run: async (context) => { … }.');
  return Object.freeze({
    [CALLBACK]: true,
    needs: readCallbackNeeds(given.needs, 'callback'),
    run: given.run,
  }) as NeedyCallback;
}

/** @throws DagError */
function readCallback(value: unknown, where: string): BoundCallback | null {
  if (value === undefined) return null;
  if (typeof value === 'function') return { needs: {}, run: value as BoundCallback['run'] };
  if (typeof value === 'object' && value !== null && CALLBACK in value) return value as unknown as BoundCallback;
  throw new DagError(
    `${where}: ${show(value)} is not a callback.`,
    'Give a function, or callback({ needs: { … }, run: async (context) => { … } }).',
  );
}

/** The callbacks that the options of a task name. @throws DagError */
export function readTaskCallbacks(own: Given, defaults: Given, where: string): TaskCallbackMap {
  const found: Partial<Record<TaskCallbackKey, (...values: unknown[]) => unknown>> = {};
  for (const key of TASK_CALLBACK_KEYS) {
    const value = own[key] ?? defaults[key];
    if (value === undefined) continue;
    if (typeof value !== 'function')
      throw new DagError(
        `${where}.${key}: ${show(value)} is not a function.`,
        `Write ${key}: async (context) => { … }.`,
      );
    found[key] = value as (...values: unknown[]) => unknown;
  }
  return found;
}

/** The Dag's own callbacks. @throws DagError */
export function readDagCallbacks(given: Given, where: string, timezone: string): DagCallbacks {
  const list = given.deadlines ?? [];
  if (!Array.isArray(list) || list.length > MAX_DEADLINES)
    throw new DagError(`${where}.deadlines: ${show(list)} is not a list of at most ${MAX_DEADLINES}.`, 'Give a list.');
  return {
    success: readCallback(given.onSuccess, `${where}.onSuccess`),
    failure: readCallback(given.onFailure, `${where}.onFailure`),
    deadlines: list.map((one, i) => readDeadline(one, `${where}.deadlines[${i}]`, timezone)),
  };
}

function readDeadline(value: unknown, where: string, timezone: string): BoundDeadline {
  const given = checkKeys(where, value, ['name', 'from', 'within', 'call']);
  const call = readCallback(given.call, `${where}.call`);
  if (call === null) throw new DagError(`${where}: nothing is called.`, 'Write call: async (context) => { … }.');
  return {
    name: readText(given, 'name', where) ?? null,
    reference: readReference(given.from, `${where}.from`, timezone),
    interval: parseDuration(given.within, `${where}.within`, { min: 0.001 }),
    callback: call,
  };
}

function readReference(from: unknown, where: string, timezone: string): DeadlineReference {
  if (from === 'queued') return { reference_type: 'DagRunQueuedAtDeadline' };
  if (from === 'logicalDate') return { reference_type: 'DagRunLogicalDateDeadline' };
  if (typeof from === 'object' && from !== null && 'at' in from) {
    const { at } = checkKeys(where, from, ['at']);
    return { reference_type: 'FixedDatetimeDeadline', datetime: parseInstant(at, `${where}.at`, timezone) };
  }
  if (typeof from === 'object' && from !== null && 'averageOf' in from) {
    const given = checkKeys(where, from, ['averageOf', 'atLeast']);
    const most = readInteger(given, 'averageOf', where, 1, MAX_RUNS)!;
    const least = readInteger(given, 'atLeast', where, 1, most) ?? most;
    return { reference_type: 'AverageRuntimeDeadline', max_runs: most, min_runs: least };
  }
  throw new DagError(
    `${where}: ${show(from)} is no start of a deadline.`,
    "Use 'queued', 'logicalDate', { at: '2026-12-24T18:00' } or { averageOf: 10, atLeast: 3 }.",
  );
}
