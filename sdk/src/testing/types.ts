/** What a test gives to an in-memory run, and what it gets back. */
import type { Connection } from '../author/handles.ts';
import type { Json } from '../author/json.ts';

export type TaskState = 'success' | 'failed' | 'skipped' | 'upstream_failed';

export interface TestLogLine {
  readonly level: string;
  readonly event: string;
  readonly fields: Readonly<Record<string, unknown>>;
  /** Skipped time, epoch ms. */
  readonly atMs: number;
}

/** One task, or one element of a fan-out. */
export interface InstanceRun {
  readonly state: TaskState;
  /** What it returned; undefined when nothing, or when it did not succeed. */
  readonly value: unknown;
  /** Number of tries that were made; 0 when it never ran. */
  readonly tries: number;
  /** How often a sensor looked; 0 for tasks. */
  readonly looks: number;
  /** Of the last try. */
  readonly error: { readonly name: string; readonly message: string; readonly stack: string } | null;
  /** Why it was skipped. */
  readonly reason: string | null;
  readonly logs: readonly TestLogLine[];
  /** What the body was called with in the last try. */
  readonly input: unknown;
}

export interface TaskRun extends InstanceRun {
  readonly taskId: string;
  /** Elements of a fan-out in order; empty for other tasks. `value` is then the list of what they returned. */
  readonly instances: readonly InstanceRun[];
}

export interface TestRun {
  readonly state: 'success' | 'failed';
  readonly tasks: ReadonlyMap<string, TaskRun>;
  /** @throws Error when the Dag has no such task; names those that it has */
  task(taskId: string): TaskRun;
  /** Time that waits would have taken, seconds; nobody waited for it. */
  readonly skippedSeconds: number;
}

export interface TestOptions {
  /** What the run is triggered with; laid over the defaults of the Dag's params. */
  readonly params?: Readonly<Record<string, Json>>;
  /** Texts; other values are given as JSON text. */
  readonly variables?: Readonly<Record<string, Json>>;
  readonly connections?: Readonly<Record<string, Partial<Omit<Connection, 'id'>>>>;
  /** Bodies to run instead of the Dag's own, by task id. */
  // biome-ignore lint/suspicious/noExplicitAny: the test names the input's type, which is not known here.
  readonly replace?: Readonly<Record<string, (input: any, context: any) => unknown>>;
  /** Default: the start of the run. */
  readonly logicalDate?: string;
  /** Where skipped time starts. Default 2026-01-01T00:00:00Z. */
  readonly startDate?: string;
  /** Longest real time that one body may take, ms; also where its own `timeout` is longer. Default 5000. */
  readonly realTimeoutMs?: number;
  /** Where the tries' work folders are made and removed. Default /tmp. */
  readonly tempFolder?: string;
}
