import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import type { DagDocument } from '@airlock/contract/dag/document';
import { parseFile, runTask, startChild } from './kit/child.ts';
import { assertValidDocument } from './kit/schema.ts';

const made: string[] = [];
after(() => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

function bundle(files: Record<string, string>): string {
  const root = mkdtempSync(join(tmpdir(), 'airlock-parse-'));
  made.push(root);
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), text);
  }
  return root;
}
const one = (text: string) => parseFile(bundle({ 'a.ts': text }), 'a.ts');
const HEAD = `import { connection, dag, variable, type Node } from '@airlock/sdk';\n`;
const DAG = `${HEAD}export default dag('d', {}, (d) => { d.task('t', { run: async () => 1 })(); });\n`;

/** The problem of a file that can't be parsed. */
async function problemOf(text: string) {
  const parsed = await one(text);
  assert.deepEqual([parsed.dags, parsed.module], [[], null]);
  return parsed.import_error ?? assert.fail('no import error');
}

test('the Dags of the side-by-side measurement parse unchanged', async () => {
  const root = bundle({ 'bench.ts': readFileSync(new URL('./data/bench_dags.ts', import.meta.url), 'utf8') });
  const parsed = await parseFile(root, 'bench.ts');
  assert.equal(parsed.import_error, null);
  const documents = parsed.dags as DagDocument[];
  assert.deepEqual(
    documents.map((d) => [d.dag.dag_id, d.dag.tasks.length]),
    [
      ['chain40', 40],
      ['fan100', 102],
      ['one', 1],
    ],
  );
  documents.forEach(assertValidDocument);
});

test('parsing again gives the same bytes: documents and module', async () => {
  const root = bundle({
    'a.ts': DAG,
    'lib/x.ts': 'export const x = 1;',
    'b.ts': `${DAG.replace("'d'", "'e'")}import { x } from './lib/x.ts'; export const y = x;`,
  });
  for (const file of ['a.ts', 'b.ts']) {
    const [first, second] = [await parseFile(root, file), await parseFile(root, file)];
    assert.equal(JSON.stringify(second), JSON.stringify(first));
  }
  const elsewhere = await parseFile(bundle({ 'a.ts': DAG }), 'a.ts');
  assert.equal(
    JSON.stringify(elsewhere),
    JSON.stringify(await parseFile(root, 'a.ts')),
    'the folder itself leaves no trace',
  );
});

test('default, named and listed exports are Dags; others are left alone', async () => {
  const make = (id: string) => `dag('${id}', {}, (d) => { d.task('t', { run: async () => 1 })(); })`;
  const parsed = await one(
    `${HEAD}export default ${make('a')}; export const b = ${make('b')}, list = [${make('c')}], n = 5, f = () => 1; const hidden = ${make('h')};`,
  );
  assert.deepEqual((parsed.dags as DagDocument[]).map((d) => d.dag.dag_id).sort(), ['a', 'b', 'c']);
  assert.deepEqual(parsed.warnings, ['Dag h is made but not exported, so it is not deployed.']);
});

test('a task that is never called is a warning', async () => {
  const parsed = await one(`${HEAD}export default dag('d', {}, (d) => { d.task('t', { run: async () => 1 }); });`);
  assert.match(parsed.warnings.join(), /Task t of Dag d is declared but never called/);
});

test('imports of the bundle go into the module, and are named', async () => {
  const root = bundle({
    'sub/a.ts': `${HEAD}import { id } from '../lib/x.ts'; import rows from './rows.csv' with { type: 'text' }; import cfg from './cfg.json' with { type: 'json' };
export default dag(id, {}, (d) => { d.task('t', { run: async () => [rows, cfg.n] })(); });`,
    'lib/x.ts': `export const id: string = 'from_lib';`,
    'sub/rows.csv': 'a,b\n1,2\n',
    'sub/cfg.json': '{"n": 5}',
  });
  const parsed = await parseFile(root, 'sub/a.ts');
  assert.equal(parsed.import_error, null);
  assert.deepEqual(parsed.inputs, ['lib/x.ts', 'sub/cfg.json', 'sub/rows.csv']);
  const { outcome } = await runTask(parsed.module!.code, { dag_id: 'from_lib' });
  assert.deepEqual(outcome?.state === 'success' && outcome.value, ['a,b\n1,2\n', 5]);
});

test('packages beside the Dags are bundled, CommonJS ones too', async () => {
  const root = bundle({
    'a.ts': `${HEAD}import { up } from 'shout'; export default dag('d', {}, (d) => { d.task('t', { run: async () => up('x') })(); });`,
    'node_modules/shout/package.json': '{"name":"shout","version":"1.0.0","main":"index.js"}',
    'node_modules/shout/index.js': `const { EOL } = require('os'); exports.up = (s) => s.toUpperCase() + EOL;`,
  });
  const parsed = await parseFile(root, 'a.ts');
  assert.equal(parsed.import_error, null);
  const { outcome } = await runTask(parsed.module!.code, {});
  assert.equal(outcome?.state === 'success' && outcome.value, 'X\n');
});

test('a failing task names the file and line of its source', async () => {
  const root = bundle({
    'sub/a.ts': `${HEAD}import { boom } from '../lib/boom.ts';\ntype Unused = { a: number };\nexport default dag('d', {}, (d) => {\n  d.task('t', { run: async () => boom('x') })();\n});`,
    'lib/boom.ts': `interface Row { a: string }\n\nexport function boom(what: string): Row {\n  throw new Error('no ' + what);\n}`,
  });
  const parsed = await parseFile(root, 'sub/a.ts');
  const { outcome } = await runTask(parsed.module!.code, {});
  assert.ok(outcome?.state === 'failed');
  assert.match(outcome.error.stack, /^Error: no x\n\s+at boom \(lib\/boom\.ts:4:9\)\n\s+at .*sub\/a\.ts:5:/);
  assert.ok(!outcome.error.stack.includes('airlock-bundle'), outcome.error.stack);
});

test('a syntax error has file, line, column, the line itself and a hint', async () => {
  const problem = await problemOf(
    `${HEAD}export default dag('d', {}, (d) => {\n  d.task('t', { run: async () => 1 }();\n});`,
  );
  assert.deepEqual([problem.file, problem.line], ['a.ts', 3]);
  assert.ok(problem.column! > 1);
  assert.match(problem.message, /Expected/);
  assert.match(problem.stack, /3 \| {3}d\.task[\s\S]*\^/);
  assert.match(problem.hint, /last version that could be parsed stays/);
});

test('what can not be resolved says how to get it', async () => {
  const missing = await problemOf(`${HEAD}import _ from 'lodash/fp';\nexport const x = _;`);
  assert.deepEqual([missing.line, missing.hint], [2, 'Install the package beside the Dags: npm install lodash']);
  const scoped = await problemOf(`import x from '@scope/pkg/deep'; export default x;`);
  assert.match(scoped.hint, /npm install @scope\/pkg$/);
  const file = await problemOf(`import x from './nope.ts'; export default x;`);
  assert.match(file.hint, /Check the path/);
  const testing = await problemOf(`import x from '@airlock/sdk/testing'; export default x;`);
  assert.match(testing.hint, /for tests/);
  const noLoader = await problemOf(`import x from './a.wasm'; export default x;`);
  assert.match(noLoader.message, /Could not resolve/);
});

test('an import from outside of the bundle is refused', async () => {
  const root = bundle({
    'outside.ts': 'export const x = 1;',
    'dags/a.ts': `${HEAD}import { x } from '../outside.ts';\nexport default x;`,
  });
  const parsed = await parseFile(join(root, 'dags'), 'a.ts');
  assert.match(parsed.import_error?.message ?? '', /outside\.ts lies outside of the bundle/);
});

test('mistakes in a Dag are reported at the line that makes them', async () => {
  const inDag = (body: string, options = '{}') =>
    problemOf(`${HEAD}export default dag('d', ${options}, (d) => {\n${body}\n});`);
  const cases: Array<[string, string, RegExp, number]> = [
    [
      `const a = d.task('a', { run: () => 1 })();\nconst b = d.task('b', { run: () => 1 })().after(a);\na.after(b);`,
      '{}',
      /cycle: a → b → a/,
      -1,
    ],
    [`d.task('a', { run: () => 1 });\nd.task('a', { run: () => 1 });`, '{}', /id a occurs twice/, 4],
    [`d.task('a', { run: () => 1, retires: 1 } as never);`, '{}', /no option "retires"/, 3],
    [`throw new TypeError('in the builder');`, '{}', /TypeError: in the builder/, 3],
    ['', `{ schedule: '61 * * * *' }`, /"61" is not a minute/, 2],
    ['', `{ timezone: 'Mars' }`, /not a time zone/, 2],
    [`const x: number = (undefined as any).y;`, '{}', /TypeError: Cannot read prop/, 3],
  ];
  for (const [body, options, message, line] of cases) {
    const problem = await inDag(body, options);
    assert.match(problem.message, message);
    assert.equal(problem.file, 'a.ts');
    if (line > 0) assert.equal(problem.line, line, String(message));
    assert.ok(problem.hint.length > 10);
  }
});

test('two exported Dags with one id are refused', async () => {
  const problem = await problemOf(`${HEAD}export const a = dag('d', {}, () => {}), b = dag('d', {}, () => {});`);
  assert.match(problem.message, /Two exported Dags have the id d/);
});

test('process.exit at import is reported with its place', async () => {
  const problem = await problemOf(`${HEAD}\n\nprocess.exit(0);\n${DAG.slice(HEAD.length)}`);
  assert.match(problem.message, /process\.exit was called/);
  assert.deepEqual([problem.file, problem.line], ['a.ts', 4]);
});

test('whatever else goes wrong at import has a hint that fits', async () => {
  const file = await problemOf(
    `import { readFileSync } from 'node:fs';\nexport const x = readFileSync('/no/such/file');`,
  );
  assert.match(file.hint, /sandbox that shows the bundle only/);
  assert.equal(file.line, 2);
  const network = await problemOf(
    `const e: any = new Error('getaddrinfo'); e.code = 'EAI_AGAIN';\nthrow new TypeError('fetch failed', { cause: e });`,
  );
  assert.match(network.hint, /parsed without network/);
  const thrown = await problemOf(`throw 'plain text';`);
  assert.match(thrown.message, /The file threw plain text/);
  const rejected = await problemOf(
    `${DAG}\nPromise.reject(new Error('lost')); await new Promise((r) => setTimeout(r, 1000));`,
  );
  assert.match(rejected.message, /Error: lost/);
});

test('a file that exports no Dag has none, and that is not decided here', async () => {
  const parsed = await one('export const helper = 1;');
  assert.deepEqual([parsed.dags, parsed.module, parsed.import_error], [[], null, null]);
});

test('an endless file has said what went into it before it hangs', async () => {
  const root = bundle({
    'a.ts': `import { x } from './b.ts'; export const y = x; for (;;) {}`,
    'b.ts': 'export const x = 1;',
  });
  const child = startChild('parser');
  const bundled = new Promise<readonly string[]>((resolve) => {
    child.onFrame = (frame) => {
      if (frame.type === 'bundled') resolve(frame.inputs);
    };
  });
  child.send({
    type: 'parse',
    bundle_root: root,
    file: `${root}/a.ts`,
    relative_fileloc: 'a.ts',
    fileloc: '/dags/a.ts',
    bundle_name: 'b',
  });
  assert.deepEqual(await bundled, ['b.ts']);
  child.kill();
  await child.exited;
});

test('a module that is too large for a report is an import error with the limit', async () => {
  const root = bundle({
    'a.ts': `${HEAD}import text from './big.txt'; export default dag('d', {}, (d) => { d.task('t', { run: async () => text.length })(); });`,
    'big.txt': 'x'.repeat(17 * 1024 * 1024),
  });
  const parsed = await parseFile(root, 'a.ts');
  assert.match(parsed.import_error?.message ?? '', /larger than 16 MiB/);
});

test('a Dag follows its newest version where the order says so, and is pinned to that of its run otherwise', async () => {
  const root = bundle({ 'a.ts': DAG });
  const of = async (more: object) => {
    const [document] = (await parseFile(root, 'a.ts', more)).dags as Array<{ dag: Record<string, unknown> }>;
    return document!.dag.disable_bundle_versioning;
  };
  assert.deepEqual(
    [await of({}), await of({ disable_bundle_versioning: false }), await of({ disable_bundle_versioning: true })],
    [false, false, true],
  );
});
