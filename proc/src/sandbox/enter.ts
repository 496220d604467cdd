/**
 * Runs in the child before anything else (`node --require enter.ts entry`): reads its plan from descriptor 3, builds its
 * own file tree, gives up its rights, and returns. Node then loads the entry, inside.
 *
 * Everything here is synchronous on purpose. Landlock binds the calling thread and those made later, so it must come
 * before libuv's thread pool exists: one asynchronous file call earlier would leave eight threads free.
 */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readSync,
  rmdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { restrictPaths } from '../native/landlock.ts';
import { becomeUser, rawCall } from '../native/libc.ts';
import { bind, detach, mountProc, mountTmpfs, pivotRoot, sealReadOnly } from '../native/mount.ts';
import {
  becomeNonDumpable,
  dieWithParent,
  dropCapabilities,
  forbidNewPrivileges,
  keepCapabilities,
  setLimit,
} from '../native/process.ts';
import { installFilter } from '../native/seccomp.ts';
import { here, thisArchitecture } from '../native/syscalls.ts';
import { type EnterPlan, SANDBOX_FAILED_STATUS } from './enter-plan.ts';
import { replaceProgram } from './replace-program.ts';

const CHANNEL_FD = 3;
/** Where a template gets its orders to fork. */
const CONTROL_FD = 5;
const OLD_ROOT = '/.old';

function readExactly(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let have = 0; have < length; ) {
    const got = readSync(CHANNEL_FD, bytes, have, length - have, null);
    if (got === 0) throw new Error('the parent closed the channel');
    have += got;
  }
  return bytes;
}

function makeTarget(path: string, folder: boolean): void {
  if (folder) {
    mkdirSync(path, { recursive: true, mode: 0o755 });
    return;
  }
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  try {
    writeFileSync(path, '', { flag: 'wx', mode: 0o644 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/** A file tree that holds what the plan names and nothing else; the host's tree is gone from this namespace after it. */
function buildTree(plan: EnterPlan, tree: NonNullable<EnterPlan['tree']>): void {
  const base = ['/tmp', '/run', '/mnt', '/dev/shm'].find((path) =>
    statSync(path, { throwIfNoEntry: false })?.isDirectory(),
  );
  if (base === undefined) throw new Error('no folder to build a file tree on');
  mountTmpfs(base, 'size=1m,mode=755,nr_inodes=4096');
  mkdirSync(base + OLD_ROOT, { mode: 0o700 });
  pivotRoot(base, base + OLD_ROOT);
  process.chdir('/');
  for (const { path, access, folder } of tree.binds) {
    makeTarget(path, folder);
    bind(OLD_ROOT + path, path, access);
  }
  for (const path of tree.hidden) {
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) mountTmpfs(path, 'size=4k,mode=000,nr_inodes=1');
  }
  mkdirSync('/proc', { recursive: true });
  // Before the old tree goes: without a whole process list in sight, the kernel gives an unprivileged user no new one.
  mountProc('/proc');
  for (const { path, text } of tree.files) {
    makeTarget(path, false);
    writeFileSync(path, text, 'latin1');
  }
  for (const { path, target } of tree.links) {
    mkdirSync(dirname(path), { recursive: true });
    symlinkSync(target, path);
  }
  makeTarget(plan.workDir, true);
  const owner = plan.uid === null ? '' : `,uid=${plan.uid},gid=${plan.uid}`;
  mountTmpfs(plan.workDir, `size=${plan.limits.workBytes},mode=700,nr_inodes=65536${owner}`);
  detach(OLD_ROOT);
  rmdirSync(OLD_ROOT);
  chmodSync('/', 0o755);
  sealReadOnly('/');
}

/** Threads that Landlock would not reach must not exist yet. V8's own do: they run no file call of ours. */
function assertNoPoolThread(): void {
  for (const task of readdirSync('/proc/self/task')) {
    const name = readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim();
    if (name.startsWith('libuv-worker')) throw new Error('a pool thread exists before the sandbox does');
  }
}

/** Node marks 0 to 2 as well as 3 close-on-exec at its start: F_SETFD takes that back. */
function keepDescriptors(plan: EnterPlan): void {
  const kept = [0, 1, 2, CHANNEL_FD, ...(plan.template === null ? [] : [CONTROL_FD])];
  for (const descriptor of kept) rawCall(here('fcntl'), descriptor, 2, 0);
}

/** Begins again in a user namespace in which no id means anything yet, with every right over it and none outside of it. */
function startInUserNamespace(plan: EnterPlan): never {
  keepDescriptors(plan);
  const unshare = ['/usr/bin/unshare', '/bin/unshare'].find((path) => statSync(path, { throwIfNoEntry: false }));
  if (unshare === undefined) throw new Error('no unshare(1) in /usr/bin or /bin');
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  replaceProgram(unshare, ['unshare', '--user', '--keep-caps', '--', ...again], process.env);
}

function enter(plan: EnterPlan): void {
  const architecture = thisArchitecture();
  const strong = plan.tier === 'namespaces' || plan.tier === 'landlock';
  process.umask(0o022);
  if (plan.tree !== null) buildTree(plan, plan.tree);
  if (plan.template === 'outer') startInUserNamespace(plan);
  // Files in a folder that several tries write, each with a user id of its own, must stay writable for its group.
  process.umask(plan.groups.length > 0 ? 0o002 : 0o077);
  if (strong) assertNoPoolThread();
  setLimit('core', 0);
  setLimit('openFiles', plan.limits.openFiles);
  setLimit('fileBytes', plan.limits.fileBytes);
  if (plan.uid !== null) {
    becomeUser(plan.uid, plan.uid, plan.groups);
    // Counted for each user id of the host. Where that id is shared with everything else of its owner, the limit
    // would count strangers' threads.
    setLimit('processes', plan.limits.processes);
  }
  process.chdir(plan.workDir);
  if (plan.template !== null)
    keepCapabilities(plan.uid === null ? ['sys_admin'] : ['sys_admin', 'setuid', 'setgid', 'kill']);
  else if (plan.tier !== 'none' && plan.tier !== 'user') dropCapabilities();
  forbidNewPrivileges();
  becomeNonDumpable();
  dieWithParent();
  // A template keeps to its file tree alone: inside a Landlock domain nothing can be mounted.
  if (strong && plan.template === null) restrictPaths({ ...plan.paths, tcp: plan.families.internet });
  if (strong && architecture === null) throw new Error(`no seccomp filter for ${process.arch}`);
  if (architecture !== null && plan.tier !== 'none') installFilter(architecture, plan.families, plan.template !== null);
  if (plan.program !== null) {
    keepDescriptors(plan);
    // By a shell in between: Node itself has more address space than that, and its threads would fail to get more.
    const kibibytes = String(Math.floor(plan.program.memoryBytes / 1024));
    replaceProgram(
      '/bin/sh',
      ['sh', '-c', 'ulimit -v "$0" && exec "$@"', kibibytes, ...plan.program.argv],
      process.env,
    );
  }
  if (plan.tier === 'landlock') {
    // V8's threads are older than the restriction. A second start of Node, which inherits it as a whole, has none such.
    keepDescriptors(plan);
    // Without this script: the second start has nothing left to do, and may not see it.
    const switches = process.execArgv.filter((arg, at, all) => arg !== '--require' && all[at - 1] !== '--require');
    replaceProgram(process.execPath, [process.execPath, ...switches, ...process.argv.slice(1)], process.env);
  }
}

// Worker threads that the entry makes load this script again, and are restricted already. Told apart by the kernel: the first
// thread of a process has its number. Loading `node:worker_threads` for the same answer costs 2 ms of each start.
if (rawCall(here('gettid')) === process.pid) {
  try {
    enter(JSON.parse(readExactly(readExactly(4).readUInt32BE(0)).toString('utf8')) as EnterPlan);
    // Programs that the entry forks shall not load it: their descriptor 3 is no channel of ours.
    const at = process.execArgv.indexOf('--require');
    if (at >= 0) process.execArgv.splice(at, 2);
  } catch (error) {
    // The parent reads this line; the entry never runs.
    process.stderr.write(`airlock sandbox: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(SANDBOX_FAILED_STATUS);
  }
}
