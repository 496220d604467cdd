/**
 * Values between tasks travel as JSON. The types here make everything else fail to compile; `findJsonProblem` finds at run
 * time what types can't see.
 */

/** Any JSON value. Properties may be absent; `undefined` in one means absent. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

declare const why: unique symbol;
/** What the compiler shows where a value is not JSON; `Why` says what to do. */
export type NotJson<Why extends string> = { readonly [why]: Why };

type Uncloneable =
  | Date
  | RegExp
  | Error
  | URL
  | PromiseLike<unknown>
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | WeakMap<WeakKey, unknown>
  | WeakSet<WeakKey>
  | ArrayBuffer
  | ArrayBufferView;

/** `T` where `T` is JSON; where it is not, a type that nothing fits and that names the reason. `any` passes. */
export type Jsonable<T> = 0 extends 1 & T
  ? T
  : unknown extends T
    ? NotJson<'unknown: give the result a type'>
    : T extends string | number | boolean | null
      ? T
      : T extends undefined
        ? NotJson<'undefined: use null'>
        : T extends bigint | symbol
          ? NotJson<'bigint and symbol are not JSON: use a string'>
          : T extends (...args: never[]) => unknown
            ? NotJson<'functions are not JSON'>
            : T extends Uncloneable
              ? NotJson<'this object is not JSON: send its text or its entries'>
              : T extends readonly unknown[]
                ? { [K in keyof T]: Jsonable<T[K]> }
                : T extends object
                  ? {
                      [K in keyof T]: undefined extends T[K]
                        ? Jsonable<Exclude<T[K], undefined>> | undefined
                        : Jsonable<T[K]>;
                    }
                  : never;

/**
 * What `run` may return for a result of type `R`: JSON or nothing, at once or promised. The compiler infers `R` through
 * the first branch; a bound on `R` itself would be circular.
 */
// biome-ignore lint/suspicious/noConfusingVoidType: a body without a return statement has the result type void.
export type Returned<R> = [Exclude<R, undefined | void>] extends [Jsonable<Exclude<R, undefined | void>>]
  ? R | Promise<R>
  : Jsonable<R> | Promise<Jsonable<R>>;

/** One place in a value that JSON can't carry. `path` is like `$.rows[3].at`. */
export type JsonProblem = { readonly path: string; readonly what: string; readonly hint: string };

/** Deepest nesting that is sent; the server refuses 64. */
export const MAX_JSON_DEPTH = 60;

const step = (path: string, key: string) =>
  /^[A-Za-z_$][\w$]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;

/**
 * The first place where `value` is not JSON, or null. A property that is `undefined` counts as absent; an `undefined` in
 * a list does not, since JSON would turn it into null.
 */
export function findJsonProblem(value: unknown, path = '$', above: Set<object> = new Set()): JsonProblem | null {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return null;
    case 'number':
      return Number.isFinite(value) ? null : { path, what: String(value), hint: 'JSON has no such number; use null.' };
    case 'undefined':
      return { path, what: 'undefined', hint: 'Use null.' };
    case 'function':
      return { path, what: `the function ${value.name || '(anonymous)'}`, hint: 'Return what it computes instead.' };
    case 'bigint':
      return { path, what: 'a BigInt', hint: 'Use a number or a string.' };
    case 'symbol':
      return { path, what: 'a symbol', hint: 'Use a string.' };
    default:
      return value === null ? null : problemOfObject(value as object, path, above);
  }
}

function problemOfObject(value: object, path: string, above: Set<object>): JsonProblem | null {
  if (above.has(value)) return { path, what: 'a reference to an object that contains it', hint: 'JSON has no cycles.' };
  if (above.size >= MAX_JSON_DEPTH) {
    return { path, what: `nested deeper than ${MAX_JSON_DEPTH} levels`, hint: 'Flatten the value.' };
  }
  const kind = Object.prototype.toString.call(value).slice(8, -1);
  if (value instanceof Date) return { path, what: 'a Date', hint: 'Use date.toISOString().' };
  if (value instanceof Map || value instanceof Set) {
    return { path, what: `a ${kind}`, hint: 'Use an array: [...value].' };
  }
  if (value instanceof Promise || typeof (value as { then?: unknown }).then === 'function') {
    return { path, what: 'a Promise', hint: 'Await it first.' };
  }
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) {
    return { path, what: `binary data (${kind})`, hint: 'Write it to a file or store and return its name.' };
  }
  if (value instanceof Error || value instanceof RegExp || value instanceof URL) {
    return { path, what: `a ${kind}`, hint: 'Use its text: String(value).' };
  }
  above.add(value);
  const found = Array.isArray(value) ? problemOfItems(value, path, above) : problemOfFields(value, path, above);
  above.delete(value);
  return found;
}

function problemOfItems(list: readonly unknown[], path: string, above: Set<object>): JsonProblem | null {
  for (let i = 0; i < list.length; i++) {
    const found = findJsonProblem(list[i], `${path}[${i}]`, above);
    if (found) return found;
  }
  return null;
}

function problemOfFields(value: object, path: string, above: Set<object>): JsonProblem | null {
  for (const [key, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    const found = findJsonProblem(inner, step(path, key), above);
    if (found) return found;
  }
  return null;
}
