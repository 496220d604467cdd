/** What a task's execution needs of the outside: the supervisor in a real run, memory in a test. */
import type { LogLevel, RunContext } from '@airlock/contract/ipc/runner';

/** A connection as the Execution API gives it. `extra` is JSON text. */
export type ConnectionAnswer = {
  readonly conn_id?: string;
  readonly conn_type: string;
  readonly host?: string | null;
  readonly login?: string | null;
  readonly password?: string | null;
  readonly port?: number | null;
  readonly schema?: string | null;
  readonly extra?: string | null;
};

export type TaskHost = {
  /** Null when it does not exist. Throws when it may not be read. */
  variable(key: string): Promise<string | null>;
  /** Null when it does not exist. Throws when it may not be read. */
  connection(id: string): Promise<ConnectionAnswer | null>;
  /** Result of a task of this run; undefined when it gave none. */
  result(taskId: string): Promise<unknown>;
  /** Results of a mapped task, in order; those that gave none are missing. */
  results(taskId: string): Promise<readonly unknown[]>;
  /** What the task was called with, for people to read. */
  showInput(input: unknown): Promise<void>;
  log(level: LogLevel, event: string, fields?: Readonly<Record<string, unknown>>): void;
  nowMs(): number;
};

/** One try of one task. */
export type Assignment = {
  readonly context: RunContext;
  readonly workDir: string;
  readonly signal: AbortSignal;
};
