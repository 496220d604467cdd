/**
 * Connections and variables as a Dag file names them: handles, not values. A value exists only inside `run`, as
 * `needs.<name>`, and only for a task that declared it.
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

export type Handle = ConnectionHandle | VariableHandle<unknown>;
/** What a task declares: a name of its own choice for each handle. */
export type NeedHandles = Readonly<Record<string, Handle>>;
/** What `run` gets for them. */
export type NeedValues<N> = {
  readonly [K in keyof N]: N[K] extends ConnectionHandle
    ? Connection
    : N[K] extends VariableHandle<infer T>
      ? T
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

/** True for what `connection` and `variable` return. */
export function isHandle(value: unknown): value is Handle {
  return typeof value === 'object' && value !== null && HANDLE in value;
}
