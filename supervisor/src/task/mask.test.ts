import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { LineSplitter, MAX_LINE } from './lines.ts';
import { formsOf, isSensitiveName, Masker } from './mask.ts';

const maskerOf = (...secrets: string[]) => {
  const masker = new Masker(5);
  for (const secret of secrets) masker.add(secret);
  return masker;
};

test('a secret is hidden in at least fourteen forms', () => {
  const secret = 'a/b+c "quoted" ö?&=%';
  ok(new Set(formsOf(secret)).size >= 14);
  const masker = maskerOf(secret);
  for (const form of formsOf(secret)) equal(masker.mask(`before ${form} after`).includes(form), false, form);
});

test('base64 hides a secret wherever in the encoded text it stands', () => {
  const secret = 'correct-horse-battery';
  const masker = maskerOf(secret);
  fc.assert(
    fc.property(fc.string({ maxLength: 20 }), fc.string({ maxLength: 20 }), (before, after) => {
      const text = Buffer.from(before + secret + after).toString('base64');
      // What is left of it is no more than the edges that it shares with its neighbours.
      ok(masker.mask(text).includes('***'), text);
    }),
  );
});

test('a secret shorter than the least length is left alone, and so is text without a secret', () => {
  equal(maskerOf('1234').mask('1234 and 12345'), '1234 and 12345');
  equal(maskerOf('12345').mask('1234 and 12345'), '1234 and ***');
  equal(new Masker(5).mask('nothing to hide'), 'nothing to hide');
});

test('every text in the extra of a connection is a secret, whatever its key; host and login are not', () => {
  const masker = new Masker(5);
  masker.addConnection({
    password: 'pw-pw-pw',
    login: 'reader',
    extra: JSON.stringify({ a: ['inner-secret'], n: 12345678 }),
  });
  equal(masker.mask('pw-pw-pw inner-secret reader 12345678'), '*** *** reader 12345678');
});

test('names tell which variables are sensitive', () => {
  for (const name of ['API_KEY', 'db_password', 'myToken', 'client_secret', 'PRIVATE_KEY'])
    ok(isSensitiveName(name), name);
  for (const name of ['region', 'keyboard', 'count', 'weather_region']) equal(isSensitiveName(name), false, name);
});

test('however a stream is cut, no line shows a secret, and all else comes out in order', () => {
  const secret = 'hunter2-hunter2';
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.constant(secret), fc.string({ maxLength: 30 }), fc.constant('\n')), { maxLength: 30 }),
      fc.array(fc.integer({ min: 1, max: 17 }), { minLength: 1 }),
      (parts, cuts) => {
        const text = parts.join('');
        const bytes = Buffer.from(text);
        const masker = maskerOf(secret);
        const lines: string[] = [];
        const splitter = new LineSplitter(masker, (line) => lines.push(line));
        for (let at = 0, turn = 0; at < bytes.length; turn++) {
          const size = cuts[turn % cuts.length]!;
          splitter.push(bytes.subarray(at, at + size));
          at += size;
        }
        splitter.end();
        const expected = text.replaceAll('\r\n', '\n').replaceAll(secret, '***');
        equal(lines.join('\n'), expected.replace(/\r$/, '').replace(/\n$/, ''));
      },
    ),
  );
});

test('an endless line is passed on in pieces, without a secret at their borders, and is never kept whole', () => {
  const secret = 's3cret-s3cret';
  const masker = maskerOf(secret);
  const lines: string[] = [];
  const splitter = new LineSplitter(masker, (line) => lines.push(line));
  const text = `${'x'.repeat(MAX_LINE - 5)}${secret}${'x'.repeat(3 * MAX_LINE)}${secret}`;
  for (let at = 0; at < text.length; at += 1000) splitter.push(Buffer.from(text.slice(at, at + 1000)));
  ok(lines.length >= 2, 'pieces come while the line goes on');
  splitter.end();
  for (const line of lines) ok(line.length <= MAX_LINE);
  equal(lines.join(''), text.replaceAll(secret, '***'));
});
