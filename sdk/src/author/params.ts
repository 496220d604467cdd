/** Params of a Dag: named values with defaults that a person may replace when they trigger a run. */
import { DagError, show } from './dag-error.ts';
import { findJsonProblem, type Json } from './json.ts';

/** JSON Schema that the server checks the run's conf with, plus display hints (`title`, `examples`, `format`). */
export type ParamSchema = { readonly [keyword: string]: Json };

/** A param with its own schema. Without `default`, whoever triggers a run must give a value. */
export interface ParamDeclaration {
  readonly default?: Json;
  readonly schema?: ParamSchema;
  readonly description?: string;
}

/** Name → default value, or declaration. An object with only these three keys is a declaration. */
export type ParamInputs = Readonly<Record<string, Json | ParamDeclaration>>;

type Widen<T> = T extends string
  ? string
  : T extends number
    ? number
    : T extends boolean
      ? boolean
      : T extends null
        ? null
        : T extends readonly (infer E)[]
          ? readonly Widen<E>[]
          : T extends object
            ? { readonly [K in keyof T]: Widen<T[K]> }
            : T;

type TypeNames = {
  string: string;
  number: number;
  integer: number;
  boolean: boolean;
  null: null;
  array: readonly Json[];
  object: { readonly [key: string]: Json };
};
type OfSchema<S> = S extends { readonly enum: readonly (infer E)[] }
  ? E
  : S extends { readonly type: infer N }
    ? N extends keyof TypeNames
      ? TypeNames[N]
      : N extends readonly (infer M)[]
        ? M extends keyof TypeNames
          ? TypeNames[M]
          : Json
        : Json
    : Json;
type OfParam<T> = T extends { readonly schema: infer S }
  ? S extends { readonly enum: unknown } | { readonly type: unknown }
    ? OfSchema<S>
    : T extends { readonly default: infer D }
      ? Widen<D>
      : Json
  : T extends { readonly default: infer D }
    ? Widen<D>
    : Widen<T>;

/** What `run` reads as `params`. */
export type ParamValues<P> = { readonly [K in keyof P]: OfParam<P[K]> };

/** One param, ready to serialize. `hasDefault` false: a value must be given with each run. */
export type Param = {
  readonly name: string;
  readonly hasDefault: boolean;
  readonly default: Json;
  readonly schema: ParamSchema;
  readonly description: string | null;
};

const DECLARATION_KEYS = new Set(['default', 'schema', 'description']);

function isDeclaration(value: unknown): value is ParamDeclaration {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const keys = Object.keys(value);
  return keys.some((k) => k === 'default' || k === 'schema') && keys.every((k) => DECLARATION_KEYS.has(k));
}

/** The schema that a bare default implies: its JSON type, and no more. */
function inferSchema(value: Json): ParamSchema {
  if (value === null) return {};
  if (Array.isArray(value)) return { type: 'array' };
  return { type: typeof value as 'string' };
}

/** Reads `params` of a Dag, in the author's order. @throws DagError */
export function readParams(inputs: unknown): readonly Param[] {
  if (inputs === undefined) return [];
  if (typeof inputs !== 'object' || inputs === null || Array.isArray(inputs)) {
    throw new DagError(`params: ${show(inputs)} is not an object.`, "Write it as params: { day: '2026-01-01' }.");
  }
  return Object.entries(inputs as Record<string, unknown>).map(([name, input]) => readParam(name, input));
}

function readParam(name: string, input: unknown): Param {
  const declared: ParamDeclaration = isDeclaration(input) ? input : { default: input as Json };
  const hasDefault = declared.default !== undefined;
  if (!hasDefault && declared.schema === undefined) {
    throw new DagError(`params.${name} is undefined.`, 'Give a default value, or { schema } when one must be given.');
  }
  for (const part of ['default', 'schema'] as const) {
    const problem = declared[part] === undefined ? null : findJsonProblem(declared[part], `params.${name}`);
    if (problem) throw new DagError(`${problem.path} is ${problem.what}.`, problem.hint);
  }
  const schema = declared.schema ?? inferSchema(declared.default as Json);
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) {
    throw new DagError(
      `params.${name}.schema: ${show(schema)} is not a JSON Schema.`,
      "Write it as { type: 'string' }.",
    );
  }
  const description = declared.description ?? null;
  return { name, hasDefault, default: hasDefault ? (declared.default as Json) : null, schema, description };
}
