/** The fast search beside the simple one that says the same: an alternation of all forms, the longest first. @see promise L21 */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { scaled } from '../../../tests/kit/seed.ts';
import { LineSplitter } from './lines.ts';
import { Masker } from './mask.ts';
import { formsOf } from './mask-forms.ts';
import { FormSearch, MASK } from './mask-search.ts';

function simple(forms: readonly string[]): (text: string) => string {
  const longestFirst = [...forms].sort((a, b) => b.length - a.length);
  const pattern = new RegExp(longestFirst.map((form) => RegExp.escape(form)).join('|'), 'g');
  return (text) => text.replace(pattern, MASK);
}

/** Few letters, so that forms begin alike, hold each other and overlap in the text. */
const letters = (minLength: number, maxLength: number) =>
  fc.string({ minLength, maxLength, unit: fc.constantFrom('a', 'b', 'ö', '€') });

test('it finds what an alternation finds, however forms begin alike, overlap, hold each other', () => {
  fc.assert(
    fc.property(fc.array(letters(1, 9), { minLength: 1, maxLength: 40 }), letters(0, 300), (forms, text) => {
      equal(new FormSearch(forms).replaceAll(text), simple(forms)(text));
    }),
    { numRuns: scaled(20_000, 500) },
  );
});

test('so it does for windows of each width, many forms and few', () => {
  const planted = fc.integer({ min: 0, max: 1e9 });
  for (const length of [1, 2, 3, 5, 64, 200]) {
    for (const count of [1, 20, 300]) {
      fc.assert(
        fc.property(fc.infiniteStream(planted), fc.array(planted, { maxLength: 30 }), (numbers, parts) => {
          const next = () => String(numbers.next().value).repeat(length).slice(-length);
          const forms = Array.from({ length: count }, (_, n) => next() + (n % 3 === 0 ? next() : ''));
          const text = parts.map((part) => (part % 2 === 0 ? forms[part % count] : String(part))).join('.');
          equal(new FormSearch(forms).replaceAll(text), simple(forms)(text));
        }),
        { numRuns: scaled(50, 3) },
      );
    }
  }
});

const secret = fc.string({ minLength: 5, maxLength: 40, unit: 'grapheme' });
const pick = fc.nat();

test('a stream with secrets in all their forms, cut anywhere, comes out as by the simple search of each line', () => {
  let planted = 0;
  fc.assert(
    fc.property(
      fc.array(secret, { minLength: 1, maxLength: 4 }),
      fc.array(fc.oneof(pick, fc.constantFrom('\n', '\r\n', ' '), fc.string({ maxLength: 40 })), { maxLength: 60 }),
      fc.array(fc.oneof(fc.integer({ min: 1, max: 50 }), fc.constant(5000)), { minLength: 1 }),
      (secrets, parts, cuts) => {
        const masker = new Masker(5);
        for (const one of secrets) masker.add(one);
        const forms = secrets.flatMap(formsOf).filter((form) => form.length >= 5);
        const text = parts.map((part) => (typeof part === 'number' ? forms[part % forms.length]! : part)).join('');
        planted += parts.filter((part) => typeof part === 'number').length;
        const bytes = Buffer.from(text);
        const lines: string[] = [];
        const splitter = new LineSplitter(masker, (line) => lines.push(line));
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const end = at + cuts[turn % cuts.length]!;
          splitter.push(bytes.subarray(at, end));
          at = end;
        }
        splitter.end();
        const expected = bytes.toString().split('\n');
        if (expected.at(-1) === '') expected.pop();
        const mask = simple(forms);
        deepEqual(
          lines,
          expected.map((line) => mask(line.replace(/\r$/, ''))),
        );
      },
    ),
    { numRuns: scaled(2000) },
  );
  ok(planted > 100, `${planted} secrets were planted`);
});

test('a text made of beginnings of secrets is hidden whole instead of being searched for long; its neighbours are not', () => {
  const form = `${'a'.repeat(5000)}b`;
  const search = new FormSearch([form]);
  ok(search.replaceAll('a'.repeat(100_000)) === MASK);
  equal(search.replaceAll(`x ${form} y ${form.slice(0, 20)}`), `x ${MASK} y ${form.slice(0, 20)}`);
  const masker = new Masker(5);
  masker.add(form);
  const lines: string[] = [];
  const splitter = new LineSplitter(masker, (line) => lines.push(line));
  splitter.push(Buffer.from(`before\n${'a'.repeat(12_000)}\nafter\n`));
  deepEqual(lines, ['before', MASK, 'after']);
});
