/**
 * Schema problems in the wire's own words: a list of `{type, loc, msg, input, ctx?}`, as Airflow's framework writes them.
 * Schemas are zod's; a schema that must speak exactly raises a custom issue with `wireIssue`.
 */
import assert from 'node:assert/strict';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { sensitiveNames } from '@airlock/contract/sensitive-names';
import type { FastifyRequest } from 'fastify';

export type ValidationItem = {
  readonly type: string;
  readonly loc: ReadonlyArray<string | number>;
  readonly msg: string;
  readonly input: unknown;
  readonly ctx?: Readonly<Record<string, unknown>>;
};

/** What a schema of ours puts into `params` of a custom issue, to be sent as it is. */
export type WireIssue = { readonly type: string; readonly msg: string; readonly ctx?: Record<string, unknown> };

type Issue = z.core.$ZodIssue;
type Path = ReadonlyArray<PropertyKey>;

function at(input: unknown, path: Path): unknown {
  let value = input;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined;
    value = (value as Record<PropertyKey, unknown>)[key];
  }
  return value;
}

const show = (value: unknown): string => (typeof value === 'string' ? `'${value}'` : String(value));

/** `'a', 'b' or 'c'` */
export function oneOf(values: readonly unknown[]): string {
  const shown = values.map(show);
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} or ${shown.at(-1)}`;
}

const WRONG_TYPE: Record<string, [type: string, msg: string]> = {
  string: ['string_type', 'Input should be a valid string'],
  boolean: ['bool_type', 'Input should be a valid boolean'],
  array: ['list_type', 'Input should be a valid list'],
  tuple: ['list_type', 'Input should be a valid list'],
  record: ['dict_type', 'Input should be a valid dictionary'],
  date: ['datetime_type', 'Input should be a valid datetime'],
  null: ['none_required', 'Input should be None'],
};

function wrongType(expected: string, value: unknown, topLevel: boolean): [string, string] {
  if (expected === 'object' || expected === 'record') {
    if (expected === 'record' && !topLevel) return WRONG_TYPE.record!;
    return ['model_attributes_type', 'Input should be a valid dictionary or object to extract fields from'];
  }
  if (expected === 'int' || expected === 'number' || expected === 'nan' || expected === 'bigint') {
    const word = expected === 'int' ? 'integer' : 'number';
    const prefix = expected === 'int' ? 'int' : 'float';
    if (typeof value === 'string') {
      return [
        `${prefix}_parsing`,
        `Input should be a valid ${word}, unable to parse string as ${expected === 'int' ? 'an' : 'a'} ${word}`,
      ];
    }
    if (typeof value === 'number' && expected === 'int') {
      return ['int_from_float', 'Input should be a valid integer, got a number with a fractional part'];
    }
    return [`${prefix}_type`, `Input should be a valid ${word}`];
  }
  return WRONG_TYPE[expected] ?? ['value_error', `Value error, expected ${expected}`];
}

function size(
  issue: z.core.$ZodIssueTooBig | z.core.$ZodIssueTooSmall,
  value: unknown,
): Omit<ValidationItem, 'loc' | 'input'> {
  const small = issue.code === 'too_small';
  const bound = Number(small ? issue.minimum : issue.maximum);
  const plural = bound === 1 ? '' : 's';
  const most = small ? 'at least' : 'at most';
  if (issue.origin === 'string') {
    const msg = `String should have ${most} ${bound} character${plural}`;
    return small
      ? { type: 'string_too_short', msg, ctx: { min_length: bound } }
      : { type: 'string_too_long', msg, ctx: { max_length: bound } };
  }
  if (issue.origin === 'array' || issue.origin === 'set' || issue.origin === 'object' || issue.origin === 'map') {
    const actual = Array.isArray(value) ? value.length : Object.keys((value as object | undefined) ?? {}).length;
    const kind = issue.origin === 'array' ? 'List' : 'Dictionary';
    const msg = `${kind} should have ${most} ${bound} item${plural} after validation, not ${actual}`;
    return {
      type: small ? 'too_short' : 'too_long',
      msg,
      ctx: { field_type: kind, [small ? 'min_length' : 'max_length']: bound, actual_length: actual },
    };
  }
  const inclusive = issue.inclusive !== false;
  const word = `${small ? 'greater' : 'less'}_than${inclusive ? '_equal' : ''}`;
  const msg = `Input should be ${small ? 'greater' : 'less'} than ${inclusive ? 'or equal to ' : ''}${bound}`;
  const key = `${small ? 'g' : 'l'}${inclusive ? 'e' : 't'}`;
  return { type: word, msg, ctx: { [key]: bound } };
}

function itemsOf(issue: Issue, input: unknown, prefix: Path): ValidationItem[] {
  const path = [...prefix, ...issue.path.map((key) => (typeof key === 'symbol' ? String(key) : key))] as Array<
    string | number
  >;
  const value = at(input, issue.path);
  const parent = issue.path.length > 0 ? at(input, issue.path.slice(0, -1)) : undefined;
  const missing = value === undefined;
  const item = (type: string, msg: string, ctx?: Record<string, unknown>): ValidationItem[] => [
    { type, loc: path, msg, input: value ?? null, ...(ctx ? { ctx } : {}) },
  ];
  if (missing && issue.code !== 'unrecognized_keys') {
    const wire = issue.code === 'custom' ? (issue.params?.wire as WireIssue | undefined) : undefined;
    if (!wire || wire.type === 'missing') {
      return [
        { type: 'missing', loc: path, msg: 'Field required', input: issue.path.length > 0 ? (parent ?? null) : null },
      ];
    }
  }
  switch (issue.code) {
    case 'invalid_type':
      return item(...wrongType(issue.expected, value, issue.path.length === 0));
    case 'too_big':
    case 'too_small': {
      const found = size(issue, value);
      return item(found.type, found.msg, found.ctx as Record<string, unknown>);
    }
    case 'invalid_value': {
      const expected = oneOf(issue.values);
      return item(issue.values.length > 1 ? 'enum' : 'literal_error', `Input should be ${expected}`, { expected });
    }
    case 'invalid_format': {
      if (issue.format === 'uuid' || issue.format === 'guid')
        return item('uuid_parsing', 'Input should be a valid UUID', { error: 'invalid' });
      const pattern = String(issue.pattern ?? '').replace(/^\/(.*)\/[a-z]*$/s, '$1');
      return item('string_pattern_mismatch', `String should match pattern '${pattern}'`, { pattern });
    }
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        type: 'extra_forbidden',
        loc: [...path, key],
        msg: 'Extra inputs are not permitted',
        input: at(value, [key]) ?? null,
      }));
    case 'invalid_union': {
      // A word that says which form is meant, and means none: the forms are named, as for any other word.
      if ('options' in issue && Array.isArray(issue.options)) {
        const expected = oneOf(issue.options);
        return item('enum', `Input should be ${expected}`, { expected });
      }
      // As the reference does: the problems of each branch, one after the other, under the same place.
      const branches = issue.errors.flat();
      const seen = new Set<string>();
      const all = branches.flatMap((inner) =>
        itemsOf({ ...inner, path: [...issue.path, ...inner.path] } as Issue, input, prefix),
      );
      const unique = all.filter((one) => {
        const key = JSON.stringify([one.type, one.loc]);
        return !seen.has(key) && seen.add(key);
      });
      return unique.length > 0 ? unique : item('value_error', 'Value error, no accepted form matches', { error: {} });
    }
    case 'invalid_key':
      return item('invalid_key', 'Keys should be strings');
    case 'custom': {
      const wire = issue.params?.wire as WireIssue | undefined;
      if (wire) return item(wire.type, wire.msg, wire.ctx);
      return item('value_error', `Value error, ${issue.message}`, { error: {} });
    }
    default:
      return item('value_error', `Value error, ${issue.message}`, { error: {} });
  }
}

const isSensitive = sensitiveNames('');
const HIDDEN = '***';
const MAX_DEPTH = 100;

/**
 * What is shown of a value that was sent: nothing under names that say that it is secret, also inside JSON that stands in a
 * text, as in the `extra` of a connection. The reference sends all of it back, and an answer ends up in logs of clients.
 */
function shown(value: unknown, depth = 0): unknown {
  if (typeof value === 'string') {
    if (!value.startsWith('{')) return value;
    try {
      const inner: unknown = JSON.parse(value);
      const text = JSON.stringify(shown(inner, depth + 1));
      return text === JSON.stringify(inner) ? value : text;
    } catch (error) {
      return error instanceof SyntaxError ? value : HIDDEN;
    }
  }
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return HIDDEN;
  if (Array.isArray(value)) return value.map((item) => shown(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => [
      name,
      isSensitive(name) && inner !== null ? HIDDEN : shown(inner, depth + 1),
    ]),
  );
}

function withoutSecrets(item: ValidationItem): ValidationItem {
  const secret = item.input !== null && item.type !== 'missing' && item.loc.some((name) => isSensitive(String(name)));
  return { ...item, input: secret ? HIDDEN : shown(item.input) };
}

/** The issues of a failed parse, in the wire's form. `prefix` is `['body']`, `['query']`, … */
export function toValidationItems(error: z.core.$ZodError, input: unknown, prefix: Path): ValidationItem[] {
  return error.issues.flatMap((issue) => itemsOf(issue, input, prefix)).map(withoutSecrets);
}

/** The 422 answer for these items. */
export function validationError(items: readonly ValidationItem[]): AppError {
  const first = items[0];
  return new AppError('VALIDATION', {
    public: first ? `${first.loc.join('.')}: ${first.msg}` : 'The request is not valid.',
    detail: items,
  });
}

/** Checks `input` against `schema`. @throws VALIDATION, one item per problem */
export function check<S extends z.ZodType>(schema: S, input: unknown, prefix: Path): z.output<S> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw validationError(toValidationItems(result.error, input, prefix));
}

/** What the route says that it reads; absent where routes say nothing. */
type Declared = { readonly query?: z.ZodType; readonly body?: z.ZodType | { readonly shown: z.ZodType } };
declare module 'fastify' {
  interface FastifyContextConfig {
    declared?: Declared;
  }
}

/** The document of the API is made from what routes declare, so whoever reads by another schema made a mistake. */
function asDeclared(schema: z.ZodType, what: keyof Declared, request: FastifyRequest): void {
  const { declared } = request.routeOptions.config;
  if (declared === undefined) return;
  const known = declared[what];
  const differs = known !== schema && !(known !== undefined && 'shown' in known);
  assert.ok(!differs, `${request.method} ${request.routeOptions.url} does not declare the ${what} that it reads`);
}

/** The JSON body of `request`, checked. A body of another content type is refused as the text that it is. */
export function parseBody<S extends z.ZodType>(schema: S, request: FastifyRequest): z.output<S> {
  asDeclared(schema, 'body', request);
  return check(schema, request.body, ['body']);
}

/** The query string of `request`, checked. Values are strings, or lists of strings where a name is repeated. */
export function parseQuery<S extends z.ZodType>(schema: S, request: FastifyRequest): z.output<S> {
  asDeclared(schema, 'query', request);
  return check(schema, request.query ?? {}, ['query']);
}

/** Raises an issue that is sent word for word. For use inside `transform`, `superRefine` and the like. */
export function wireIssue(ctx: z.RefinementCtx, issue: WireIssue): never {
  ctx.addIssue({ code: 'custom', message: issue.msg, params: { wire: issue } });
  return z.NEVER as never;
}
