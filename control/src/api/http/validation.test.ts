import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { check, type ValidationItem } from './validation.ts';
import { many, one, wire } from './wire.ts';

function items(schema: z.ZodType, input: unknown, prefix: string[] = ['body']): ValidationItem[] {
  try {
    check(schema, input, prefix);
  } catch (error) {
    assert.ok(error instanceof AppError);
    assert.equal(error.code, 'VALIDATION');
    return error.detail as ValidationItem[];
  }
  return [];
}

const types = (schema: z.ZodType, input: unknown) =>
  items(schema, input).map((item) => [item.type, item.loc.join('.')]);

test('a missing field shows the object that lacks it', () => {
  const schema = z.strictObject({ name: wire.text(), slots: wire.int() });
  assert.deepEqual(items(schema, { slots: 1 }), [
    { type: 'missing', loc: ['body', 'name'], msg: 'Field required', input: { slots: 1 } },
  ]);
  assert.deepEqual(types(z.strictObject({ a: z.string() }), {}), [['missing', 'body.a']]);
  assert.deepEqual(items(schema, undefined), [{ type: 'missing', loc: ['body'], msg: 'Field required', input: null }]);
});

test('what was sent under the name of a secret does not come back, alone, in its neighbourhood or inside JSON', () => {
  const schema = z.strictObject({
    id: wire.text(),
    password: wire.text().nullish(),
    extra: wire.text().nullish(),
    port: wire.int().nullish(),
  });
  const sent = { password: 'pw', extra: '{"api_key": "k", "region": "eu"}', port: 1 };
  const [missing] = items(schema, sent);
  assert.deepEqual(missing!.input, { password: '***', extra: '{"api_key":"***","region":"eu"}', port: 1 });
  assert.deepEqual(items(schema, { id: 'a', password: ['pw'] })[0]!.input, '***');
  assert.deepEqual(
    items(schema, { id: 'a', password: { inner: 'pw' }, token: 't' }).map((item) => item.input),
    ['***', '***'],
  );
  const deep = `{"a":${'['.repeat(200_000)}"pw"${']'.repeat(200_000)}}`;
  assert.ok(!JSON.stringify(items(schema, { extra: deep })[0]).includes('pw'), 'nor from so deep that nobody can look');
  assert.deepEqual(items(schema, { id: 'a', port: 'pw' })[0]!.input, 'pw', 'control: another value does');
  assert.deepEqual(items(schema, { extra: '{no JSON', password: null })[0]!.input, {
    extra: '{no JSON',
    password: null,
  });
});

test('an unknown field is refused even when it is null', () => {
  const schema = z.strictObject({ a: wire.int().optional() });
  assert.deepEqual(items(schema, { b: null }), [
    { type: 'extra_forbidden', loc: ['body', 'b'], msg: 'Extra inputs are not permitted', input: null },
  ]);
});

test('a body that is no object is refused as a whole', () => {
  for (const body of ['text', 5, [1], null]) {
    assert.deepEqual(types(z.strictObject({}), body), [['model_attributes_type', 'body']]);
  }
});

test('texts that hold numbers and words that mean booleans are read, others are refused', () => {
  const schema = z.object({ n: one(wire.int({ ge: 0 })).optional(), b: one(wire.bool()).optional() });
  assert.deepEqual(schema.parse({ n: '7', b: 'YES' }), { n: 7, b: true });
  assert.deepEqual(schema.parse({ n: ['1', '2'] }), { n: 2 });
  assert.deepEqual(items(schema, { n: '-1' }, ['query'])[0], {
    type: 'greater_than_equal',
    loc: ['query', 'n'],
    msg: 'Input should be greater than or equal to 0',
    input: '-1',
    ctx: { ge: 0 },
  });
  assert.deepEqual(types(schema, { n: '' }), [['int_parsing', 'body.n']]);
  assert.deepEqual(types(schema, { n: 1.5 }), [['int_from_float', 'body.n']]);
  assert.deepEqual(types(schema, { n: 3e9 }), [['less_than_equal', 'body.n']]);
  assert.deepEqual(types(schema, { n: {} }), [['int_type', 'body.n']]);
  assert.deepEqual(types(schema, { b: 'perhaps' }), [['bool_parsing', 'body.b']]);
  assert.deepEqual(types(schema, { b: [] }), [['missing', 'body.b']]);
});

test('enumerations list what is accepted', () => {
  const word = z.object({ s: wire.word(['queued', 'success', 'failed']) });
  assert.equal(items(word, { s: 'running' })[0]!.msg, "Input should be 'queued', 'success' or 'failed'");
  assert.equal(items(word, { s: 'running' })[0]!.type, 'enum');
  assert.deepEqual(types(z.object({ s: wire.word(['~']) }), { s: 'x' }), [['literal_error', 'body.s']]);
});

test('a word that chooses between forms lists them when it is none of them', () => {
  const form = <const W extends string>(word: W) => z.strictObject({ action: z.literal(word), n: wire.int() });
  const schema = z.discriminatedUnion('action', [form('create'), form('delete')]);
  const [wrong] = items(schema, { action: 'grow', n: 1 });
  assert.deepEqual([wrong!.type, wrong!.msg], ['enum', "Input should be 'create' or 'delete'"]);
  assert.deepEqual(wrong!.loc, ['body', 'action']);
  assert.deepEqual(types(schema, { n: 1 }), [['missing', 'body.action']]);
  assert.deepEqual(types(schema, { action: 'create', n: 'x' }), [['int_parsing', 'body.n']]); // control
});

test('lengths count characters, and repeated parameters keep their place', () => {
  const schema = z.object({ t: wire.text({ max: 2 }), l: many(wire.int()) });
  assert.deepEqual(schema.parse({ t: '😀😀', l: '3' }), { t: '😀😀', l: [3] });
  assert.deepEqual(schema.parse({ t: '' }), { t: '', l: [] });
  assert.deepEqual(types(schema, { t: 'abc', l: ['1', 'x'] }), [
    ['string_too_long', 'body.t'],
    ['int_parsing', 'body.l.1'],
  ]);
});

test('plain schemas of the contract are worded the same way', () => {
  const schema = z.strictObject({
    s: z.string().min(2).max(3),
    n: z.int().min(-1),
    l: z.array(z.string()).min(1),
    e: z.enum(['a', 'b']),
    r: z.record(z.string(), z.unknown()),
    p: z.string().regex(/^x/),
  });
  assert.deepEqual(types(schema, { s: 'a', n: -2, l: [], e: 'c', r: [], p: 'y' }), [
    ['string_too_short', 'body.s'],
    ['greater_than_equal', 'body.n'],
    ['too_short', 'body.l'],
    ['enum', 'body.e'],
    ['dict_type', 'body.r'],
    ['string_pattern_mismatch', 'body.p'],
  ]);
});
