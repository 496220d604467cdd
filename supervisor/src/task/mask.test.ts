import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { parseExact } from '@airlock/contract/exact-json';
import fc from 'fast-check';
import { LineSplitter, MAX_LINE } from './lines.ts';
import { Masker } from './mask.ts';
import { formsOf } from './mask-forms.ts';

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

test('JSON and Python, HTML and quoted-printable forms are hidden, as those who write them write them', () => {
  const secret = `it's <a> "key" & ö=\\1`;
  const masker = maskerOf(secret);
  for (const [form, text] of Object.entries({
    'json.dumps': `"it's <a> \\"key\\" & \\u00f6=\\\\1"`,
    'repr of a text': `'it\\'s <a> "key" & ö=\\\\1'`,
    'repr of bytes': `b'it's <a> "key" & \\xc3\\xb6=\\\\1'`,
    'html.escape': `it&#x27;s &lt;a&gt; &quot;key&quot; &amp; ö=\\1`,
    Jinja2: `it&#39;s &lt;a&gt; &quot;key&quot; &amp; ö=\\1`,
    'quoted-printable': `it's <a> "key" & =C3=B6=3D\\1`,
    'urllib.parse.quote': `it%27s%20%3Ca%3E%20%22key%22%20%26%20%C3%B6%3D%5C1`,
  })) {
    ok(masker.mask(`before ${text} after`).includes('***'), form);
  }
});

test('texts of a JSON value are masked at every depth, names too, and beyond a hundred nothing is shown', () => {
  const masker = maskerOf('s3cret-s3cret');
  const deep = (levels: number): unknown => (levels === 0 ? 's3cret-s3cret' : { a: deep(levels - 1) });
  equal(
    JSON.stringify(masker.maskTexts([{ 's3cret-s3cret': ['x s3cret-s3cret', 1, null, true] }])),
    '[{"***":["x ***",1,null,true]}]',
  );
  for (const levels of [1, 99, 100, 500]) {
    const text = JSON.stringify(masker.maskTexts(deep(levels)));
    ok(text.includes('***') && !text.includes('s3cret'), String(levels));
  }
  const untouched = { a: 1 };
  equal(new Masker(5).maskTexts(untouched), untouched);
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
    ...{ host: 'vault-host', login: 'reader' },
    extra: JSON.stringify({ a: ['inner-secret'], n: 12345678 }),
  });
  equal(masker.mask('pw-pw-pw inner-secret vault-host reader 12345678'), '*** *** vault-host reader 12345678');
});

test('names tell which variables are sensitive, those that are configured besides', () => {
  const hidden = (name: string, names = '') => {
    const masker = new Masker(5, names);
    masker.addVariable(name, 'value-of-it');
    return masker.mask('value-of-it') === '***';
  };
  for (const name of [
    'API_KEY',
    'db_password',
    'myToken',
    'client-secret',
    'PRIVATE_KEY',
    'accessKey',
    'pg.dsn',
    'Credentials',
  ])
    ok(hidden(name), name);
  for (const name of ['region', 'keyboard', 'count', 'weather_region']) equal(hidden(name), false, name);
  ok(hidden('house_number', 'street, House-Number') && !hidden('house_number', 'street'));
});

test('of a variable that holds JSON the texts inside are hidden too: all by its own name, or those by theirs', () => {
  const value = JSON.stringify({ user: 'reader', db: { password: 'inner-one', hosts: ['first-host'] } });
  const mask = (name: string) => {
    const masker = new Masker(5);
    masker.addVariable(name, value);
    return masker.mask(`inner-one first-host reader`);
  };
  equal(mask('my_secret'), '*** *** ***');
  equal(mask('settings'), '*** first-host reader');
  equal(maskerOf().mask('inner-one'), 'inner-one');
});

test('a number that is a secret is hidden, and what is left is the same value', () => {
  const masker = maskerOf('12345678');
  deepEqual(masker.maskTexts({ pin: 12345678, other: 1.5, flag: true, none: null, inside: 9123456789 }), {
    pin: '***',
    other: 1.5,
    flag: true,
    none: null,
    inside: '***',
  });
  const exact = parseExact('{"pin":12345678.0,"long":99912345678999999999,"other":1.0}');
  equal(JSON.stringify(masker.maskTexts(exact)), '{"pin":"***","long":"***","other":1.0}');
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

test('of a text that was cut within a secret, what is left of that is hidden too; a short text was not cut', () => {
  const secret = 'correct "horse" battery';
  const masker = maskerOf(secret);
  const before = 'x'.repeat(400);
  for (const form of formsOf(secret)) {
    for (let left = 5; left <= form.length; left++)
      equal(masker.maskCut(before + form.slice(0, left)), `${before}***`, form.slice(0, left));
    equal(masker.maskCut(before + form.slice(0, 4)), before + form.slice(0, 4));
  }
  equal(masker.maskCut('all is correct'), 'all is correct');
  equal(masker.maskCut(`${before} corrected`), `${before} corrected`);
  equal(JSON.stringify(masker.maskTexts([`${before}correct "ho`])), JSON.stringify([`${before}***`]));
});
