/** A Dag folder in a git repository: what is committed runs, and a run keeps the commit that it was made at. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { dagKnown, resultOf, runEnd, runPath, trigger } from '../kit/api.ts';
import { repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const root = mkdtempSync(join(tmpdir(), 'airlock-repository-'));
chmodSync(root, 0o755);
after(() => rmSync(root, { recursive: true, force: true }));
const git = (...args: string[]): string =>
  execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-C', root, ...args], {
    encoding: 'utf8',
  }).trim();
function commit(file: string, text: string): string {
  writeFileSync(join(root, file), text);
  git('add', '-A');
  git('commit', '-q', '-m', 'x');
  return git('rev-parse', 'HEAD');
}
const env = (more: Record<string, string> = {}) => ({
  AIRLOCK__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: JSON.stringify([
    {
      name: 'g',
      classpath: 'GitDagBundle',
      kwargs: { repo_url: `file://${root}`, tracking_ref: 'main', refresh_interval: 1 },
    },
  ]),
  ...more,
});
const versionOf = async (airlock: Standalone, dagId: string, runId: string) =>
  (await airlock.api<{ bundle_version: string | null }>('GET', runPath(dagId, runId))).bundle_version;
const parsedAt = (airlock: Standalone, dagId: string, version: string) =>
  waitFor(
    `${dagId} is read at ${version}`,
    async () =>
      (await airlock.api<{ bundle_version: string | null }>('GET', `/api/v2/dags/${dagId}`)).bundle_version === version,
    { timeoutMs: 120_000 },
  );
git('init', '-q', '-b', 'main');

test('a TypeScript Dag is read from a commit, and a run says which one', async () => {
  const dag = (value: number) =>
    `import { dag } from '@airlock/sdk';\nexport default dag('typed', {}, (d) => { d.task('t', { run: async () => ${value} })(); });\n`;
  const first = commit('typed.ts', dag(1));
  await using airlock = await startStandalone({ env: env() });
  await dagKnown(airlock, 'typed');
  const one = await trigger(airlock, 'typed');
  assert.equal(await runEnd(airlock, 'typed', one), 'success');
  const second = commit('typed.ts', dag(2));
  await parsedAt(airlock, 'typed', second);
  const two = await trigger(airlock, 'typed');
  assert.equal(await runEnd(airlock, 'typed', two), 'success');
  const result = (runId: string) => resultOf(airlock, { dagId: 'typed', runId, taskId: 't' });
  assert.deepEqual([await versionOf(airlock, 'typed', one), await result(one)], [first, 1]);
  assert.deepEqual([await versionOf(airlock, 'typed', two), await result(two)], [second, 2]);
});

test('a repository that is gone is named by the health and by the errors, its last version runs, and its return ends that', async () => {
  commit(
    'kept.ts',
    `import { dag } from '@airlock/sdk';
export default dag('kept', {}, (d) => { d.task('t', { run: async () => 1 })(); });
`,
  );
  await using airlock = await startStandalone({ env: env() });
  const cli = (...args: string[]) =>
    spawnSync(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), ...args], {
      encoding: 'utf8',
      timeout: 60_000,
      env: { PATH: process.env.PATH ?? '', HOME: airlock.home, AIRLOCK_HOME: airlock.home },
    });
  await dagKnown(airlock, 'kept');
  assert.match(cli('dags', 'errors').stderr, /every Dag file can be read/);
  assert.doesNotMatch(cli('health').stderr, /bundle/);
  renameSync(root, `${root}-away`);
  try {
    await waitFor('the health names it', () => /the bundle g can't be read since/.test(cli('health').stderr), {
      timeoutMs: 60_000,
    });
    const health = cli('health');
    assert.equal(health.status, 0, 'the server itself is well');
    assert.match(
      health.stderr,
      /does not appear to be a git repository\. Bring the repository back, or correct repo_url\./,
    );
    assert.match(cli('dags', 'errors').stdout, /bundle g .*\n.*Bring the repository back/);
    assert.equal(await runEnd(airlock, 'kept', await trigger(airlock, 'kept')), 'success');
  } finally {
    renameSync(`${root}-away`, root);
  }
  await waitFor('it is well again', () => /every Dag file can be read/.test(cli('dags', 'errors').stderr), {
    timeoutMs: 60_000,
  });
  assert.doesNotMatch(cli('health').stderr, /bundle/);
});

describe('Python files of a commit', { skip: withoutPython }, () => {
  test('a task that starts after a newer commit runs the code of its own run', async () => {
    ensureVenv(findPython()!);
    // The second task waits for a variable, which is set after the next commit has been read.
    const dag = (value: number) => `
from airflow.sdk import Variable, dag, task
import time

@dag(schedule=None)
def pinned():
    @task
    def waits():
        while Variable.get("go", default=None) is None:
            time.sleep(0.2)

    @task
    def says():
        return ${value}

    waits() >> says()

pinned()
`;
    const first = commit('pinned.py', dag(1));
    await using airlock = await startStandalone({ env: env({ AIRLOCK__PYTHON__INTERPRETER: airflowVenv }) });
    await parsedAt(airlock, 'pinned', first);
    const one = await trigger(airlock, 'pinned');
    const second = commit('pinned.py', dag(2));
    await parsedAt(airlock, 'pinned', second);
    await airlock.api('POST', '/api/v2/variables', { key: 'go', value: 'yes' });
    assert.equal(await runEnd(airlock, 'pinned', one), 'success');
    const two = await trigger(airlock, 'pinned');
    assert.equal(await runEnd(airlock, 'pinned', two), 'success');
    const result = (runId: string) => resultOf(airlock, { dagId: 'pinned', runId, taskId: 'says' });
    assert.deepEqual([await versionOf(airlock, 'pinned', one), await result(one)], [first, 1]);
    assert.deepEqual([await versionOf(airlock, 'pinned', two), await result(two)], [second, 2]);
  });
});
