/** Turns what a caller wants (SandboxSpec) into what the child does (EnterPlan), with the facts of this host. */
import { lstatSync, readFileSync, readlinkSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { EnterPlan } from './enter-plan.ts';
import { packageClosure } from './packages.ts';
import type { SandboxLimits, SandboxSpec } from './types.ts';

/** Outside every path that software is installed at, so that it never covers a shown one. */
export const NAMESPACE_WORK_DIR = '/run/task';
/** What enter.ts is made of, where it is started as its sources. */
const ENTER_SOURCES = [import.meta.dirname, join(import.meta.dirname, '../native')];
const DEVICES = ['/dev/null', '/dev/zero', '/dev/urandom', '/dev/random'];
const SYSTEM_TREES = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32'];
/** Parts of /etc that libraries need; each is public by nature. */
const ETC_TREES = ['/etc/ssl', '/etc/pki', '/etc/ca-certificates', '/etc/alternatives', '/etc/ld.so.cache'];
const ETC_COPIES = [
  '/etc/resolv.conf',
  '/etc/hosts',
  '/etc/nsswitch.conf',
  '/etc/gai.conf',
  '/etc/services',
  '/etc/protocols',
];

export const DEFAULT_LIMITS: SandboxLimits = {
  openFiles: 1024,
  processes: 512,
  fileBytes: 4 * 1024 ** 3,
  workBytes: 1024 ** 3,
};

/** The user and group id that a child of a supervisor without root sees for itself. */
export const MAPPED_ID = 1000;

const kindOf = (path: string) => lstatSync(path, { throwIfNoEntry: false });

function within(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

/** Without paths that lie inside an earlier one. */
function outermost(paths: readonly string[]): readonly string[] {
  const sorted = [...new Set(paths)].sort((a, b) => a.length - b.length);
  const kept: string[] = [];
  for (const path of sorted) if (!kept.some((folder) => within(path, folder))) kept.push(path);
  return kept;
}

function readableText(path: string): string | null {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return null;
  }
}

/** What every child of this host sees; computed once for each set of packages. */
function shownPaths(spec: SandboxSpec): readonly string[] {
  return outermost([
    ...SYSTEM_TREES,
    ...ETC_TREES,
    realpathSync(process.execPath),
    ...packageClosure(spec.packages),
    // Loaded once more by each worker thread that the entry makes.
    ...(spec.enterScript === undefined ? ENTER_SOURCES : [realpathSync(spec.enterScript)]),
  ]);
}

const cache = new Map<string, readonly string[]>();
function cachedShownPaths(spec: SandboxSpec): readonly string[] {
  const key = [spec.enterScript, ...spec.packages].join('\0');
  const known = cache.get(key) ?? shownPaths(spec);
  cache.set(key, known);
  return known;
}

type Tree = NonNullable<EnterPlan['tree']>;

/** What says who the user is: an account of this id, and root's name. */
export function accountFiles(uid: number): Tree['files'] {
  return [
    {
      path: '/etc/passwd',
      text: `root:x:0:0:root:/:/bin/sh\ntask:x:${uid}:${uid}:task:${NAMESPACE_WORK_DIR}:/bin/sh\n`,
    },
    { path: '/etc/group', text: `root:x:0:\ntask:x:${uid}:\n` },
  ];
}

function buildTree(spec: SandboxSpec, uid: number | null): Tree {
  const binds: Array<Tree['binds'][number]> = [];
  const links: Array<Tree['links'][number]> = [
    { path: '/dev/fd', target: '/proc/self/fd' },
    { path: '/dev/stdin', target: '/proc/self/fd/0' },
    { path: '/dev/stdout', target: '/proc/self/fd/1' },
    { path: '/dev/stderr', target: '/proc/self/fd/2' },
  ];
  for (const path of cachedShownPaths(spec)) {
    const kind = kindOf(path);
    if (kind?.isSymbolicLink()) links.push({ path, target: readlinkSync(path) });
    else if (kind?.isDirectory() || kind?.isFile()) binds.push({ path, access: 'read', folder: kind.isDirectory() });
  }
  for (const path of DEVICES) if (kindOf(path)) binds.push({ path, access: 'device', folder: false });
  for (const { path, access } of spec.extra ?? []) {
    binds.push({ path: realpathSync(path), access, folder: statSync(path).isDirectory() });
  }
  for (const link of spec.program?.links ?? []) {
    if (!binds.some(({ path }) => within(link.path, path))) links.push(link);
  }
  const files = [...accountFiles(uid ?? MAPPED_ID)];
  for (const path of [...ETC_COPIES, '/etc/localtime']) {
    const text = readableText(path);
    if (text !== null) files.push({ path, text });
  }
  if (!binds.some(({ path }) => within(path, '/tmp'))) links.push({ path: '/tmp', target: NAMESPACE_WORK_DIR });
  return { binds, links, files, hidden: (spec.hide ?? []).map((path) => path) };
}

/** The child's plan. `workDir` as the child sees it. A template of root needs two, one for each stage. */
export function makePlan(
  spec: SandboxSpec,
  uid: number | null,
  workDir: string,
  stage: 'first' | 'second' = 'first',
): EnterPlan {
  const limits = { ...DEFAULT_LIMITS, ...spec.limits };
  const extra = spec.extra ?? [];
  const namespaces = spec.tier === 'namespaces';
  const writable = extra.filter((e) => e.access === 'write').map((e) => realpathSync(e.path));
  const readable = extra.filter((e) => e.access === 'read').map((e) => realpathSync(e.path));
  return {
    tier: spec.tier,
    uid,
    groups: uid === null ? [] : [...new Set(writable.map((path) => statSync(path).gid))].filter((gid) => gid !== 0),
    workDir,
    program: spec.program ? { argv: spec.program.argv, memoryBytes: spec.program.memoryBytes } : null,
    limits: { ...limits, processes: Math.max(256, limits.processes) },
    // A Unix socket of the host is out of sight only in a file tree of the child's own.
    families: { unix: namespaces, internet: spec.network === 'host' },
    template: spec.control === undefined ? null : uid !== null && stage === 'first' ? 'outer' : 'inner',
    tree: namespaces && stage === 'first' ? buildTree(spec, uid) : null,
    paths: {
      // In a tree of its own the child may read all that there is; elsewhere the list is the tree.
      read: namespaces
        ? ['/']
        : [...cachedShownPaths(spec), ...ETC_COPIES, '/etc/localtime', '/etc/passwd', '/etc/group', ...readable,
          '/proc/meminfo', '/proc/cpuinfo', '/proc/stat', '/proc/self', '/proc/loadavg', '/proc/uptime'], // biome-ignore format: a list
      write: [workDir, ...writable],
      devices: DEVICES,
    },
  };
}
