import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseExact } from '@airlock/contract/exact-json';
import { pythonJson, pythonRepr } from './python-json.ts';

const through = (text: string, indent = 0) => pythonJson(parseExact(text), indent);

test('stored JSON reads back as Python writes it', () => {
  assert.equal(through('{"a":1,  "b":2}'), '{"a": 1, "b": 2}');
  assert.equal(through('1.50'), '1.5');
  assert.equal(through('1e3'), '1000.0');
  assert.equal(
    through('[1e16,1e15,1e-4,0.00001,1.5e-7,-0.0,-0,1e300]'),
    '[1e+16, 1000000000000000.0, 0.0001, 1e-05, 1.5e-07, -0.0, 0, 1e+300]',
  );
  assert.equal(through('"é😀"'), '"\\u00e9\\ud83d\\ude00"');
  assert.equal(through('[true,false,null,[],{}]'), '[true, false, null, [], {}]');
});

test('no digit of a large number is lost', () => {
  assert.equal(through('123456789012345678901234567890'), '123456789012345678901234567890');
  assert.equal(through('[0.1,0.00012345]'), '[0.1, 0.00012345]');
});

test('the indented form is that of json.dumps(indent=2)', () => {
  assert.equal(through('{"a":[1,2],"b":{}}', 2), '{\n  "a": [\n    1,\n    2\n  ],\n  "b": {}\n}');
});

test('repr shows quotes as Python chooses them', () => {
  assert.equal(pythonRepr({ a: [1, true, null], b: "it's" }), `{'a': [1, True, None], 'b': "it's"}`);
  assert.equal(pythonRepr('say "it\'s"\n\u0001'), `'say "it\\'s"\\n\\x01'`);
});
