/** What the configuration may name as a source of Dag files. Each refusal differs in one thing from the bundle that is taken. */
import { deepEqual, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { resolveConfig } from '@airlock/contract/config/index';
import { configuredBundles } from './bundles.ts';

const CLASS = 'airflow.providers.git.bundles.git.GitDagBundle';
const GOOD = { repo_url: 'https://example.org/dags.git', tracking_ref: 'main' };
const bundles = (entry: object) =>
  configuredBundles(
    resolveConfig({
      env: { AIRLOCK__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST: JSON.stringify([entry]) },
      ini: {},
      expand: (text) => text,
    }),
    null,
  );
const git = (kwargs: object) => bundles({ name: 'g', classpath: CLASS, kwargs });

test('a git bundle is read from the configuration of Airflow', () => {
  const base = { repo_url: GOOD.repo_url, tracking_ref: 'main', subdir: null, refresh_seconds: 300 };
  deepEqual(git(GOOD), [{ name: 'g', path: '', team: null, git: base }]);
  deepEqual(git({ ...GOOD, subdir: 'a/dags', refresh_interval: 30, tracking_ref: 'release/1.x' })[0]?.git, {
    ...base,
    subdir: 'a/dags',
    refresh_seconds: 30,
    tracking_ref: 'release/1.x',
  });
  deepEqual(git({ ...GOOD, repo_url: 'file:///srv/dags' })[0]?.git?.repo_url, 'file:///srv/dags');
});

for (const [what, over] of [
  ['a command as address', { repo_url: 'ext::sh -c id' }],
  ['an address of ssh', { repo_url: 'ssh://git@example.org/dags.git' }],
  ['an address of scp', { repo_url: 'git@example.org:dags.git' }],
  ['an address in the clear', { repo_url: 'http://example.org/dags.git' }],
  ['an address with a log-in', { repo_url: 'https://user:secret@example.org/dags.git' }],
  ['an option as address', { repo_url: '--upload-pack=id' }],
  ['no address', { repo_url: undefined }],
  ['no ref', { tracking_ref: undefined }],
  ['an option as ref', { tracking_ref: '--all' }],
  ['a range as ref', { tracking_ref: 'a..b' }],
  ['a ref with a blank', { tracking_ref: 'a b' }],
  ['a folder above', { subdir: '../x' }],
  ['an absolute folder', { subdir: '/etc' }],
  ['its own metadata as folder', { subdir: '.git' }],
  ['no interval', { refresh_interval: 0 }],
  ['an interval in words', { refresh_interval: 'often' }],
  ['a connection', { git_conn_id: 'github' }],
  ['an argument that is not known', { submodules: true }],
] as const) {
  test(`a git bundle with ${what} is refused, and the text does not show it`, () => {
    throws(
      () => git({ ...GOOD, ...over }),
      (error: { code: string; message: string }) => {
        deepEqual([error.code, /secret/.test(error.message)], ['CONFIG_INVALID', false]);
        return true;
      },
    );
  });
}

test('a class that is neither a folder nor git is refused', () => {
  throws(() => bundles({ name: 'g', classpath: 'airflow.providers.amazon.aws.bundles.s3.S3DagBundle', kwargs: GOOD }), {
    code: 'CONFIG_INVALID',
  });
});
