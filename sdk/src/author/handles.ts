/**
 * Connections, variables and results as a Dag file names them: handles, not values. A value exists only inside `run`, as
 * `needs.<name>`, and only for a task or callback that declared it.
 */
import { DagError } from './dag-error.ts';

/** Credentials of an outside system, as `run` receives them. */
export interface Connection {
  readonly id: string;
  readonly type: string;
  readonly host: string | null;
  readonly login: string | null;
  readonly password: string | null;
  readonly port: number | null;
  readonly schema: string | null;
  /** The extra fields, read as JSON; `{}` when there are none. */
  readonly extra: Readonly<Record<string, unknown>>;
  /** Connections of type `fs`: the folder that the sandbox opened for this task. */
  readonly path?: string;
}

declare const valueType: unique symbol;

/** Names a connection. Reading one at parse time is impossible: it has no value. */
export interface ConnectionHandle {
  readonly kind: 'connection';
  readonly id: string;
}

/** Names a variable whose value has type `T`. */
export interface VariableHandle<T> {
  readonly kind: 'variable';
  readonly key: string;
  /** Used when the variable does not exist. Absent: then the task fails. */
  readonly fallback?: T;
  readonly json: boolean;
  readonly [valueType]?: T;
}

/** Names the result of a task of the run, which has type `T`. */
export interface ResultHandle<T> {
  readonly kind: 'result';
  readonly taskId: string;
  readonly [valueType]?: T;
}

export type Handle = ConnectionHandle | VariableHandle<unknown>;
/** What a task declares: a name of its own choice for each handle. */
export type NeedHandles = Readonly<Record<string, Handle>>;
/** What a callback of a Dag declares; a task gets results as its input. */
export type CallbackNeeds = Readonly<Record<string, Handle | ResultHandle<unknown>>>;
/** What `run` gets for them. */
export type NeedValues<N> = {
  readonly [K in keyof N]: N[K] extends ConnectionHandle
    ? Connection
    : N[K] extends VariableHandle<infer T>
      ? T
      : N[K] extends ResultHandle<infer T>
        ? T | undefined
        : never;
};

const HANDLE = Symbol.for('airlock.handle');
const NAME = /^[^\s/\\][^/\\\n\r]{0,249}$/;

/** Objects whose use as text is a mistake worth explaining. */
function handle<T extends object>(what: string, fields: T): T {
  const refuse = (): never => {
    throw new DagError(
      `${what} is a handle, not a value.`,
      'Declare it under needs of the task, and read needs.<name> inside run.',
    );
  };
  return Object.freeze(
    Object.defineProperties(fields, { [HANDLE]: { value: true }, [Symbol.toPrimitive]: { value: refuse } }),
  );
}

function checkName(kind: string, name: unknown): void {
  if (typeof name !== 'string' || !NAME.test(name)) {
    throw new DagError(
      `${kind}(${JSON.stringify(name)}): a name of 1 to 250 characters is needed.`,
      'Give it as text.',
    );
  }
}

/** A handle to the connection with this id. */
export function connection(id: string): ConnectionHandle {
  checkName('connection', id);
  return handle(`connection('${id}')`, { kind: 'connection' as const, id });
}

/**
 * A handle to a variable. Values are text; name the type when only some texts occur: `variable<'eu' | 'us'>('region')`.
 * With `{ json: true }` the text is read as JSON, and `T` is its type.
 */
export function variable<T = string>(
  key: string,
  options: { readonly default?: T; readonly json?: boolean } = {},
): VariableHandle<T> {
  checkName('variable', key);
  const fallback = 'default' in options ? { fallback: options.default as T } : {};
  return handle(`variable('${key}')`, { kind: 'variable' as const, key, json: options.json === true, ...fallback });
}

/**
 * A handle to what a task of the run has given, for callbacks of the Dag; of a fan-out the list of results. Its value is
 * undefined where the task has given none: it has failed, was skipped, or has not run.
 */
export function result<T>(taskId: string): ResultHandle<T> {
  checkName('result', taskId);
  return handle(`result('${taskId}')`, { kind: 'result' as const, taskId });
}

/** True for what `connection`, `variable` and `result` return. */
export function isHandle(value: unknown): value is Handle | ResultHandle<unknown> {
  return typeof value === 'object' && value !== null && HANDLE in value;
}
