/** Zip archives with Dag modules, as a look at the bundle sees them: the names in them, and all that is refused. */
import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { type ZipEntry, zipOf } from '../../tests/kit/zip.ts';
import { ARCHIVE_LIMITS, Archives, listArchive } from '../src/parse/archive.ts';
import { Inputs } from '../src/parse/inputs.ts';
import { scanBundle } from '../src/parse/scan.ts';

const root = mkdtempSync(join(tmpdir(), 'airlock-archives-'));
after(() => rmSync(root, { recursive: true, force: true }));

let made = 0;
/** A bundle with one archive of these bytes. */
function bundle(bytes: Buffer): string {
  const folder = mkdtempSync(join(root, `b${made++}-`));
  writeFileSync(join(folder, 'a.zip'), bytes);
  return folder;
}
const TEXT = 'from airflow.sdk import dag\n';
const entry = (name: string, more: Partial<ZipEntry> = {}): ZipEntry => ({ name, content: TEXT, ...more });
const modules = (bytes: Buffer) => listArchive(bundle(bytes), 'a.zip');

describe('the modules of an archive', () => {
  test('are the Python files at its top, and nothing else of it', () => {
    const names = [
      'b.py',
      'a.py',
      '__init__.py',
      'words.txt',
      'a.pyc',
      'pkg/inner.py',
      'pkg/',
      'a.ts',
      '.airflowignore',
    ];
    deepEqual(modules(zipOf(names.map((name) => entry(name)))), {
      modules: ['__init__.py', 'a.py', 'b.py'],
      entries: names.length,
    });
  });

  test('no name leads out of the archive, or is one that can not be written', () => {
    const names = [
      '../up.py',
      '/etc/abs.py',
      './here.py',
      '..\\up.py',
      'C:\\up.py',
      'nul\0.py',
      'line\n.py',
      '.py',
      '..py/',
    ];
    const long = `${'n'.repeat(300)}.py`;
    deepEqual(modules(zipOf([...names, long].map((name) => entry(name)))), { modules: [], entries: names.length + 1 });
    deepEqual(modules(zipOf([entry('up.py')])), { modules: ['up.py'], entries: 1 }, 'control');
  });

  test('are found behind a comment and behind a program that unpacks itself', () => {
    const bytes = zipOf([entry('a.py')], 'a comment', Buffer.from('#!/bin/sh\nexit\n'));
    const folder = bundle(bytes);
    deepEqual(listArchive(folder, 'a.zip'), { modules: ['a.py'], entries: 1 });
  });

  test('one that is there twice is one', () => {
    deepEqual(modules(zipOf([entry('a.py'), entry('a.py')])), { modules: ['a.py'], entries: 2 });
  });

  test('a file that is no archive has none, and is no error', () => {
    for (const bytes of [Buffer.alloc(0), Buffer.from('text'), Buffer.alloc(100_000), Buffer.from('PK\x03\x04')])
      equal(modules(bytes), null);
    deepEqual(modules(zipOf([])), { modules: [], entries: 0 }, 'control: an empty archive is one');
  });
});

describe('an archive is refused', () => {
  const refused = (bytes: Buffer) => {
    const found = modules(bytes);
    ok(found !== null && 'refused' in found, JSON.stringify(found));
    return found.refused;
  };
  const good = zipOf([entry('a.py'), entry('b.py')]);
  const changed = (change: (bytes: Buffer, end: number) => void) => {
    const bytes = Buffer.from(good);
    change(bytes, bytes.length - 22);
    return bytes;
  };
  test('control: the same one, unchanged, is read', () =>
    deepEqual(modules(good), { modules: ['a.py', 'b.py'], entries: 2 }));

  test('with more entries than allowed', () => {
    const many = Array.from({ length: ARCHIVE_LIMITS.entries }, (_, n) => entry(`d/${n}`, { content: '', method: 0 }));
    match(refused(zipOf([...many, entry('a.py')])), /more than 10000 entries/);
    deepEqual(modules(zipOf([...many.slice(1), entry('a.py')])), { modules: ['a.py'], entries: 10_000 }, 'control');
  });

  test('with more modules at its top than allowed', () => {
    const many = Array.from({ length: ARCHIVE_LIMITS.modules }, (_, n) =>
      entry(`m${n}.py`, { content: '', method: 0 }),
    );
    match(refused(zipOf([...many, entry('a.py')])), /more than 500 modules/);
    ok('modules' in modules(zipOf(many))!, 'control');
  });

  test('that is larger than allowed', () => {
    const before = Buffer.alloc(ARCHIVE_LIMITS.bytes + 1 - good.length);
    match(refused(zipOf([entry('a.py'), entry('b.py')], '', before)), /more than 64 MiB/);
    const control = zipOf([entry('a.py'), entry('b.py')], '', before.subarray(1));
    deepEqual(modules(control), { modules: ['a.py', 'b.py'], entries: 2 });
    const data = zipOf([entry('data.csv'), entry('pkg/a.py')], '', before);
    deepEqual(modules(data), { modules: [], entries: 2 }, 'one of data alone is no concern of ours');
  });

  for (const [what, bytes] of [
    ['that says of more entries than it has room for', changed((b, end) => b.writeUInt16LE(1, end + 10))],
    ['whose directory is longer than the file', changed((b, end) => b.writeUInt32LE(good.length, end + 12))],
    ['whose directory is longer than any', changed((b, end) => b.writeUInt32LE(0xffffffff, end + 12))],
    [
      'whose directory ends within an entry',
      changed((b, end) => b.writeUInt32LE(b.readUInt32LE(end + 12) - 1, end + 12)),
    ],
    ['whose directory begins elsewhere', changed((b, end) => b.writeUInt32LE(good.length * 2, end + 16))],
    ['whose directory holds something else', changed((b, end) => b.writeUInt32LE(0, end - 51))],
    ['whose name is longer than its directory', changed((b, end) => b.writeUInt16LE(0xffff, end - 50 + 28))],
    ['of the long format', changed((b, end) => b.writeUInt16LE(0xffff, end + 10))],
  ] as const)
    test(what, () => match(refused(bytes), /^The (?:archive|directory of the archive) /));
});

describe('a bundle with archives', () => {
  test('has their modules as files, and those that can not be used as themselves', () => {
    const folder = bundle(zipOf([entry('one.py'), entry('two.py'), entry('pkg/three.py')]));
    writeFileSync(join(folder, 'no.zip'), 'no archive');
    const bad = zipOf([entry('x.py')]);
    bad.writeUInt16LE(0xffff, bad.length - 12);
    writeFileSync(join(folder, 'bad.zip'), bad);
    writeFileSync(join(folder, 'plain.py'), TEXT);
    deepEqual(scanBundle(folder)?.files, ['a.zip/one.py', 'a.zip/two.py', 'bad.zip', 'plain.py']);
  });

  test('leaves out the archives that .airflowignore names; one inside of an archive is not read, as in Airflow', () => {
    const folder = bundle(zipOf([entry('one.py'), entry('.airflowignore', { content: '*.py\n' })]));
    writeFileSync(join(folder, 'b.zip'), zipOf([entry('two.py')]));
    deepEqual(scanBundle(folder)?.files, ['a.zip/one.py', 'b.zip/two.py']);
    writeFileSync(join(folder, '.airflowignore'), 'b.zip\none.py\n');
    deepEqual(scanBundle(folder)?.files, ['a.zip/one.py']);
  });

  test('does not follow a link to an archive, whoever may read that', () => {
    const other = bundle(zipOf([entry('secret.py')]));
    const folder = bundle(zipOf([entry('one.py')]));
    symlinkSync(join(other, 'a.zip'), join(folder, 'link.zip'));
    deepEqual(scanBundle(folder)?.files, ['a.zip/one.py']);
    equal(listArchive(folder, 'link.zip'), null);
    equal(listArchive(folder, `../${other.split('/').at(-1)}/a.zip`), null);
    deepEqual(listArchive(other, 'a.zip'), { modules: ['secret.py'], entries: 1 }, 'control');
  });

  test('a module changes when anything in its archive does', () => {
    const folder = bundle(zipOf([entry('one.py'), entry('words.py', { content: 'A = 1' })]));
    const look = () => new Inputs(folder);
    const before = [look().stamp('a.zip/one.py'), look().digest(['a.zip/one.py'])];
    deepEqual(look().accept(['a.zip/one.py', 'a.zip/words.py', '../x.zip/y.py']), ['a.zip/one.py', 'a.zip/words.py']);
    writeFileSync(join(folder, 'a.zip'), zipOf([entry('one.py'), entry('words.py', { content: 'A = 22' })]));
    const after = [look().stamp('a.zip/one.py'), look().digest(['a.zip/one.py'])];
    ok(before.every((value, at) => value !== after[at]));
  });

  test('an archive is read again only when it has changed', () => {
    const folder = bundle(zipOf([entry('one.py')]));
    const archives = new Archives(folder);
    const look = () => {
      archives.nextLook();
      return archives.list('a.zip');
    };
    const first = look();
    equal(look(), first, 'the same object');
    writeFileSync(join(folder, 'a.zip'), zipOf([entry('one.py'), entry('two.py')]));
    deepEqual(look(), { modules: ['one.py', 'two.py'], entries: 2 });
  });

  test('a folder whose name ends like that of an archive is a folder', () => {
    const folder = mkdtempSync(join(root, 'folder-'));
    mkdirSync(join(folder, 'a.zip'));
    writeFileSync(join(folder, 'a.zip/one.py'), TEXT);
    deepEqual(scanBundle(folder)?.files, ['a.zip/one.py']);
    deepEqual(new Inputs(folder).source('a.zip/one.py'), TEXT);
    deepEqual(new Inputs(folder).accept(['a.zip/one.py', 'a.zip/gone.py']), ['a.zip/one.py']);
  });
});
