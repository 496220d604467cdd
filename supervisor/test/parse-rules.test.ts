import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { ParseReport } from '@airlock/contract/supervisor-api';
import { zipOf } from '../../tests/kit/zip.ts';
import { BundleParser } from '../src/parse/bundle-parser.ts';
import { allowedInput, digestOf, readInside } from '../src/parse/digest.ts';
import { standIn } from '../src/parse/inputs.ts';
import type { ParsedFile } from '../src/parse/parse-child.ts';
import { isParsedName, scanBundle } from '../src/parse/scan.ts';
import { makeSlots } from '../src/parse/slots.ts';

type Folder = { root: string; put(name: string, text: string): void; remove(name: string): void } & Disposable;

function folder(files: Record<string, string> = {}): Folder {
  const root = mkdtempSync(join(tmpdir(), 'airlock-bundle-'));
  const made: Folder = {
    root,
    put(name, text) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
      // As if saved before the parse began: a file that is saved during it is parsed once more.
      utimesSync(join(root, name), 1, 1);
    },
    remove: (name) => rmSync(join(root, name)),
    [Symbol.dispose]: () => rmSync(root, { recursive: true, force: true }),
  };
  for (const [name, text] of Object.entries(files)) made.put(name, text);
  return made;
}

const RESULT: ParsedFile = {
  dags: [],
  moduleCode: null,
  bundled: true,
  inputs: [],
  importError: null,
  warnings: [],
  output: '',
};
const withDag = (more: Partial<ParsedFile> = {}): ParsedFile => ({
  ...RESULT,
  dags: [{ dag: {} }],
  moduleCode: 'code',
  ...more,
});

/** A parser over a folder, with parses that are answered by `results`, and a record of all that it says. */
function parserOf(root: string, results: Record<string, ParsedFile>) {
  const parsed: string[] = [];
  const reports: ParseReport[] = [];
  const listings: Array<readonly string[]> = [];
  let unreadable = 0;
  const parser = new BundleParser({
    name: 'b',
    root,
    shownRoot: root,
    parseFile: async ({ relative }) => {
      parsed.push(relative);
      await new Promise((resolve) => setImmediate(resolve));
      return results[relative] ?? RESULT;
    },
    withSlot: makeSlots(2),
    stuckRetryMs: 0,
    onReport: (report) => reports.push(report),
    onListing: (files) => listings.push(files),
    onUnreadable: () => unreadable++,
    onScan: () => undefined,
    log: { info: () => undefined, warn: () => undefined },
  });
  const settle = async () => {
    parser.refresh();
    while (parser.busy) await new Promise((resolve) => setImmediate(resolve));
    const said = { parsed: parsed.splice(0).sort(), reports: reports.splice(0), listings: listings.splice(0) };
    return { ...said, errors: said.reports.map((r) => [r.relative_fileloc, r.import_error !== null]) };
  };
  return { parser, settle, unreadable: () => unreadable };
}

test('TypeScript files are parsed; declarations, tests and hidden names are not', () => {
  for (const name of ['a.ts', 'sales-2.ts', 'x.y.ts']) assert.ok(isParsedName(name), name);
  for (const name of ['a.d.ts', 'a.test.ts', 'a.spec.ts', 'a.test-d.ts', '.a.ts', '_a.ts', 'a.js', 'a.tsx', 'ts']) {
    assert.ok(!isParsedName(name), name);
  }
});

test('a scan leaves out packages and hidden folders, and does not follow links', () => {
  using f = folder({ 'a.ts': '', 'sub/deep/b.ts': '', 'node_modules/p/c.ts': '', '.git/d.ts': '', 'data.csv': '' });
  assert.deepEqual(scanBundle(f.root), {
    files: ['a.ts', 'sub/deep/b.ts'],
    folders: ['', 'sub', 'sub/deep'],
    cut: false,
    badRules: [],
  });
});

test('a bundle that can not be read keeps its Dags: nothing is said about its files but, once, that', async () => {
  using f = folder({ 'a.ts': '1' });
  const { settle, unreadable } = parserOf(f.root, { 'a.ts': withDag() });
  await settle();
  assert.equal(unreadable(), 0);
  renameSync(f.root, `${f.root}-away`);
  assert.equal(scanBundle(f.root), null);
  for (let i = 0; i < 2; i++) assert.deepEqual(await settle(), { parsed: [], reports: [], listings: [], errors: [] });
  assert.equal(unreadable(), 1);
  renameSync(`${f.root}-away`, f.root);
  const back = await settle();
  assert.deepEqual([back.parsed, back.listings], [[], [['a.ts']]]);
});

test('only what changed is parsed again, and a touched file with the same content is not', async () => {
  using f = folder({ 'a.ts': '1', 'b.ts': '1' });
  const { settle } = parserOf(f.root, { 'a.ts': withDag(), 'b.ts': withDag() });
  const first = await settle();
  assert.deepEqual([first.parsed, first.listings, first.reports.length], [['a.ts', 'b.ts'], [['a.ts', 'b.ts']], 2]);
  assert.deepEqual((await settle()).parsed, []);
  f.put('a.ts', '1');
  assert.deepEqual((await settle()).parsed, []);
  f.put('a.ts', '2');
  const changed = await settle();
  assert.deepEqual([changed.parsed, changed.listings], [['a.ts'], []]);
  assert.notEqual(
    changed.reports[0]!.inputs_digest,
    first.reports.find((r) => r.relative_fileloc === 'a.ts')!.inputs_digest,
  );
});

test('a change of what a file imports parses that file again', async () => {
  using f = folder({ 'a.ts': '1', 'lib/x.ts': '1', 'rows.csv': '1' });
  const { settle } = parserOf(f.root, { 'a.ts': withDag({ inputs: ['lib/x.ts', 'rows.csv'] }) });
  await settle();
  f.put('rows.csv', '2');
  assert.deepEqual((await settle()).parsed, ['a.ts']);
  f.put('lib/x.ts', '2');
  assert.deepEqual((await settle()).parsed, ['a.ts', 'lib/x.ts']);
});

test('a file that could not be bundled is tried again when anything changes, since what it lacks may have come', async () => {
  using f = folder({ 'a.ts': `import '@airlock/sdk'` });
  const results: Record<string, ParsedFile> = { 'a.ts': { ...RESULT, bundled: false, importError: 'no ./lib.ts' } };
  const { settle } = parserOf(f.root, results);
  assert.deepEqual((await settle()).errors, [['a.ts', true]]);
  assert.deepEqual((await settle()).parsed, []);
  f.put('lib.ts', 'x');
  results['a.ts'] = withDag({ inputs: ['lib.ts'] });
  const again = await settle();
  assert.deepEqual(again.parsed, ['a.ts', 'lib.ts']);
  assert.ok(again.reports.some((r) => r.relative_fileloc === 'a.ts' && r.import_error === null && r.dags.length === 1));
});

test('so it is when a file that is no Dag file comes, or is said to have changed', async () => {
  using f = folder({ 'a.ts': `import '@airlock/sdk'`, 'rows.json': '{' });
  const { parser, settle } = parserOf(f.root, { 'a.ts': { ...RESULT, bundled: false, importError: 'no ./rows.csv' } });
  await settle();
  f.put('rows.csv', '1');
  assert.deepEqual((await settle()).parsed, ['a.ts']);
  assert.deepEqual((await settle()).parsed, []);
  f.put('rows.json', '{}');
  parser.refresh(true);
  assert.deepEqual((await settle()).parsed, ['a.ts']);
});

test('a package counts as its package.json, whose replacement parses anew what imports it', async () => {
  using f = folder({ 'a.ts': '1', 'node_modules/@s/p/package.json': '1', 'node_modules/@s/p/lib/x.js': '1' });
  const { settle } = parserOf(f.root, { 'a.ts': withDag({ inputs: ['node_modules/@s/p/lib/x.js'] }) });
  await settle();
  f.put('node_modules/@s/p/package.json', '2');
  assert.deepEqual((await settle()).parsed, ['a.ts']);
  assert.equal(
    standIn('../node_modules/.store/q@1/node_modules/q/a/b.js'),
    '../node_modules/.store/q@1/node_modules/q/package.json',
  );
  assert.equal(standIn('lib/x.ts'), 'lib/x.ts');
});

test('removed files leave the listing', async () => {
  using f = folder({ 'a.ts': '1', 'b.ts': '1' });
  const { settle } = parserOf(f.root, { 'a.ts': withDag(), 'b.ts': withDag() });
  await settle();
  f.remove('b.ts');
  const said = await settle();
  assert.deepEqual([said.listings, said.reports], [[['a.ts']], []]);
});

test('a file without a Dag is an error only if it mentions the SDK and nobody imports it', async () => {
  using f = folder({
    'forgot.ts': `import { dag } from '@airlock/sdk'`,
    'shared.ts': `import { connection } from '@airlock/sdk'`,
    'plain.ts': 'export const x = 1',
    'a.ts': 'uses shared',
  });
  const results: Record<string, ParsedFile> = { 'a.ts': withDag({ inputs: ['shared.ts'] }) };
  const { settle } = parserOf(f.root, results);
  const errors = Object.fromEntries((await settle()).errors as Array<[string, boolean]>);
  assert.deepEqual(errors, { 'a.ts': false, 'forgot.ts': true, 'shared.ts': false, 'plain.ts': false });
  // Once its importer is gone, the shared file has no reason left to have no Dag.
  f.put('a.ts', 'alone');
  results['a.ts'] = withDag();
  assert.deepEqual((await settle()).errors, [
    ['a.ts', false],
    ['shared.ts', true],
  ]);
});

test('an error of a script that has nothing to do with Dags is not reported', async () => {
  using f = folder({ 'script.ts': 'throw 1', 'dag.ts': `import '@airlock/sdk'`, 'via.ts': 'import ./dag.ts' });
  const broken = { ...RESULT, importError: 'it throws' };
  const { settle } = parserOf(f.root, {
    'script.ts': broken,
    'dag.ts': broken,
    'via.ts': { ...broken, inputs: ['dag.ts'] },
  });
  const errors = Object.fromEntries((await settle()).errors as Array<[string, boolean]>);
  assert.deepEqual(errors, { 'dag.ts': true, 'via.ts': true, 'script.ts': false });
});

test('what the server does not know is parsed anew', async () => {
  using f = folder({ 'a.ts': '1' });
  const { parser, settle } = parserOf(f.root, { 'a.ts': withDag() });
  const { reports } = await settle();
  assert.equal(parser.reported().get('a.ts'), reports[0]!.inputs_digest);
  parser.forget('a.ts');
  assert.deepEqual((await settle()).parsed, ['a.ts']);
});

test('a change while a file is being parsed is not lost', async () => {
  using f = folder({ 'a.ts': '1' });
  let parses = 0;
  const parser = new BundleParser({
    name: 'b', root: f.root, shownRoot: f.root, withSlot: makeSlots(1), onReport: () => undefined, onListing: () => undefined, onUnreadable: () => undefined, onScan: () => undefined,
    log: { info: () => undefined, warn: () => undefined },
    parseFile: async () => {
      parses++;
      if (parses === 1) {
        f.put('a.ts', '2');
        parser.refresh();
      }
      return withDag();
    },
  }); // biome-ignore format: a table of options
  parser.refresh();
  while (parser.busy) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(parses, 2);
});

test('inputs that a parse names are read only where the parse could see', () => {
  using f = folder({ 'dags/a.ts': '', 'secret.txt': 's', 'node_modules/p/i.js': '' });
  const root = join(f.root, 'dags');
  const packages = [join(f.root, 'node_modules')];
  assert.notEqual(allowedInput(root, packages, 'a.ts'), null);
  assert.notEqual(allowedInput(root, packages, '../node_modules/p/i.js'), null);
  for (const name of ['../secret.txt', '/etc/passwd', '..', '.', 'gone.ts', '../dags-other/a.ts', '\0']) {
    assert.equal(allowedInput(root, packages, name), null, name);
  }
});

test('what stands in the place of a Dag file is not read through: links, folders, pipes', () => {
  using f = folder({ 'dags/a.ts': 'good', 'dags/sub/b.ts': 'good', 'secret.txt': 'secret' });
  const dags = join(f.root, 'dags');
  const read = (name: string) => readInside(join(dags, name), [dags])?.toString() ?? null;
  assert.equal(read('a.ts'), 'good');
  symlinkSync(join(f.root, 'secret.txt'), join(dags, 'link.ts'));
  symlinkSync(f.root, join(dags, 'up'));
  spawnSync('mkfifo', [join(dags, 'pipe.ts')]);
  // Swapped after it was looked at: the name is fine, what is opened is not.
  for (const name of ['link.ts', 'up/secret.txt', 'pipe.ts', 'sub', 'gone.ts']) assert.equal(read(name), null, name);
});

test('a digest depends on names and contents, not on their order', () => {
  const [a, b] = [
    { name: 'a', content: Buffer.from('1') },
    { name: 'b', content: Buffer.from('2') },
  ];
  assert.equal(digestOf([a, b]), digestOf([b, a]));
  assert.notEqual(digestOf([a, b]), digestOf([a]));
  assert.notEqual(digestOf([{ ...a, name: 'c' }]), digestOf([a]));
  assert.notEqual(digestOf([{ name: 'a', content: null }]), digestOf([a]));
});

test('a module of an archive is a file with the source that its child told, parsed again when the archive changes', async () => {
  using f = folder();
  const put = (text: string) => {
    writeFileSync(join(f.root, 'a.zip'), zipOf([{ name: 'm.py', content: text }]));
    utimesSync(join(f.root, 'a.zip'), 1, 1);
  };
  put('1');
  const { settle } = parserOf(f.root, { 'a.zip/m.py': withDag({ source: 'told' }) });
  const first = await settle();
  assert.deepEqual([first.parsed, first.listings], [['a.zip/m.py'], [['a.zip/m.py']]]);
  assert.deepEqual([first.reports[0]?.relative_fileloc, first.reports[0]?.source], ['a.zip/m.py', 'told']);
  assert.deepEqual((await settle()).parsed, []);
  put('22');
  assert.deepEqual((await settle()).parsed, ['a.zip/m.py']);
});
