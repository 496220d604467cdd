import { deepEqual, doesNotThrow, equal, throws } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { checkParams, mergeParams, readParams } from './params.ts';

const param = (schema: Record<string, unknown>, value: unknown = { __type: 'arg_not_set', __var: null }) => ({
  __class: 'airflow.sdk.definitions.param.Param',
  default: value,
  description: null,
  schema: { __type: 'dict', __var: schema },
  source: 'dag',
});
const refusal = (schema: Record<string, unknown>, value: unknown): string => {
  try {
    checkParams(readParams([['x', param(schema)]]), { x: value });
  } catch (error) {
    equal((error as { code?: string }).code, 'BAD_REQUEST');
    return (error as Error).message;
  }
  return '';
};

test('a value of the wrong type is refused with the text that Airflow’s clients see', () => {
  equal(
    refusal({ type: 'integer' }, 'str'),
    "Invalid input for param x: 'str' is not of type 'integer'\n\nFailed validating 'type' in schema:\n    {'type': 'integer'}\n\nOn instance:\n    'str'",
  );
  equal(refusal({ type: 'integer' }, 3), '');
});

test('each keyword has its sentence', () => {
  const first = (schema: Record<string, unknown>, value: unknown) =>
    refusal(schema, value).split('\n')[0]?.replace('Invalid input for param x: ', '');
  equal(first({ type: ['string', 'null'] }, 1), "1 is not of type 'string', 'null'");
  equal(first({ enum: ['a', 1, true, null] }, "it's"), `"it's" is not one of ['a', 1, True, None]`);
  equal(first({ const: 2 }, 1), '2 was expected');
  equal(first({ minimum: 2 }, 1), '1 is less than the minimum of 2');
  equal(first({ maximum: 2 }, 3), '3 is greater than the maximum of 2');
  equal(first({ minLength: 1 }, ''), "'' should be non-empty");
  equal(first({ minLength: 3 }, 'ab'), "'ab' is too short");
  equal(first({ maxLength: 1 }, 'ab'), "'ab' is too long");
  equal(first({ pattern: '^a+$' }, 'b'), "'b' does not match '^a+$'");
  equal(first({ format: 'date' }, 'soon'), "'soon' is not a 'date'");
  equal(first({ required: ['a', 'b'] }, { a: 1 }), "'b' is a required property");
  equal(first({ anyOf: [{ type: 'string' }, { type: 'null' }] }, 1), '1 is not valid under any of the given schemas');
  equal(
    refusal({ properties: { a: { items: { type: 'string' } } } }, { a: ['x', 2] }).includes("On instance['a'][1]:"),
    true,
  );
});

test('conf lies over the defaults; a param without default must be given; unknown keys pass', () => {
  const params = readParams([
    ['a', param({ type: 'integer' }, 1)],
    ['b', param({})],
    ['c', 'plain'],
  ]);
  deepEqual(mergeParams(params, { b: 2, extra: true }), { a: 1, b: 2, c: 'plain', extra: true });
  doesNotThrow(() => checkParams(params, { b: 2, extra: true }));
  throws(() => checkParams(params, {}), {
    message: 'Invalid input for param b: No value passed and Param has no default value',
  });
});

test('a pattern that could run for ever is refused when the file is parsed', () => {
  for (const pattern of ['(a+)+$', '(a|a)*$', '([a-z]+)*x', '(a*)*', '((a+)b)+', '(.)\\1', 'x'.repeat(501), '(']) {
    throws(() => readParams([['x', param({ type: 'string', pattern })]]), { code: 'DAG_INVALID' }, pattern);
  }
  for (const pattern of ['^[a-z]+(-[a-z]\\d)?$', '^\\d{4}-\\d{2}$', '^(eu|us)$', '^(ab)+$']) {
    doesNotThrow(() => readParams([['x', param({ type: 'string', pattern })]]), pattern);
  }
});

test('a schema that refers to another place is refused', () => {
  throws(() => readParams([['x', param({ $ref: 'https://example.com/schema' })]]), { code: 'DAG_INVALID' });
  doesNotThrow(() => readParams([['x', param({ $defs: { n: { type: 'integer' } }, $ref: '#/$defs/n' })]]));
});

test('the params of a real Dag are read', () => {
  const { dag } = JSON.parse(
    readFileSync(new URL('../../test/data/serialized-dags/params_demo.json', import.meta.url), 'utf8'),
  ) as {
    dag: { params: [string, unknown][] };
  };
  const params = readParams(dag.params);
  equal(params.length, dag.params.length);
  equal(
    params.some((p) => !p.hasDefault),
    true,
  );
});
