/**
 * A run's conf laid over the Dag's params, and the check of the result by JSON Schema 2020-12. The schemas come from Dag
 * files and so are untrusted: the validator interprets them (it makes no code), and patterns that can run for ever are
 * refused when the file is parsed. Texts are those that Airflow's clients see.
 * @see serialized Dag 4.5; REST 5.1
 */
import { AppError } from '@airlock/contract/errors';
import { plainJson } from '@airlock/contract/exact-json';
import { type OutputUnit, type Schema, Validator } from '@cfworker/json-schema';
import { refusePattern } from './pattern-check.ts';
import { printPython } from './python-text.ts';
import { isArgNotSet, isObject, isTagged, untag } from './values.ts';

export type ParamDefinition = {
  readonly name: string;
  readonly hasDefault: boolean;
  readonly default: unknown;
  readonly description: string | null;
  readonly schema: Readonly<Record<string, unknown>>;
};

/** Reads the pairs of a document. @throws DAG_INVALID for a schema that can't be used */
export function readParams(pairs: ReadonlyArray<readonly [string, unknown]>): readonly ParamDefinition[] {
  return pairs.map(([name, encoded]) => {
    const fields = isTagged(encoded) && encoded.__type === 'param' ? encoded.__var : encoded;
    const isParam = isObject(fields) && (Object.hasOwn(fields, '__class') || isTagged(encoded));
    if (!isParam || !isObject(fields)) {
      return { name, hasDefault: true, default: untag(encoded), description: null, schema: {} };
    }
    const schema = untag(fields.schema);
    const definition: ParamDefinition = {
      name,
      hasDefault: Object.hasOwn(fields, 'default') && !isArgNotSet(fields.default),
      default: untag(fields.default) ?? null,
      description: typeof fields.description === 'string' ? fields.description : null,
      schema: isObject(schema) ? schema : {},
    };
    checkSchema(name, definition.schema);
    return definition;
  });
}

function checkSchema(name: string, schema: unknown): void {
  if (Array.isArray(schema)) for (const item of schema) checkSchema(name, item);
  if (!isObject(schema)) return;
  for (const [keyword, value] of Object.entries(schema)) {
    if (keyword === 'pattern' && typeof value === 'string') checkPattern(name, value);
    if (keyword === 'patternProperties' && isObject(value))
      for (const key of Object.keys(value)) checkPattern(name, key);
    // A reference that leaves the document would be looked up somewhere else; nothing here looks anything up.
    if (keyword === '$ref' && typeof value === 'string' && !value.startsWith('#')) {
      throw new AppError('DAG_INVALID', {
        public: `Param ${JSON.stringify(name)} refers to a schema outside its Dag.`,
      });
    }
    checkSchema(name, value);
  }
}

function checkPattern(name: string, pattern: string): void {
  const why = refusePattern(pattern);
  if (why)
    throw new AppError('DAG_INVALID', { public: `The pattern of param ${JSON.stringify(name)} is refused: ${why}.` });
}

/** The params that a run sees: the Dag's defaults with its conf laid over. */
export function mergeParams(
  params: readonly ParamDefinition[],
  conf: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const defaults = params.filter((param) => param.hasDefault).map((param) => [param.name, param.default] as const);
  return { ...Object.fromEntries(defaults), ...conf };
}

/** @param conf may be exact JSON. @throws BAD_REQUEST with Airflow's text for the first param that is missing or does not fit its schema */
export function checkParams(params: readonly ParamDefinition[], conf: Readonly<Record<string, unknown>>): void {
  const merged = mergeParams(params, plainJson(conf));
  for (const { name, schema } of params) {
    if (!Object.hasOwn(merged, name)) {
      throw new AppError('BAD_REQUEST', {
        public: `Invalid input for param ${name}: No value passed and Param has no default value`,
      });
    }
    const value = merged[name];
    const result = new Validator(schema as Schema, '2020-12', false).validate(value);
    if (result.valid) continue;
    const failure = deepest(result.errors, schema, value);
    throw new AppError('BAD_REQUEST', { public: `Invalid input for param ${name}: ${failure}` });
  }
}

const at = (root: unknown, pointer: string): unknown =>
  pointer
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '')
    .map((part) => decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce<unknown>(
      (value, part) =>
        typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[part] : undefined,
      root,
    );

/** Keywords that only report the failure of something within. */
const WRAPPERS = new Set([
  'properties',
  'patternProperties',
  'items',
  'prefixItems',
  '$ref',
  'allOf',
  'dependentSchemas',
  'if',
  'then',
  'else',
]);

function deepest(errors: readonly OutputUnit[], schema: unknown, value: unknown): string {
  const error = errors.find(({ keyword }) => !WRAPPERS.has(keyword)) ?? errors[0]!;
  const keywordPath = error.keywordLocation;
  const owner = at(schema, keywordPath.slice(0, keywordPath.lastIndexOf('/')));
  const shown = isObject(owner) ? owner : schema;
  const instance = at(value, error.instanceLocation);
  const text = messageOf(error.keyword, isObject(shown) ? shown[error.keyword] : undefined, instance);
  const path = pythonPath(error.instanceLocation);
  return (
    `${text}\n\nFailed validating ${printPython(error.keyword)} in schema${pythonPath(keywordPath.slice(0, keywordPath.lastIndexOf('/')))}:\n` +
    `    ${printPython(shown)}\n\nOn instance${path}:\n    ${printPython(instance)}`
  );
}

const pythonPath = (pointer: string): string =>
  pointer
    .replace(/^#\/?/, '')
    .split('/')
    .filter((part) => part !== '')
    .map((part) => `[${/^\d+$/.test(part) ? part : printPython(part)}]`)
    .join('');

/** The sentence of the Python validator for each keyword. */
function messageOf(keyword: string, expected: unknown, instance: unknown): string {
  const shown = printPython(instance);
  const limit = printPython(expected);
  switch (keyword) {
    case 'type':
      return `${shown} is not of type ${Array.isArray(expected) ? expected.map((type) => printPython(type)).join(', ') : limit}`;
    case 'enum':
      return `${shown} is not one of ${limit}`;
    case 'const':
      return `${limit} was expected`;
    case 'minimum':
      return `${shown} is less than the minimum of ${limit}`;
    case 'maximum':
      return `${shown} is greater than the maximum of ${limit}`;
    case 'exclusiveMinimum':
      return `${shown} is less than or equal to the minimum of ${limit}`;
    case 'exclusiveMaximum':
      return `${shown} is greater than or equal to the maximum of ${limit}`;
    case 'multipleOf':
      return `${shown} is not a multiple of ${limit}`;
    case 'minLength':
    case 'minItems':
      return expected === 1 ? `${shown} should be non-empty` : `${shown} is too short`;
    case 'maxLength':
    case 'maxItems':
      return expected === 0 ? `${shown} is expected to be empty` : `${shown} is too long`;
    case 'pattern':
      return `${shown} does not match ${limit}`;
    case 'format':
      return `${shown} is not a ${limit}`;
    case 'uniqueItems':
      return `${shown} has non-unique elements`;
    case 'required': {
      const missing =
        Array.isArray(expected) && isObject(instance)
          ? expected.find((key) => !Object.hasOwn(instance, String(key)))
          : expected;
      return `${printPython(missing)} is a required property`;
    }
    case 'anyOf':
    case 'oneOf':
      return `${shown} is not valid under any of the given schemas`;
    case 'not':
      return `${shown} should not be valid under ${limit}`;
    default:
      return `${shown} does not satisfy ${printPython(keyword)}`;
  }
}
