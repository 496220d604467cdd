/** Dag files that are wrong: what their author reads, and that nobody else's Dag suffers. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ask, dagKnown, type ImportError, importErrorOf, runEnd, trigger } from '../kit/api.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const good = (id: string) => `import { dag } from '@airlock/sdk';
export default dag('${id}', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('t', { run: async () => 1 })();
});
`;

const FILES = {
  'good.ts': good('good'),
  'syntax.ts': `import { dag } from '@airlock/sdk';\nexport default dag('syntax', {}, (d) => {\n  const = 1;\n});\n`,
  'cycle.ts': `import { dag } from '@airlock/sdk';
export default dag('cycle', { schedule: null }, (d) => {
  const a = d.task('a', { run: async () => 1 })();
  const b = d.task('b', { run: async () => 1 })().after(a);
  a.after(d.task('c', { run: async () => 1 })().after(b));
});
`,
  'endless.ts': `${good('endless')}\nfor (;;);\n`,
  'exits.ts': `${good('exits')}\nprocess.exit(0);\n`,
  'throws_at_import.ts': `${good('throws_at_import')}\nthrow new TypeError('no coffee');\n`,
} as const;

describe('a Dag folder full of mistakes', () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone({
      dags: FILES,
      env: { AIRLOCK__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT: '2' },
    });
  });
  after(async () => {
    await airlock.stop();
  });
  const put = (name: string, text: string) => writeFileSync(join(airlock.home, 'dags', name), text);

  test('a syntax error is told with file, line, the line itself and a hint', async () => {
    const { stack_trace: text } = await importErrorOf(airlock, 'syntax.ts');
    assert.match(text, /^syntax\.ts:3:\d+: Expected identifier but found "="\n/);
    assert.ok(text.includes('3 |   const = 1;'), text);
    assert.match(text, /\nHint: Correct the syntax; the last version that could be parsed stays in force\.$/);
  });

  test('a cycle is told with the tasks that form it, in order', async () => {
    const { stack_trace: text } = await importErrorOf(airlock, 'cycle.ts');
    assert.match(text, /cycle\.ts.*The tasks form a cycle: (a → b → c → a|b → c → a → b|c → a → b → c)\./);
    assert.match(text, /\nHint: Remove one of these edges\.$/);
  });

  test('an endless loop at import is stopped at the limit, and the text says which', async () => {
    const { stack_trace: text } = await importErrorOf(airlock, 'endless.ts');
    assert.match(text, /^endless\.ts: Parsing took longer than 2 s and was stopped\.\nHint: Look for an endless loop/);
  });

  test('process.exit at import is an error that names its line', async () => {
    const { stack_trace: text } = await importErrorOf(airlock, 'exits.ts');
    assert.match(text, /^exits\.ts:6:\d+: process\.exit was called while the file was parsed\./);
    assert.match(text, /\nHint: A Dag file must not end the process\.$/);
  });

  test('what a file throws at import is told with its place', async () => {
    const { stack_trace: text } = await importErrorOf(airlock, 'throws_at_import.ts');
    assert.match(text, /^throws_at_import\.ts:6:\d+: TypeError: no coffee\n/);
  });

  test('none of these files has made a Dag, and the good one beside them runs', async () => {
    const run = await trigger(airlock, 'good');
    assert.equal(await runEnd(airlock, 'good', run), 'success');
    for (const id of ['syntax', 'cycle', 'endless', 'exits', 'throws_at_import']) {
      assert.equal((await ask(airlock, 'GET', `/api/v2/dags/${id}`)).status, 404, id);
    }
  });

  test('of two files with one dag_id the first keeps it, and the second is told who has it', async () => {
    await dagKnown(airlock, 'good');
    put('second.ts', good('good'));
    const { stack_trace: text } = await importErrorOf(airlock, 'second.ts');
    assert.match(text, /The Dag id "good" is used by two files: good\.ts .*which keeps it, and second\.ts/);
    assert.match(text, /Give one of them another id\./);
    const dag = await airlock.api<{ relative_fileloc: string }>('GET', '/api/v2/dags/good');
    assert.equal(dag.relative_fileloc, 'good.ts');
  });

  test('a file that is put right loses its error and gains its Dag', async () => {
    await importErrorOf(airlock, 'syntax.ts');
    put('syntax.ts', good('syntax'));
    await dagKnown(airlock, 'syntax');
    const errors = async () =>
      (await airlock.api<{ import_errors: ImportError[] }>('GET', '/api/v2/importErrors?limit=100')).import_errors;
    await waitFor('the error is gone', async () => !(await errors()).some((one) => one.filename.endsWith('syntax.ts')));
    rmSync(join(airlock.home, 'dags/second.ts'));
    await waitFor(
      'that of a removed file too',
      async () => !(await errors()).some((e) => e.filename.endsWith('second.ts')),
    );
  });
});
