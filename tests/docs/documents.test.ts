import assert from 'node:assert/strict';
import { existsSync, globSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { SECTIONS } from '@airlock/contract/config/index';
import { ERRORS } from '@airlock/contract/errors';
import { EXIT_CODES } from '../../cli/src/exit-codes.ts';
import { BOUNDS } from '../../control/src/scheduler/bounds.ts';
import { cliReference, REFERENCE_BEGINS } from '../../tools/docs/cli.ts';
import { configurationPage } from '../../tools/docs/configuration.ts';
import { withTables } from '../../tools/docs/inserts.ts';
import { routeMatrixPage } from '../../tools/docs/route-matrix.ts';

const root = join(import.meta.dirname, '../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const pages = globSync(['*.md', 'docs/**/*.md', '*/README.md', 'changes/*.md'], {
  cwd: root,
  exclude: (name) => String(name).endsWith('node_modules'),
});

type Option = { readonly default: unknown; readonly parse: (text: string) => unknown };
const option = (section: string, key: string): Option | undefined =>
  (SECTIONS as Record<string, Record<string, Option>>)[section]?.[key];
function accepts({ parse }: Option, value: string): boolean {
  try {
    parse(value);
    return true;
  } catch {
    return false;
  }
}
const sayDefault = (row: Option, said: string): boolean =>
  said.trim() === 'unset' ? row.default === null : said.trim().split(' ')[0] === String(row.default);

describe('what is written twice is equal', () => {
  test('errors.ts and docs/errors.md give the same codes, statuses and remedies', () => {
    const rows = [...read('docs/errors.md').matchAll(/^\| `([A-Z_]+)` \| (\d+) \| (\d+) \| [^|]+ \| ([^|]+) \|$/gm)];
    const documented = Object.fromEntries(
      rows.map(([, code, rest, execution, remedy]) => [
        code,
        { rest: Number(rest), execution: Number(execution), remedy },
      ]),
    );
    assert.deepEqual(documented, ERRORS);
  });

  test('docs/configuration.md is what the option tables give', () => {
    assert.equal(read('docs/configuration.md'), configurationPage(), 'run: node tools/docs/configuration.ts --write');
  });

  test('tables which documents take from the code are what the code gives', () => {
    for (const page of pages)
      assert.equal(read(page), withTables(read(page)), `${page}: node tools/docs/inserts.ts --write`);
  });

  test('what may get stuck is each measured by a test that exists', () => {
    for (const {
      stuck,
      test: [file, name],
    } of BOUNDS)
      assert.ok(name !== '' && read(file).includes(`test('${name}`), `${stuck}: ${file} has no test "${name}…"`);
  });

  test('every option that a document names exists, with the value and the default that it says', () => {
    const wrong: string[] = [];
    let checked = 0;
    for (const page of pages) {
      for (const [text, section, key, value, fallback] of read(page).matchAll(
        /`\[(\w+)\] (\w+)(?: = ([^`]+))?`(?: \(default `?([^`),;]+))?/g,
      )) {
        checked++;
        const row = option(section!, key!);
        if (!row) wrong.push(`${page}: ${text}: there is no such option`);
        else if (value !== undefined && !accepts(row, value))
          wrong.push(`${page}: ${text}: not a value of this option`);
        else if (fallback !== undefined && !sayDefault(row, fallback)) wrong.push(`${page}: ${text}: ${row.default}`);
      }
      for (const [text, section, key] of read(page).matchAll(/\bAIRLOCK__([A-Z_]+?)__([A-Z_]+?)(?:_CMD)?\b/g)) {
        if (section === 'SECTION') continue;
        checked++;
        if (!option(section!.toLowerCase(), key!.toLowerCase()))
          wrong.push(`${page}: ${text}: there is no such option`);
      }
    }
    assert.ok(checked > 100, 'nothing to check');
    assert.deepEqual(wrong, []);
  });

  test('every option is read by some source: none is taken and then forgotten', () => {
    const paths = globSync(['*/src/**/*.ts', '*/bin/*', 'sdk/python/*.py'], {
      cwd: root,
      exclude: (name) => String(name).endsWith('node_modules') || String(name).endsWith('contract/src/config'),
    }).filter((path) => !path.endsWith('.test.ts') && !path.startsWith('contract/src/config/'));
    const sources = paths.map(read).join('\n');
    const unread = Object.entries(SECTIONS).flatMap(([section, table]) =>
      Object.keys(table)
        .filter((key) => !new RegExp(`\\b${key}\\b`).test(sources))
        .map((key) => `[${section}] ${key}`),
    );
    assert.deepEqual(unread, []);
  });

  test('every error code that a document names is one of the table', () => {
    const unknown: string[] = [];
    let checked = 0;
    for (const page of pages) {
      for (const [, name] of read(page).matchAll(/`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)`/g)) {
        if (/^(?:AIRLOCK|AIRFLOW|PR|SO|RLIMIT|PROC|NO)_/.test(name!)) continue;
        checked++;
        if (!(name! in ERRORS)) unknown.push(`${page}: ${name}`);
      }
    }
    assert.ok(checked > 20, 'nothing to check');
    assert.deepEqual(unknown, []);
  });

  test('docs/security/route-matrix.md is what the policy tables give', () => {
    assert.equal(read('docs/security/route-matrix.md'), routeMatrixPage(), 'run: npm run matrix -- --write');
  });

  test('docs/cli.md lists every command and option', () => {
    const [, reference] = read('docs/cli.md').split(`${REFERENCE_BEGINS}\n\n`);
    assert.equal(reference, cliReference(), 'run: node tools/docs/cli.ts --write');
  });

  test('docs/cli.md gives the exit statuses of the code', () => {
    const statuses = [...read('docs/cli.md').matchAll(/^\| (\d+) \|/gm)].map(([, status]) => Number(status));
    assert.deepEqual(statuses, Object.values(EXIT_CODES));
  });
});

describe('documents', () => {
  test('every link to a file of the repository leads to one', () => {
    const broken: string[] = [];
    let checked = 0;
    for (const page of pages) {
      for (const [, target] of read(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)(?:#[^)]*)?\)/g)) {
        checked++;
        if (!existsSync(join(root, dirname(page), target!))) broken.push(`${page}: ${target}`);
      }
    }
    assert.ok(checked > 20, 'nothing to check');
    assert.deepEqual(broken, []);
  });

  test('every file of the repository that a document names in code exists', () => {
    const folders = readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
    const missing: string[] = [];
    for (const page of pages) {
      for (const [, path] of read(page).matchAll(/`([a-z-]+\/[\w./-]+\.(?:ts|mjs|sql|jsonc|json|txt|md|test\.ts))`/g)) {
        if (folders.includes(path!.split('/')[0]!) && !existsSync(join(root, path!))) missing.push(`${page}: ${path}`);
      }
    }
    assert.deepEqual(missing, []);
  });

  test('every npm script that a document names exists', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const unknown: string[] = [];
    for (const page of pages) {
      for (const [, name] of read(page).matchAll(/npm run ([a-z:]+)/g))
        if (!(name! in scripts)) unknown.push(`${page}: ${name}`);
    }
    assert.deepEqual(unknown, []);
  });

  test('each package has a README with the five headings', () => {
    for (const name of [
      'contract',
      'proc',
      'secret-backends',
      'token-verify',
      'token-sign',
      'store',
      'control',
      'supervisor',
      'sdk',
      'standalone',
      'cli',
    ]) {
      const headings = [...read(`${name}/README.md`).matchAll(/^## (.+)$/gm)].map(([, heading]) => heading);
      assert.deepEqual(headings, ['Powers', 'Imports', 'Processes', 'Invariants', 'Where to start reading'], name);
    }
  });

  test('each decision record says what would violate it and what shows it', () => {
    const records = readdirSync(join(root, 'docs/decisions')).filter((name) => /^\d{4}-/.test(name));
    assert.ok(records.length >= 9);
    for (const [index, name] of records.sort().entries()) {
      const text = read(`docs/decisions/${name}`);
      assert.equal(Number(name.slice(0, 4)), index + 1, `${name}: its number is not the next one`);
      assert.match(text, new RegExp(`^# ${index + 1}\\. `), `${name}: its title has another number`);
      for (const heading of ['Context', 'Decision', 'Roads not taken', 'Consequences', 'Violated when', 'Evidence']) {
        assert.match(text, new RegExp(`^## ${heading}$`, 'm'), `${name}: ${heading}`);
      }
    }
  });

  test('the page of promises lists L1 to L34, and each that is kept names a test that exists', () => {
    const rows = [...read('docs/security/promises.md').matchAll(/^\| (L\d+) \| [^|]+ \| ([^|]+) \|$/gm)];
    assert.deepEqual(
      rows.map(([, name]) => name),
      Array.from({ length: 34 }, (_, i) => `L${i + 1}`),
    );
    for (const [, name, state] of rows) {
      if (state!.startsWith('not kept yet')) continue;
      const tests = [...state!.matchAll(/`([^`]+\.test\.ts)`/g)];
      assert.ok(tests.length > 0, `${name} names no test and is not called "not kept yet"`);
      for (const [, path] of tests) assert.ok(existsSync(join(root, path!)), `${name}: ${path} does not exist`);
    }
  });

  test('nothing names a machine of the authors or how the work is organised', () => {
    const tracked = globSync(
      ['*.md', 'docs/**/*.md', '*/README.md', '*/src/**/*.ts', '*/bin/*', 'tools/**/*.ts', 'tests/**/*.ts'],
      { cwd: root, exclude: (name) => String(name).endsWith('node_modules') },
    );
    const marks = tracked.filter(
      (path) => !path.startsWith('tests/docs/') && /\/work\/(?:main|shared)|\/tmp\/plan/.test(read(path)),
    );
    assert.deepEqual(marks, []);
  });
});
