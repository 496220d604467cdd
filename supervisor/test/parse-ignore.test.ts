/** What `.airflowignore` leaves out, in both syntaxes; the expectations are those of Airflow 3.3.2 and of gitignore(5). */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { IgnoreSyntax } from '../src/parse/ignore.ts';
import { type Scan, scanBundle } from '../src/parse/scan.ts';

const FILES = ['a.py', 'test_a.py', 'b.ts', 'lib/a.py', 'lib/deep/a.py', 'lib/deep/c.py', 'old/a.py', 'old/keep.py'];

/** A bundle of FILES and these ignore files, by folder. */
function scan(ignore: Readonly<Record<string, string>>, syntax?: IgnoreSyntax, files: readonly string[] = FILES): Scan {
  const root = mkdtempSync(join(tmpdir(), 'airlock-ignore-'));
  try {
    for (const name of files) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), '');
    }
    for (const [folder, text] of Object.entries(ignore)) writeFileSync(join(root, folder, '.airflowignore'), text);
    return scanBundle(root, syntax)!;
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}
const left = (...args: Parameters<typeof scan>) => {
  const { files } = scan(...args);
  return FILES.filter((name) => !files.includes(name));
};

test('without such a file nothing is left out', () => deepEqual(left({}), []));

const globs: ReadonlyArray<readonly [text: string, ignored: readonly string[]]> = [
  ['test_*', ['test_a.py']],
  ['*.ts', ['b.ts']],
  ['a.py', ['a.py', 'lib/a.py', 'lib/deep/a.py', 'old/a.py']],
  ['/a.py', ['a.py']],
  ['lib/a.py', ['lib/a.py']],
  ['lib', ['lib/a.py', 'lib/deep/a.py', 'lib/deep/c.py']],
  ['lib/', ['lib/a.py', 'lib/deep/a.py', 'lib/deep/c.py']],
  ['a.py/', []],
  ['deep/', ['lib/deep/a.py', 'lib/deep/c.py']],
  ['lib/*/a.py', ['lib/deep/a.py']],
  ['lib/**', ['lib/a.py', 'lib/deep/a.py', 'lib/deep/c.py']],
  ['**/deep/c.py', ['lib/deep/c.py']],
  ['lib/**/a.py', ['lib/a.py', 'lib/deep/a.py']],
  ['[ab].??', ['a.py', 'b.ts', 'lib/a.py', 'lib/deep/a.py', 'old/a.py']],
  ['[!a].py', ['lib/deep/c.py']],
  ['old/*\n!keep.py', ['old/a.py']],
  ['!keep.py\nold/*', ['old/a.py', 'old/keep.py']],
  ['# a.py\n\n  \ntest_* # those', ['test_a.py']],
  ['test_*\r\nb.ts\r\n', ['test_a.py', 'b.ts']],
  ['a?py', ['a.py', 'lib/a.py', 'lib/deep/a.py', 'old/a.py']],
  ['a+py', []],
  ['(a).py', []],
  ['/', []],
  ['A.PY', []],
];
for (const [text, ignored] of globs) {
  test(`glob ${JSON.stringify(text)} leaves out ${ignored.length} of ${FILES.length}`, () =>
    deepEqual(left({ '': text }), ignored));
}

const expressions: ReadonlyArray<readonly [text: string, ignored: readonly string[]]> = [
  ['test_', ['test_a.py']],
  ['^a', ['a.py']],
  ['a\\.py$', ['a.py', 'test_a.py', 'lib/a.py', 'lib/deep/a.py', 'old/a.py']],
  ['lib/.*', ['lib/a.py', 'lib/deep/a.py', 'lib/deep/c.py']],
  ['\\.ts$ # no TypeScript', ['b.ts']],
  ['*', []],
];
for (const [text, ignored] of expressions) {
  test(`regexp ${JSON.stringify(text)} leaves out ${ignored.length} of ${FILES.length}`, () =>
    deepEqual(left({ '': text }, 'regexp'), ignored));
}

test('the file of a deeper folder adds to those above it, and takes back what they said', () => {
  deepEqual(left({ '': 'a.py', lib: 'c.py' }), ['a.py', 'lib/a.py', 'lib/deep/a.py', 'lib/deep/c.py', 'old/a.py']);
  deepEqual(left({ '': 'a.py', old: '!a.py' }), ['a.py', 'lib/a.py', 'lib/deep/a.py']);
  deepEqual(left({ lib: '/a.py' }), ['lib/a.py'], 'its slash means its own folder');
});

test('what is no pattern, or could take long to match, is left out and named by its line; the others hold', () => {
  const glob = scan({ '': 'test_*\n[a\n' });
  deepEqual([glob.badRules, glob.files.includes('test_a.py')], [['.airflowignore:2'], false]);
  const expression = scan({ lib: '(\n(a)\\1\na(?=b)\nc' }, 'regexp');
  deepEqual(expression.badRules, ['lib/.airflowignore:1', 'lib/.airflowignore:2', 'lib/.airflowignore:3']);
  ok(!expression.files.includes('lib/deep/c.py'));
  deepEqual(scan({ '': `${'a'.repeat(2000)}\n` }).badRules, ['.airflowignore:1']);
});

test('patterns and names made to take exponential time take none', () => {
  const name = `${'a'.repeat(200)}.py`;
  const files = Array.from({ length: 100 }, (_, n) => `${n}/${name}`);
  for (const [text, syntax] of [
    ['(a+)+b', 'regexp'],
    ['(a|a)*b', 'regexp'],
    [`${'a*'.repeat(100)}b`, 'glob'],
  ] as const) {
    const began = process.cpuUsage();
    equal(scan({ '': text }, syntax, files).files.length, 100);
    const { user, system } = process.cpuUsage(began);
    // An engine that tries again would need longer than the universe has.
    ok(user + system < 20_000_000, `${text}: ${user + system} µs`);
  }
});

test('a bundle whose patterns take more effort than one scan may is cut, which is said, and never parses what it may not', () => {
  const name = `${'a'.repeat(200)}.py`;
  const files = Array.from({ length: 20 }, (_, n) => `${n}/${name}`);
  const many = Array.from({ length: 900 }, () => `${'a*'.repeat(200)}b`).join('\n');
  const found = scan({ '': `${many}\n*.py` }, 'glob', files);
  deepEqual([found.cut, found.files], [true, []]);
  equal(scan({ '': many.slice(0, 402) }, 'glob', files).cut, false, 'control');
});

test('a link in the place of the file is not followed', () => {
  const root = mkdtempSync(join(tmpdir(), 'airlock-ignore-'));
  try {
    writeFileSync(join(root, 'a.py'), '');
    writeFileSync(join(root, 'rules'), 'a.py');
    symlinkSync(join(root, 'rules'), join(root, '.airflowignore'));
    deepEqual(scanBundle(root)!.files, ['a.py']);
    rmSync(join(root, '.airflowignore'));
    writeFileSync(join(root, '.airflowignore'), 'a.py');
    deepEqual(scanBundle(root)!.files, [], 'control');
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
});
