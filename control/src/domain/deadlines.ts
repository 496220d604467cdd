/** The deadlines that a document declares. @see serialized Dag 9; scheduling semantics 10.2 */
import { isObject } from './values.ts';

export type DeadlineDefinition = {
  /** Place among the Dag's definitions. */
  readonly position: number;
  readonly name: string | null;
  readonly reference:
    | { readonly type: 'DagRunLogicalDateDeadline' | 'DagRunQueuedAtDeadline' }
    | { readonly type: 'FixedDatetimeDeadline'; readonly atMs: number }
    | { readonly type: 'AverageRuntimeDeadline'; readonly maxRuns: number; readonly minRuns: number }
    /** A class of the author's own, which nobody evaluates: Airflow gives it a session of the database. */
    | { readonly type: 'own'; readonly classPath: string };
  /** Seconds, or the variable that says how many. */
  readonly interval: number | { readonly variable: string };
  readonly callback: {
    readonly path: string;
    readonly kwargs: Readonly<Record<string, unknown>>;
    readonly asynchronous: boolean;
  };
};

/** More are not read: each is a row of every run. */
const MAX_DEADLINES = 100;
const DEFAULT_RUNS = 10;
/** A hundred years, seconds. */
const MAX_SECONDS = 3_155_760_000;

/** A Dag's deadlines; left out are the identifiers by which another server replaced its definitions. */
export function readDeadlines(deadline: unknown): readonly DeadlineDefinition[] {
  const list = Array.isArray(deadline) ? deadline : isObject(deadline) ? [deadline] : [];
  return list.slice(0, MAX_DEADLINES).flatMap((one: unknown, position) => {
    const read = isObject(one) ? readOne(one, position) : null;
    return read ? [read] : [];
  });
}

function readOne(one: Readonly<Record<string, unknown>>, position: number): DeadlineDefinition | null {
  const reference = readReference(one.reference);
  const interval = readInterval(one.interval);
  const callback = readCallback(one.callback);
  if (!reference || !callback || interval === null) return null;
  return { position, name: typeof one.name === 'string' ? one.name : null, reference, interval, callback };
}

/** Releases before 3.2 wrote the bare seconds. */
function readInterval(interval: unknown): DeadlineDefinition['interval'] | null {
  const data = isObject(interval) ? interval.__data__ : interval;
  if (typeof data === 'number') return Number.isFinite(data) ? data : null;
  return isObject(data) && typeof data.key === 'string' && data.key !== '' ? { variable: data.key } : null;
}

/** What Python reads as whole seconds, as a variable has it. @returns null for anything else */
export function secondsOfVariable(text: string): number | null {
  const digits = /^\s*([+-]?\d+(?:_\d+)*)\s*$/.exec(text)?.[1];
  const seconds = digits === undefined ? Number.NaN : Number(digits.replaceAll('_', ''));
  return Math.abs(seconds) <= MAX_SECONDS ? seconds : null;
}

function readReference(reference: unknown): DeadlineDefinition['reference'] | null {
  if (!isObject(reference)) return null;
  const { reference_type: type, datetime, max_runs: most, min_runs: least, __class_path: own } = reference;
  // It may have the name of one of Airflow's.
  if (own !== undefined) return { type: 'own', classPath: String(own).slice(0, 250) };
  switch (type) {
    case 'DagRunLogicalDateDeadline':
    case 'DagRunQueuedAtDeadline':
      return { type };
    case 'FixedDatetimeDeadline':
      return typeof datetime === 'number' ? { type, atMs: Math.round(datetime * 1000) } : null;
    case 'AverageRuntimeDeadline': {
      const maxRuns = positive(most) ?? DEFAULT_RUNS;
      return { type, maxRuns, minRuns: positive(least) ?? maxRuns };
    }
    default:
      return { type: 'own', classPath: String(type).slice(0, 250) };
  }
}

const positive = (value: unknown): number | null =>
  typeof value === 'number' && Number.isInteger(value) && value > 0 && value < 1e6 ? value : null;

function readCallback(callback: unknown): DeadlineDefinition['callback'] | null {
  if (!isObject(callback) || !isObject(callback.__data__) || typeof callback.__data__.path !== 'string') return null;
  const { path, kwargs } = callback.__data__;
  return {
    path,
    kwargs: isObject(kwargs) ? kwargs : {},
    asynchronous: String(callback.__classname__).endsWith('.AsyncCallback'),
  };
}
