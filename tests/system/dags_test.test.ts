import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { repositoryRoot } from '../kit/standalone.ts';

const folder = mkdtempSync(join(tmpdir(), 'airlock-dags-test-'));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs `airlock dags test` on a file with this text. Its own temporary folder shows whether anything is left. */
function tryDag(text: string, ...options: string[]) {
  const temporary = mkdtempSync(join(folder, 't'));
  writeFileSync(join(folder, 'subject.ts'), text);
  const result = spawnSync(
    process.execPath,
    [join(repositoryRoot, 'cli/bin/airlock'), 'dags', 'test', join(folder, 'subject.ts'), ...options],
    {
      encoding: 'utf8',
      timeout: 90_000,
      env: { PATH: process.env.PATH ?? '', HOME: folder, TMPDIR: temporary },
    },
  );
  return { ...result, left: readdirSync(temporary) };
}
const dagOf = (body: string, head = '') => `import { dag, variable } from '@airlock/sdk';
${head}
export default dag('subject', { schedule: '@daily', startDate: '2026-01-01', paused: true }, (d) => {
  ${body}
});`;

describe('airlock dags test', () => {
  test('runs a good Dag, with what it imports from beside it, and leaves nothing', () => {
    writeFileSync(join(folder, 'beside.ts'), 'export const answer = 42;\n');
    const text = dagOf("d.task('t', { run: async () => answer })();", "import { answer } from './beside.ts';");
    const { status, stdout, stderr, left } = tryDag(text);
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /success {2}t/);
    assert.deepEqual(left, []);
  });

  test('gives a task the variable of the command line, and no other', () => {
    const text = dagOf(
      "d.task('t', { needs: { who }, run: async (_: {}, { needs }) => { if (needs.who !== 'me') throw new Error(needs.who); } })();",
      "const who = variable('who');",
    );
    assert.equal(tryDag(text, '--variable', 'who=me').status, 0);
    const without = tryDag(text);
    assert.equal(without.status, 1, without.stdout + without.stderr);
  });

  test('shows the log of a task that fails, and ends with 1', () => {
    const { status, stdout, left } = tryDag(
      dagOf("d.task('t', { run: async () => { throw new Error('no luck'); } })();"),
    );
    assert.equal(status, 1);
    assert.match(stdout, /no luck/);
    assert.deepEqual(left, []);
  });

  test('shows where a file is wrong, and ends with 1', () => {
    const { status, stderr } = tryDag(dagOf('const x = ;'));
    assert.equal(status, 1);
    assert.match(stderr, /subject\.ts/);
    assert.match(stderr, /Unexpected ";"/);
  });

  test('runs the first Dag of the README as it stands there', () => {
    const readme = readFileSync(join(repositoryRoot, 'README.md'), 'utf8');
    const [, text] = /```ts\n([\s\S]*?)```/.exec(readme)!;
    const { status, stdout, stderr } = tryDag(text!);
    assert.equal(status, 0, stdout + stderr);
    assert.match(stdout, /success {2}count/);
  });

  test('says that there is no such file, and ends with 2', () => {
    const result = spawnSync(
      process.execPath,
      [join(repositoryRoot, 'cli/bin/airlock'), 'dags', 'test', join(folder, 'none.ts')],
      {
        encoding: 'utf8',
        timeout: 30_000,
        env: { PATH: process.env.PATH ?? '', HOME: folder },
      },
    );
    assert.equal(result.status, 2);
    assert.match(result.stderr, /There is no file .*none\.ts/);
  });
});
