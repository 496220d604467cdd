/** Git bundles by the system's git: which commit is shown, what a repository may not do, and how the dag-processor follows one. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, lstatSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { ParseReport } from '@airlock/contract/supervisor-api';
import { GIT_CONFIGURATION, runGit } from '@airlock/proc/git';
import { testCertificate } from '../../tests/kit/tls.ts';
import { createGitCheckouts, type GitLimits } from '../src/git/checkouts.ts';
import { failedGit } from '../src/git/unavailable.ts';
import { startParsing } from '../src/parse/index.ts';
import { newFolder, write } from './kit/folders.ts';

/** A repository that is written to by its author, who is not confined. */
async function newRepository() {
  const root = newFolder();
  const configFile = join(newFolder(), 'config');
  writeFileSync(configFile, '[user]\nname = a\nemail = a@example.org\n[init]\ndefaultBranch = main\n');
  const git = async (...args: string[]) => {
    const answer = await runGit({ args, cwd: root, configFile, uid: null, timeoutMs: 60_000, maxOutput: 1e6 });
    assert.equal(answer.code, 0, `git ${args.join(' ')}: ${answer.stderr}`);
    return answer.stdout.toString('utf8').trim();
  };
  await git('init', '-q');
  const commit = async (files: Record<string, string | Buffer>) => {
    for (const [name, text] of Object.entries(files)) write(root, name, text);
    await git('add', '-A');
    await git('commit', '-q', '-m', 'x', '--allow-empty');
    return git('rev-parse', 'HEAD');
  };
  return { root, url: `file://${root}`, git, commit };
}
const source = (url: string, over: object = {}) => ({ repo_url: url, tracking_ref: 'main', subdir: null, ...over });
const newCheckouts = (limits: Partial<GitLimits> = {}, clock = { nowMs: () => 0 }) =>
  createGitCheckouts({ folder: join(newFolder(), 'git'), uids: { first: 2_100_000, size: 256 }, clock, limits });
const unavailable = (text: RegExp) => (error: { code: string; message: string }) => {
  assert.deepEqual([error.code, text.test(error.message)], ['BUNDLE_UNAVAILABLE', true], error.message);
  return true;
};

test('the newest commit of a branch is shown, and older ones stay as they were', async () => {
  const repository = await newRepository();
  const first = await repository.commit({ 'dags/a.py': 'one' });
  const checkouts = newCheckouts();
  const one = await checkouts.newest(source(repository.url));
  assert.deepEqual([one.commit, readFileSync(join(one.root, 'dags/a.py'), 'utf8')], [first, 'one']);
  const second = await repository.commit({ 'dags/a.py': 'two' });
  const two = await checkouts.newest(source(repository.url));
  assert.deepEqual([two.commit, readFileSync(join(two.root, 'dags/a.py'), 'utf8')], [second, 'two']);
  assert.equal(readFileSync(join(one.root, 'dags/a.py'), 'utf8'), 'one');
  assert.equal(existsSync(join(two.root, '.git')), false);
});

test('a branch, a tag, a commit and a folder can be named; what is not there is said', async () => {
  const repository = await newRepository();
  const first = await repository.commit({ 'x.py': '1', 'team/dags/y.py': '2' });
  await repository.git('tag', 'v1');
  await repository.git('branch', 'release/1.x');
  await repository.commit({ 'x.py': '3' });
  const checkouts = newCheckouts();
  for (const tracking_ref of ['v1', 'release/1.x', first])
    assert.equal((await checkouts.newest(source(repository.url, { tracking_ref }))).commit, first, tracking_ref);
  const within = await checkouts.newest(source(repository.url, { subdir: 'team/dags' }));
  assert.deepEqual([existsSync(join(within.root, 'y.py')), existsSync(join(within.root, 'x.py'))], [true, false]);
  for (const tracking_ref of ['gone', 'f'.repeat(40)])
    await assert.rejects(checkouts.newest(source(repository.url, { tracking_ref })), unavailable(/no branch or tag/));
  await assert.rejects(checkouts.newest(source(repository.url, { subdir: 'gone' })), unavailable(/no folder gone/));
  await assert.rejects(checkouts.newest(source(`${repository.url}-gone`)), unavailable(/could not be fetched/));
});

test('a worker that starts anew gets the files of a commit that the branch has left', async () => {
  const repository = await newRepository();
  const first = await repository.commit({ 'a.py': 'one' });
  await repository.commit({ 'a.py': 'two' });
  const { root } = await newCheckouts().at({ repo_url: repository.url, subdir: null }, first);
  assert.equal(readFileSync(join(root, 'a.py'), 'utf8'), 'one');
  for (const commit of ['f'.repeat(40), 'main', '--help', '']) {
    await assert.rejects(
      newCheckouts().at({ repo_url: repository.url, subdir: null }, commit),
      unavailable(/no such version|no longer has/),
    );
  }
});

test('beyond the newest ten, a checkout goes when nobody has used it for six hours, and not while a try holds it', async () => {
  const repository = await newRepository();
  let now = 0;
  const checkouts = newCheckouts({}, { nowMs: () => now });
  const at = { repo_url: repository.url, subdir: null };
  const roots: string[] = [];
  const move = async (hours: number) => {
    now += hours * 3_600_000;
    roots.push((await checkouts.newest(source(repository.url))).root);
  };
  const first = await repository.commit({ a: '0' });
  await move(0);
  const held = await checkouts.at(at, first);
  for (let n = 1; n <= 11; n++) {
    await repository.commit({ a: String(n) });
    await move(0.01);
  }
  const there = () =>
    roots
      .slice(0, 12)
      .map((root) => (existsSync(root) ? 'x' : '-'))
      .join('');
  assert.equal(there(), 'xxxxxxxxxxxx', 'all of them are young');
  await repository.commit({ a: '12' });
  await move(7);
  assert.equal(there(), 'x--xxxxxxxxx', 'eleven and the held one are more than ten');
  held.release();
  held.release();
  await move(0);
  assert.equal(there()[0], '-');
  assert.equal(
    readFileSync(join((await checkouts.at(at, first)).root, 'a'), 'utf8'),
    '0',
    'it is made again when it is needed',
  );
});

test('a link in a repository becomes a file with its text: it leads nowhere', async () => {
  const repository = await newRepository();
  await repository.git('symbolic-ref', 'HEAD', 'refs/heads/main');
  write(repository.root, 'target', '/etc/passwd');
  const hash = await repository.git('hash-object', '-w', 'target');
  await repository.git('update-index', '--add', '--cacheinfo', `120000,${hash},link`);
  await repository.git('commit', '-q', '-m', 'link');
  const { root } = await newCheckouts().newest(source(repository.url));
  assert.deepEqual(
    [lstatSync(join(root, 'link')).isSymbolicLink(), readFileSync(join(root, 'link'), 'utf8')],
    [false, '/etc/passwd'],
  );
});

test('no hook, filter or helper that a repository brings is run', async () => {
  const repository = await newRepository();
  const mark = join(newFolder(), 'mark');
  chmodSync(dirname(mark), 0o777);
  const script = `#!/bin/sh\ntouch ${mark}\ncat\n`;
  for (const hook of ['post-checkout', 'pre-commit', 'reference-transaction', 'post-index-change']) {
    write(repository.root, `.git/hooks/${hook}`, script);
  }
  // The author's own commits would run them too; from here on they are executable, and only read.
  await repository.commit({ '.gitattributes': '*.py filter=evil diff=evil\n', 'a.py': 'x' });
  rmSync(mark, { force: true });
  for (const hook of ['post-checkout', 'reference-transaction', 'post-index-change'])
    chmodSync(join(repository.root, '.git/hooks', hook), 0o755);
  await repository.git('config', 'filter.evil.smudge', `touch ${mark}; cat`);
  await repository.git('config', 'uploadpack.packObjectsHook', `touch ${mark}; exec`);
  rmSync(mark, { force: true });
  await newCheckouts().newest(source(repository.url));
  assert.equal(existsSync(mark), false);
});

test('a repository beyond the limits is refused, and one within them is not', async () => {
  const repository = await newRepository();
  await repository.commit({ a: 'x'.repeat(500), b: 'x'.repeat(500), c: '' });
  const get = (limits: Partial<GitLimits>) => newCheckouts(limits).newest(source(repository.url));
  await assert.rejects(get({ maxFiles: 2 }), unavailable(/more than 2 files/));
  await assert.rejects(get({ maxBytes: 999 }), unavailable(/more than 999 bytes/));
  await assert.rejects(get({ timeoutMs: 1 }), unavailable(/in time/));
  assert.ok(await get({ maxFiles: 3, maxBytes: 1000 }));
});

for (const url of [
  'ext::sh -c touch% /tmp/airlock-ext',
  'ssh://localhost/x',
  'http://127.0.0.1:1/x',
  '--upload-pack=touch',
  'git://127.0.0.1:1/x',
]) {
  test(`the address ${url} is not fetched`, async () => {
    await assert.rejects(newCheckouts().newest(source(url)), unavailable(/could not be fetched/));
    assert.equal(existsSync('/tmp/airlock-ext'), false);
  });
}

test('as root, git works as a user of its own, and what it makes can be read and not changed by others', async (t) => {
  if (process.getuid?.() !== 0) return t.skip('we are not root');
  const repository = await newRepository();
  await repository.commit({ 'a.py': 'x' });
  const { root } = await newCheckouts().newest(source(repository.url));
  const file = statSync(join(root, 'a.py'));
  assert.ok(file.uid >= 2_100_000 && file.uid < 2_100_256, String(file.uid));
  assert.deepEqual([file.mode & 0o777, statSync(root).mode & 0o777], [0o644, 0o755]);
});

/** The dag-processor over one git bundle, looking each second, and what it tells the server. */
function follow(repository: { url: string }, checkouts = newCheckouts(), over: object = {}) {
  const told = { reports: [] as ParseReport[], listing: [] as readonly string[], listings: 0, failure: '' };
  const git = { ...source(repository.url, over), refresh_seconds: 1 };
  const role = startParsing({
    api: {
      bundles: async () => ({ bundles: [{ name: 'g', kind: 'git', path: '', git, files: {} }] }),
      report: async (_, report) => {
        told.reports.push(report);
        return { dags: [], import_error: null };
      },
      listing: async (_, files) => {
        Object.assign(told, { listing: files, listings: told.listings + 1, failure: '' });
      },
      failure: async (_, failure) => {
        Object.assign(told, { failure });
      },
    },
    parseFile: async ({ relative }) => ({
      dags: [{ dag: { dag_id: relative } }],
      moduleCode: 'x',
      bundled: true,
      inputs: [relative],
      importError: null,
      warnings: [],
      output: '',
    }),
    parsingProcesses: 1,
    checkouts,
    log: { info: () => undefined, warn: () => undefined },
  });
  const until = async (what: string, condition: () => boolean) => {
    for (const end = Date.now() + 60_000; !condition(); await delay(20))
      if (Date.now() > end) assert.fail(`${what}: ${JSON.stringify(told)}`);
  };
  const of = (commit: string) =>
    told.reports.filter((report) => report.bundle_version === commit).map((report) => report.relative_fileloc);
  return { told, until, of, [Symbol.asyncDispose]: () => role.stop() };
}

test('the dag-processor parses each commit of a branch, and says which one a report is of', async () => {
  const repository = await newRepository();
  const first = await repository.commit({ 'a.ts': '// airlock dag one', 'b.ts': '// airlock dag' });
  await using followed = follow(repository);
  const { told, until, of } = followed;
  await until('the first commit', () => of(first).length === 2);
  assert.deepEqual(
    [of(first).sort(), [...told.listing].sort()],
    [
      ['a.ts', 'b.ts'],
      ['a.ts', 'b.ts'],
    ],
  );
  rmSync(join(repository.root, 'b.ts'));
  const second = await repository.commit({ 'a.ts': '// airlock dag two' });
  await until('the second commit', () => of(second).length === 1 && told.listing.length === 1);
  assert.deepEqual([of(second), told.listing], [['a.ts'], ['a.ts']]);
});

type Repository = Awaited<ReturnType<typeof newRepository>>;
const BREAKS: ReadonlyArray<{
  readonly what: string;
  readonly told: RegExp;
  readonly over?: object;
  readonly harm: (repository: Repository) => unknown;
  readonly mend: (repository: Repository) => unknown;
}> = [
  {
    what: 'that is gone',
    told: /could not be fetched: fatal: '.*' does not appear to be a git repository\. Bring the repository back, or correct repo_url\./,
    harm: ({ root }) => renameSync(root, `${root}-away`),
    mend: ({ root }) => renameSync(`${root}-away`, root),
  },
  {
    what: 'that this host may not read',
    told: /could not be fetched: .*\. (Make the repository readable|Bring the repository back)/,
    harm: ({ root }) => chmodSync(join(root, '.git'), process.getuid?.() === 0 ? 0o700 : 0),
    mend: ({ root }) => chmodSync(join(root, '.git'), 0o755),
  },
  {
    what: 'whose branch is gone',
    told: /has no branch or tag deploy\. Correct tracking_ref, or bring the branch or tag back\./,
    over: { tracking_ref: 'deploy' },
    harm: ({ git }) => git('update-ref', '-d', 'refs/heads/deploy'),
    mend: ({ git }) => git('branch', 'deploy'),
  },
  {
    what: 'without its folder',
    told: /has no folder dags\. Correct subdir, or bring the folder back\./,
    over: { subdir: 'dags' },
    harm: async ({ git, commit }) => {
      await git('mv', 'dags', 'gone');
      await commit({});
    },
    mend: ({ git }) => git('reset', '-q', '--hard', 'HEAD~1'),
  },
  {
    what: 'that has lost an object',
    told: /could not be fetched: .*/,
    harm: async ({ root, commit }) => {
      const lost = await commit({ 'dags/a.ts': '// airlock dag, lost' });
      renameSync(join(root, '.git/objects', lost.slice(0, 2), lost.slice(2)), join(root, '.git/lost'));
      writeFileSync(join(root, '.git/lost-name'), lost);
    },
    mend: ({ root }) => {
      const lost = readFileSync(join(root, '.git/lost-name'), 'utf8');
      renameSync(join(root, '.git/lost'), join(root, '.git/objects', lost.slice(0, 2), lost.slice(2)));
    },
  },
];
for (const { what, told: words, over = {}, harm, mend } of BREAKS) {
  test(`a repository ${what} is told with what helps, its last files stay, and its return takes the word back`, async () => {
    const repository = await newRepository();
    const first = await repository.commit({ 'dags/a.ts': '// airlock dag' });
    await repository.git('branch', 'deploy');
    await using followed = follow(repository, newCheckouts(), over);
    const { told, until, of } = followed;
    await until('the first commit', () => of(first).length === 1 && told.listings > 0);
    const before = told.listings;
    await harm(repository);
    await until('the failure', () => told.failure !== '');
    assert.match(told.failure, words);
    assert.match(told.failure, new RegExp(`^The repository ${repository.url} .* stay as they were read last\\.$`));
    assert.equal(told.listings, before, 'nothing is taken for removed');
    await mend(repository);
    await until('its return', () => told.failure === '' && told.listings > before);
  });
}

test('a repository for which the disk has no room is told as that, and is there when the disk has', async (t) => {
  const mount = newFolder();
  const isMounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount]).status === 0;
  if (!isMounted) return t.skip('no small disk can be made here');
  try {
    chmodSync(mount, 0o755);
    const repository = await newRepository();
    const first = await repository.commit({ 'a.ts': '// airlock dag', large: randomBytes(700_000) });
    const uids = { first: 2_100_000, size: 256 };
    const checkouts = createGitCheckouts({ folder: join(mount, 'git'), uids, clock: { nowMs: () => 0 } });
    await using followed = follow(repository, checkouts);
    const { told, until, of } = followed;
    await until('the failure', () => told.failure !== '');
    assert.match(
      told.failure,
      /(No space left on device|unable to write file .*)\. Free space where the supervisor keeps its work folder/,
    );
    assert.equal(spawnSync('mount', ['-o', 'remount,size=16m', mount]).status, 0);
    await until('the files', () => of(first).length === 1 && told.failure === '');
  } finally {
    spawnSync('umount', ['-l', mount]);
  }
});

for (const [status, words] of [
  [401, /could not read Username .* terminal prompts disabled\. Make the repository readable without a log-in/],
  [403, /returned error: 403\. Make the repository readable without a log-in/],
  [404, /repository '.*' not found\. Bring the repository back/],
  [500, /returned error: 500\. Is its host reachable/],
] as const) {
  test(`what git says of a server that answers ${status} leads to what helps`, async () => {
    const folder = newFolder();
    const { keyPath, certificate } = testCertificate(folder);
    const server = createServer({ key: readFileSync(keyPath), cert: certificate }, (_, response) => {
      response.writeHead(status, status === 401 ? { 'www-authenticate': 'Basic realm="x"' } : {}).end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    try {
      const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}/x.git`;
      const configFile = join(folder, 'config');
      writeFileSync(configFile, GIT_CONFIGURATION);
      const args = ['-c', 'http.sslVerify=false', 'ls-remote', url];
      const bounds = { timeoutMs: 60_000, maxOutput: 1e6 };
      const { message, remedy } = failedGit(
        url,
        'could not be fetched',
        await runGit({ args, cwd: folder, configFile, uid: null, ...bounds }),
      );
      assert.match(`${message} ${remedy}`, words);
      // The control: as it is fetched, the certificate counts.
      await assert.rejects(newCheckouts().newest(source(url)), unavailable(/certificate/));
    } finally {
      server.close();
    }
  });
}
