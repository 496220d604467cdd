import { deepEqual, equal, ok, throws } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { floatNumber, isRawNumber, parseExact } from './exact-json.ts';

const through = (text: string) => JSON.stringify(parseExact(text));

test('numbers come out as they went in', () => {
  for (const text of [
    '1.0',
    '[1.50,-0.0,-0,0.0,100.0]',
    '1e3',
    '{"a":{"b":[1E400,1e-7]}}',
    '123456789012345678901234567890',
    '9007199254740993',
    '12345678.1234567891',
    '{"__classname__":"datetime.timedelta","__version__":2,"__data__":1.0}',
  ])
    equal(through(text), text);
  // The control: this is what plain parsing makes of them.
  equal(JSON.stringify(JSON.parse('[1.0,9007199254740993]')), '[1,9007199254740992]');
});

test('what a double holds anyway is a plain number, as is everything else', () => {
  deepEqual(parseExact('{"a":[1,-2,0.5,true,null,"1.0","9007199254740993"]}'), {
    a: [1, -2, 0.5, true, null, '1.0', '9007199254740993'],
  });
  ok(!isRawNumber(1) && !isRawNumber({ rawJSON: '1.0' }) && isRawNumber(parseExact('1.0')));
});

test('a float is written as one', () => {
  equal(JSON.stringify([60, 0, -1, 1.5, 1e300].map(floatNumber)), '[60.0,0.0,-1.0,1.5,1e+300]');
});

test('what is no JSON is refused', () => {
  for (const text of ['', 'NaN', '01', '1.', '{"a":1.0', "{'a': 1}"]) throws(() => parseExact(text), SyntaxError, text);
});

test('any number keeps its value and its kind', () => {
  const digits = fc.stringMatching(/^-?(?:0|[1-9]\d{0,24})(?:\.\d{1,24})?(?:[eE][+-]?\d{1,3})?$/);
  fc.assert(
    fc.property(digits, (text) => {
      const out = through(text);
      // Either the same text, or the same number in another form that a double holds exactly, integer as integer.
      if (out === text) return;
      equal(Number(out), Number(text));
      equal(/^-?\d+$/.test(out), /^-?\d+$/.test(text));
      ok(text.replace(/\D/g, '').length <= 15, `${text} became ${out}`);
    }),
  );
});
