/**
 * Checkouts of git bundles, one folder for each commit in use, made from a mirror of each repository. Files only: no link, no
 * submodule, nothing that the repository says is run. Everything is made anew after a restart.
 */
import { createHash } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Clock } from '@airlock/contract/clock';
import { isAppError } from '@airlock/contract/errors';
import type { GitSource } from '@airlock/contract/git-source';
import { GIT_CONFIGURATION, runGit } from '@airlock/proc/git';
import { takeUid, type UidRange } from '@airlock/proc/sandbox/uids';
import type { RoleContext } from '../role-context.ts';
import { failedGit, unavailable } from './unavailable.ts';

/** Bounds of one repository's state. */
export type GitLimits = {
  readonly timeoutMs: number;
  readonly maxFiles: number;
  readonly maxBytes: number;
};
const LIMITS: GitLimits = { timeoutMs: 120_000, maxFiles: 50_000, maxBytes: 512 * 1024 * 1024 };
const MAX_LISTING = 32 * 1024 * 1024;

export type Checkout = { readonly root: string; readonly commit: string };
/** One that stays until it is given back. */
export type HeldCheckout = Checkout & { readonly release: () => void };
export type GitCheckouts = {
  /** Fetches, and checks out what the tracking ref names now. @throws AppError BUNDLE_UNAVAILABLE */
  readonly newest: (source: GitSource) => Promise<Checkout>;
  /** A commit that a run is pinned to; fetched if it is not here. @throws AppError BUNDLE_UNAVAILABLE */
  readonly at: (source: Omit<GitSource, 'tracking_ref'>, commit: string) => Promise<HeldCheckout>;
};

export type GitCheckoutOptions = {
  readonly folder: string;
  readonly uids: UidRange;
  readonly clock: Clock;
  readonly limits?: Partial<GitLimits>;
};

/** What is older than the newest of a repository goes when nobody has used it for so long, as Airflow does. */
const KEPT = 10;
const KEPT_MS = 6 * 3600 * 1000;
const COMMIT = /^[0-9a-f]{40}$/;

export function createGitCheckouts(options: GitCheckoutOptions): GitCheckouts {
  const limits = { ...LIMITS, ...options.limits };
  const { folder } = options;
  const configFile = join(folder, 'gitconfig');
  let uid: number | null = null;
  let prepared = false;
  /** Checkouts by place: who uses them, and when they were last asked for. */
  const uses = new Map<string, { url: string; holders: number; usedMs: number }>();
  /** The work on one repository is done one after the other. */
  const queues = new Map<string, Promise<unknown>>();

  const prepare = (): void => {
    if (prepared) return;
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { mode: 0o755, recursive: true });
    writeFileSync(configFile, GIT_CONFIGURATION, { mode: 0o444 });
    // Kept for the life of the process: what it has made stays its own, and is no child's.
    if (process.getuid?.() === 0) uid = takeUid(options.uids);
    prepared = true;
  };
  const ownFolder = (path: string): void => {
    mkdirSync(path, { mode: 0o755, recursive: true });
    if (uid !== null) chownSync(path, uid, uid);
  };
  const git = (cwd: string, args: readonly string[], more: { maxOutput?: number; indexFile?: string } = {}) =>
    runGit({ args, cwd, configFile, uid, timeoutMs: limits.timeoutMs, maxOutput: MAX_LISTING, ...more });

  const mirrorOf = async (url: string): Promise<string> => {
    prepare();
    const path = join(folder, createHash('sha256').update(url).digest('hex').slice(0, 24));
    const mirror = join(path, 'mirror');
    if (existsSync(join(mirror, 'HEAD'))) return path;
    ownFolder(path);
    const made = await git(path, ['init', '-q', '--bare', 'mirror']);
    if (made.code === 0) return path;
    // Half a mirror would be taken for a whole one.
    rmSync(mirror, { recursive: true, force: true });
    throw failedGit(url, 'has no place here', made);
  };
  const fetch = async (url: string, path: string): Promise<void> => {
    const refs = ['+refs/heads/*:refs/heads/*', '+refs/tags/*:refs/tags/*'];
    const args = [
      '--git-dir=mirror',
      'fetch',
      '-q',
      // A branch that is gone is gone here too; commits stay.
      '--prune',
      '--no-auto-gc',
      '--no-write-fetch-head',
      '--end-of-options',
      url,
      ...refs,
    ];
    const answer = await git(path, args);
    if (answer.code !== 0) throw failedGit(url, 'could not be fetched', answer);
  };
  const resolve = async (path: string, ref: string): Promise<string | null> => {
    for (const name of [`refs/heads/${ref}`, `refs/tags/${ref}`, ...(COMMIT.test(ref) ? [ref] : [])]) {
      const answer = await git(path, [
        '--git-dir=mirror',
        'rev-parse',
        '--verify',
        '-q',
        '--end-of-options',
        `${name}^{commit}`,
      ]);
      const commit = answer.stdout.toString('utf8').trim();
      if (answer.code === 0 && COMMIT.test(commit)) return commit;
    }
    return null;
  };
  const checkSize = async (url: string, path: string, commit: string): Promise<void> => {
    const answer = await git(path, ['--git-dir=mirror', 'ls-tree', '-r', '-l', '--full-tree', commit]);
    if (answer.why === 'output') throw unavailable(url, 'has too many files');
    if (answer.code !== 0) throw failedGit(url, 'could not be listed', answer);
    const lines = answer.stdout.toString('utf8').split('\n').filter(Boolean);
    const bytes = lines.reduce((sum, line) => sum + (Number(line.split(/\s+/)[3]) || 0), 0);
    if (lines.length > limits.maxFiles) throw unavailable(url, `has more than ${limits.maxFiles} files`);
    if (bytes > limits.maxBytes) throw unavailable(url, `has more than ${limits.maxBytes} bytes of files`);
  };
  const used = (url: string, place: string) => {
    const use = uses.get(place) ?? { url, holders: 0, usedMs: 0 };
    use.usedMs = options.clock.nowMs();
    uses.set(place, use);
    return use;
  };
  const removeUnused = (url: string): void => {
    const ofUrl = [...uses].filter(([, use]) => use.url === url).sort(([, a], [, b]) => b.usedMs - a.usedMs);
    for (const [place, { holders, usedMs }] of ofUrl.slice(KEPT)) {
      if (holders > 0 || usedMs > options.clock.nowMs() - KEPT_MS) continue;
      uses.delete(place);
      rmSync(place, { recursive: true, force: true });
    }
  };
  const checkout = async (url: string, path: string, commit: string): Promise<string> => {
    const place = join(path, commit);
    if (existsSync(place)) return place;
    await checkSize(url, path, commit);
    const draft = join(path, 'draft');
    rmSync(draft, { recursive: true, force: true });
    ownFolder(draft);
    const indexFile = join(path, 'index');
    const mirror = `--git-dir=${join(path, 'mirror')}`;
    for (const args of [
      [mirror, 'read-tree', commit],
      [mirror, `--work-tree=${draft}`, 'checkout-index', '-a', '-f', '-q'],
    ]) {
      const answer = await git(draft, args, { indexFile });
      if (answer.code !== 0) throw failedGit(url, 'could not be checked out', answer);
    }
    renameSync(draft, place);
    return place;
  };
  const inTurn = <T>(url: string, work: () => Promise<T>): Promise<T> => {
    const before = queues.get(url) ?? Promise.resolve();
    const told = async () => {
      try {
        return await work();
      } catch (error) {
        if (isAppError(error)) throw error;
        // Of the file system: a full disk, most of all.
        throw unavailable(url, 'has no place here', error instanceof Error ? error.message : String(error));
      }
    };
    const mine = before.then(told, told);
    queues.set(
      url,
      mine.catch(() => undefined),
    );
    return mine;
  };
  const within = (root: string, subdir: string | null, url: string): string => {
    const path = subdir === null ? root : join(root, subdir);
    if (!existsSync(path))
      throw unavailable(url, `has no folder ${subdir}`, '', 'Correct subdir, or bring the folder back.');
    return path;
  };

  return {
    newest: ({ repo_url: url, tracking_ref: ref, subdir }) =>
      inTurn(url, async () => {
        const path = await mirrorOf(url);
        await fetch(url, path);
        const commit = await resolve(path, ref);
        if (commit === null)
          throw unavailable(
            url,
            `has no branch or tag ${ref}`,
            '',
            'Correct tracking_ref, or bring the branch or tag back.',
          );
        const place = await checkout(url, path, commit);
        used(url, place);
        removeUnused(url);
        return { commit, root: within(place, subdir, url) };
      }),
    at: ({ repo_url: url, subdir }, commit) =>
      inTurn(url, async () => {
        if (!COMMIT.test(commit)) throw unavailable(url, 'has no such version');
        const path = await mirrorOf(url);
        if ((await resolve(path, commit)) === null) await fetch(url, path);
        if ((await resolve(path, commit)) === null) throw unavailable(url, `no longer has the commit ${commit}`);
        const place = await checkout(url, path, commit);
        const root = within(place, subdir, url);
        const use = used(url, place);
        use.holders++;
        let held = true;
        const release = () => {
          if (held) use.holders--;
          held = false;
        };
        return { commit, root, release };
      }),
  };
}

const shared = new Map<string, GitCheckouts>();

/** Those of this process: the roles share the mirrors. */
export function gitCheckouts({
  workBase,
  config,
  clock,
}: Pick<RoleContext, 'workBase' | 'config' | 'clock'>): GitCheckouts {
  const folder = join(workBase, 'git');
  const { uid_range_start: first, uid_range_size: size } = config.sandbox;
  const made = shared.get(folder) ?? createGitCheckouts({ folder, uids: { first, size }, clock });
  shared.set(folder, made);
  return made;
}
