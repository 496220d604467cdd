import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AppError } from '@airlock/contract/errors';
import { checkJsonBounds, parseJsonBody } from './json.ts';
import { explainJsonError } from './json-error.ts';

const refusal = (text: string): { code: string; item: Record<string, unknown> } => {
  try {
    parseJsonBody(text);
  } catch (error) {
    assert.ok(error instanceof AppError);
    return { code: error.code, item: (error.detail as Array<Record<string, unknown>>)[0]! };
  }
  throw new Error(`${text.slice(0, 40)} was accepted`);
};

test('a body within the limits is parsed as it is', () => {
  assert.deepEqual(parseJsonBody('{"a":[1,{"b":null}]}'), { a: [1, { b: null }] });
  assert.equal(parseJsonBody(''), undefined);
});

test('64 levels are accepted and 65 are not', () => {
  const nested = (n: number) => '['.repeat(n) + ']'.repeat(n);
  parseJsonBody(nested(64));
  assert.equal(refusal(nested(65)).code, 'TOO_DEEP');
  assert.equal(refusal(nested(10_000)).code, 'TOO_DEEP');
  assert.equal(refusal('{"a":'.repeat(10_000)).code, 'TOO_DEEP');
});

test('brackets and colons inside strings count for nothing', () => {
  checkJsonBounds(`{"a":"${'['.repeat(500)}\\"${':'.repeat(500)}"}`, { depth: 2, keys: 2 });
  assert.throws(() => checkJsonBounds('{"a":"\\\\","b":[[[]]]}', { depth: 2, keys: 5 }), /nested/);
});

test('a body with too many members is refused, one with as many as allowed is not', () => {
  const object = (n: number) => `{${Array.from({ length: n }, (_, i) => `"k${i}":0`).join(',')}}`;
  parseJsonBody(object(10_000));
  assert.equal(refusal(object(10_001)).item.type, 'json_too_large');
});

test('keys that reach a prototype are refused wherever they stand and however they are written', () => {
  const bad = [
    '{"__proto__":1}',
    '{"a":[{"constructor":{"prototype":{}}}]}',
    '{"\\u005f_proto__":1}',
    '{"c\\u006fnstructor":{"prototyp\\u0065":1}}',
  ];
  for (const text of bad) assert.equal(refusal(text).item.type, 'forbidden_key', text);
  // Control: the same words as values, and keys that only resemble them.
  parseJsonBody('{"a":"__proto__","b":["constructor"],"__proto":1,"constructors":2}');
  parseJsonBody('{"car":{"constructor":"Lotus","prototype":"72"},"more":[{"constructor":{"name":"Brabham"}}]}');
});

test('broken JSON is explained with the position and the words of the reference', () => {
  const cases: Array<[string, number, string]> = [
    ['{"a":}', 5, 'Expecting value'],
    ['{', 1, 'Expecting property name enclosed in double quotes'],
    ['{a}', 1, 'Expecting property name enclosed in double quotes'],
    ['{"a" 1}', 5, "Expecting ':' delimiter"],
    ['{"a":1 "b"}', 7, "Expecting ',' delimiter"],
    ['[1 2]', 3, "Expecting ',' delimiter"],
    ['{"a":"x', 5, 'Unterminated string starting at'],
    ['1 2', 2, 'Extra data'],
    ['"\u0001"', 1, 'Invalid control character at'],
    ['"\\q"', 1, 'Invalid \\escape'],
    ['"\\u12"', 2, 'Invalid \\uXXXX escape'],
    ['[01]', 2, "Expecting ',' delimiter"],
    ['{"a":1,}', 7, 'Expecting property name enclosed in double quotes'],
    [' ', 1, 'Expecting value'],
  ];
  for (const [text, position, error] of cases) {
    assert.deepEqual(explainJsonError(text), { position, error }, text);
    const { item } = refusal(text);
    assert.deepEqual(
      item,
      { type: 'json_invalid', loc: ['body', position], msg: 'JSON decode error', input: {}, ctx: { error } },
      text,
    );
  }
});
