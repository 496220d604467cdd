/** The types that an author meets: tasks, the nodes that calling them makes, and what `run` receives. */
import type { Duration } from './duration.ts';
import type { CallbackNeeds, NeedHandles, NeedValues } from './handles.ts';
import type { Returned } from './json.ts';
import type { ParamInputs, ParamValues } from './params.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { Schedule } from './schedule.ts';
import type { Reads, Trigger } from './until.ts';

declare const result: unique symbol;

/** A task placed in the Dag. Stands for its future result: give it to another task as input, or order by it. */
export interface Node<T> {
  readonly taskId: string;
  /** Runs only after these, without using their results. Returns the same node. */
  after(...nodes: readonly Node<unknown>[]): this;
  readonly [result]: T;
}

/** A value of type `T`, or the node of a task that will give it; also inside lists and objects. */
export type Input<T> = Node<T> | PlainInput<T>;
type PlainInput<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends readonly (infer E)[]
    ? T | readonly Input<E>[]
    : T extends object
      ? T | { readonly [K in keyof T]: Input<T[K]> }
      : T;
export type Inputs<I> = { readonly [K in keyof I]: Input<I[K]> };
/** For `map`: each argument is a list, or the node of a task that gives a list. */
export type MapInputs<I> = {
  readonly [K in keyof I]: Node<readonly Exclude<I[K], undefined>[]> | readonly Input<I[K]>[];
};

export interface MapOptions {
  /** Most elements that are accepted; more fail the task. */
  readonly limit?: number;
  /** How many elements of one run are worked on at once. */
  readonly concurrency?: number;
}

/** The object type without known properties. */
type Empty = Record<never, never>;
type NoInput = { readonly [name: string]: never };
type CallArguments<I> = [keyof I] extends [never]
  ? [input?: NoInput]
  : Empty extends I
    ? [input?: Inputs<I>]
    : [input: Inputs<I>];

/** A declared task. Calling it places it in the Dag, once. */
export interface Task<I, R> {
  (...args: CallArguments<I>): Node<R>;
  readonly taskId: string;
  /** One instance per element; several lists give every combination, the last list varying fastest. */
  map(inputs: [keyof I] extends [never] ? never : MapInputs<I>, options?: MapOptions): Node<R[]>;
  /** The same task with some inputs fixed: constants beside the lists of `map`. */
  with<F extends Partial<Inputs<I>>>(inputs: F): Task<Omit<I, keyof F>, R>;
  /** The same body as another task, for use at a second place. */
  as(taskId: string): Task<I, R>;
}

export interface Logger {
  debug(event: string, fields?: Readonly<Record<string, unknown>>): void;
  info(event: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(event: string, fields?: Readonly<Record<string, unknown>>): void;
  error(event: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** The run that a try belongs to. */
export interface RunInfo {
  readonly dagId: string;
  readonly runId: string;
  /** `scheduled`, `manual`, `backfill`, … */
  readonly type: string;
  readonly logicalDate: Date | null;
  readonly dataIntervalStart: Date | null;
  readonly dataIntervalEnd: Date | null;
  readonly runAfter: Date;
  /** What the run was triggered with; `params` has it laid over the defaults. */
  readonly conf: Readonly<Record<string, unknown>>;
}

export interface TaskInfo {
  readonly taskId: string;
  readonly mapIndex: number;
  readonly tryNumber: number;
  /** Number of the last try that will be made. */
  readonly maxTries: number;
  readonly startDate: Date;
}

/** Second argument of `run` and the argument of `check`. */
export interface Context<P, N> {
  readonly params: ParamValues<P>;
  readonly needs: NeedValues<N>;
  readonly log: Logger;
  /** Aborted when the try has to stop: its timeout, a person, or the end of the worker. */
  readonly signal: AbortSignal;
  readonly run: RunInfo;
  readonly task: TaskInfo;
  /** A private, empty folder; gone when the try ends. */
  readonly workDir: string;
  /** Position in the fan-out; -1 when not mapped. */
  readonly mapIndex: number;
  /** 1 for the first try. */
  readonly tryNumber: number;
}

/** What both tasks and the Dag's `defaults` may set. */
export interface CommonOptions {
  /** Tries after the first one. Default 0. */
  readonly retries?: number;
  /** Wait before a retry: `'30s'`, or a range `'10s..5m'` that doubles from the first to the second. Default 5 minutes. */
  readonly retryDelay?: Duration;
  /**
   * Asked about the error of a try that is to be retried: `{ retry: '5m' }` waits so long, `{ fail: 'why' }` ends the task, nothing
   * leaves it as it is. Not asked about `Fail`, nor where the process is gone: killed, timed out, lost worker.
   */
  readonly retryPolicy?: RetryPolicy;
  /** Longest run of one try. Default none. */
  readonly timeout?: Duration;
  readonly pool?: string;
  readonly poolSlots?: number;
  /** Which workers may take it. Default `typescript`. */
  readonly queue?: string;
  /** Larger goes first; counts in everything downstream. Default 1. */
  readonly priority?: number;
  readonly owner?: string;
  /** Wait for this task's success in the run before. */
  readonly dependsOnPast?: boolean;
}

/**
 * What a task does besides its body when a try has ended. Called in the task's own process, with what the body had; a callback
 * that fails is logged and changes nothing. Where the process is gone (killed, time-out, lost worker), `onFailure` and `onRetry`
 * are called in a process of their own. Each has 20 seconds.
 */
export interface TaskCallbacks<P, N> {
  readonly onSuccess?: (context: Context<P, N>, value: unknown) => unknown;
  /** The task has failed for good. */
  readonly onFailure?: (context: Context<P, N>, error: Error) => unknown;
  /** The try has failed, and another one follows. */
  readonly onRetry?: (context: Context<P, N>, error: Error) => unknown;
  readonly onSkip?: (context: Context<P, N>, reason: string) => unknown;
}

/** How a run ended, as callbacks read it. */
export type RunEnd = 'success' | 'task_failure' | 'all_tasks_deadlocked' | 'timed_out';

/** The argument of a Dag's own callbacks. */
export interface DagContext<N> {
  readonly params: Readonly<Record<string, unknown>>;
  readonly needs: NeedValues<N>;
  readonly log: Logger;
  readonly run: RunInfo;
  /** Of a run that has ended; null for a deadline. */
  readonly reason: RunEnd | null;
  /** The task instance that decided the end of the run; null where none did, as in a run of which everything was skipped. */
  readonly task: { readonly taskId: string; readonly mapIndex: number; readonly tryNumber: number } | null;
  /** The deadline that was missed. */
  readonly deadline: { readonly name: string | null; readonly at: Date } | null;
  readonly workDir: string;
}

/** A callback of a Dag: a function, or what `callback` gives where it needs something. */
export type DagCallback = ((context: DagContext<Empty>) => unknown) | NeedyCallback;

declare const needy: unique symbol;
/** A function with what it needs; made by `callback`. */
export interface NeedyCallback {
  readonly needs: CallbackNeeds;
  readonly [needy]?: true;
}

/** By when a run has to be over, and what is called when it is not. */
export interface Deadline {
  readonly name?: string;
  /**
   * What `within` counts from: the instant at which the run was queued, its logical date, a fixed instant, or (of the average
   * length of the last `averageOf` runs, once there are `atLeast`) the queueing plus that average.
   */
  readonly from:
    | 'queued'
    | 'logicalDate'
    | { readonly at: string }
    | { readonly averageOf: number; readonly atLeast?: number };
  readonly within: Duration;
  readonly call: DagCallback;
}

export interface TaskOptions<N extends NeedHandles> extends CommonOptions {
  /** Connections and variables; at once the type of `needs` in `run` and the right to read them. */
  readonly needs?: N;
  /** Markdown, shown in the UI. */
  readonly docs?: string;
  readonly displayName?: string;
}

export interface SensorOptions<P, N extends NeedHandles> extends TaskOptions<N>, TaskCallbacks<P, N> {
  /** Time between two looks; the slot is free in between. Default 60 s. */
  readonly every?: Duration;
  /** From the first look; then the sensor fails, without retry. Default 7 days. */
  readonly timeout?: Duration;
  readonly check: (context: Context<P, N>) => boolean | Promise<boolean>;
}

export interface WaitOptions<P, N extends NeedHandles, E> extends TaskOptions<N> {
  /** What it waits for, or a function that says so when the task starts. No worker is held meanwhile. */
  readonly until: Trigger<E> | ((context: Context<P, N>) => Trigger<E> | Promise<Trigger<E>>);
  /** Dags, tasks and assets that it may look at, where `until` is a function; a trigger given as it is says so itself. */
  readonly reads?: Reads;
  /** From the start; then the task fails, without retry. Default: as long as it takes. */
  readonly timeout?: Duration;
}

/** What the builder function of `dag` receives. */
export interface DagBuilder<P> {
  /** Declares a task. `run` is called on a worker, never at parse time. */
  task<R, I extends object = Empty, N extends NeedHandles = Empty>(
    taskId: string,
    options: TaskOptions<N> & TaskCallbacks<P, N> & { readonly run: (input: I, context: Context<P, N>) => Returned<R> },
  ): Task<I, R>;
  /** Declares a task that waits: `check` is called each `every` until it gives true. */
  sensor<N extends NeedHandles = Empty>(taskId: string, options: SensorOptions<P, N>): Task<Empty, undefined>;
  /** Declares a task that waits for a trigger, such as `until.delay('2h')`; its result is the trigger's event. */
  wait<E, N extends NeedHandles = Empty>(taskId: string, options: WaitOptions<P, N, E>): Task<Empty, E>;
  /** Tasks declared inside get `<groupId>.` before their ids and are drawn together. Returns what `build` returns. */
  group<T>(groupId: string, build: (d: DagBuilder<P>) => T): T;
  group<T>(
    groupId: string,
    options: { readonly docs?: string; readonly displayName?: string },
    build: (d: DagBuilder<P>) => T,
  ): T;
}

export interface DagOptions<P extends ParamInputs> {
  readonly schedule?: Schedule;
  /** IANA name; of cron fields and of dates without an offset. Default UTC. */
  readonly timezone?: string;
  readonly startDate?: string;
  readonly endDate?: string;
  /** Make the runs that were missed since `startDate`. Default false. */
  readonly catchup?: boolean;
  /** Default 16. */
  readonly maxActiveRuns?: number;
  /** Of one run. Default 16. */
  readonly maxActiveTasks?: number;
  readonly runTimeout?: Duration;
  readonly tags?: readonly string[];
  readonly description?: string;
  /** Markdown, shown in the UI. */
  readonly docs?: string;
  readonly displayName?: string;
  /** Whether the Dag waits for a person to switch it on when it is seen for the first time. Default: the server's setting. */
  readonly paused?: boolean;
  /** Fail the run with its first failed task. Default false. */
  readonly failFast?: boolean;
  readonly params?: P;
  /** For every task that does not say otherwise. */
  readonly defaults?: CommonOptions & TaskCallbacks<P, Empty>;
  /** Called when a run has succeeded, in a process of its own. */
  readonly onSuccess?: DagCallback;
  /** Called when a run has failed, in a process of its own. */
  readonly onFailure?: DagCallback;
  readonly deadlines?: readonly Deadline[];
}
