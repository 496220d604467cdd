import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { waitFor } from '../../tests/kit/wait.ts';

const launcher = join(import.meta.dirname, '../bin/airlock');
const home = mkdtempSync(join(tmpdir(), 'airlock-cli-'));
after(() => rmSync(home, { recursive: true, force: true }));
const env = { PATH: process.env.PATH ?? '', HOME: home, AIRLOCK_HOME: home };

/** The launcher under this Node; `oldNode` makes it believe that it can't replace itself, as Node below 26 can't. */
function launch(args: readonly string[], oldNode = false) {
  const hide = oldNode ? ['--require', hideExecve()] : [];
  return spawnSync(process.execPath, [...hide, launcher, ...args], { encoding: 'utf8', timeout: 30_000, env });
}
const hideExecve = () => join(import.meta.dirname, 'data/no-execve.cjs');

describe('the launcher', () => {
  for (const oldNode of [false, true]) {
    const how = oldNode ? 'starts a child' : 'replaces itself';
    test(`${how} and ends with the status of the command`, () => {
      assert.equal(launch(['version'], oldNode).status, 0);
      assert.equal(launch(['bogus'], oldNode).status, 2);
      assert.equal(launch(['dags', 'list'], oldNode).status, 3);
    });

    test(`${how} and leaves output and errors apart`, () => {
      const { stdout, stderr } = launch(['version', '--json'], oldNode);
      assert.deepEqual((JSON.parse(stdout) as { airlock: string }).airlock, '0.1.0');
      assert.equal(stderr, '');
    });
  }

  test('passes SIGTERM on to the child that it started, and ends by it too', async () => {
    // A command that runs until it is stopped: it asks for a password, and nobody answers.
    const args = ['--require', hideExecve(), launcher, 'users', 'create', 'x', '--role', 'op', '--password-stdin'];
    const child = spawn(process.execPath, args, { env, stdio: ['pipe', 'ignore', 'ignore'] });
    const ended = new Promise<NodeJS.Signals | null>((resolve) =>
      child.once('exit', (_code, signal) => resolve(signal)),
    );
    const inner = await waitFor('the launcher has a child', () => {
      const text = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8').trim();
      return text === '' ? null : Number(text);
    });
    child.kill('SIGTERM');
    assert.equal(await ended, 'SIGTERM');
    await waitFor('the child is gone', () => !existsSync(`/proc/${inner}`));
  });

  test('shows help for a process without starting it', () => {
    const { status, stdout } = launch(['standalone', '--help']);
    assert.equal(status, 0);
    assert.match(stdout, /start everything on this machine/);
  });
});
