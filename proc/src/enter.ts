/**
 * Starting a program under another user id, also when the files that it needs lie below a folder which that user cannot enter
 * (a home with mode 0700, for instance): then they are shown at their own paths by bind mounts in a private mount namespace.
 * Only for root; anybody else starts programs as themselves.
 */
import { accessSync, constants, existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { AppError } from '@airlock/contract/errors';

export type ShownPath = {
  readonly path: string;
  readonly writable: boolean;
};

export type EnterSpec = {
  readonly uid: number;
  readonly gid: number;
  /** What the program must reach; everything else below a folder that it cannot enter stays out of reach. */
  readonly paths: readonly ShownPath[];
  /** File shown as /etc/passwd, for programs that insist on a name for their user id. */
  readonly passwdFile?: string;
  /** Signal that the program gets when we die. */
  readonly deathSignal?: 'INT' | 'TERM' | 'KILL';
};

/** Whether the mode of this one folder lets `uid` enter it; of a file, read it. */
function mayPass(path: string, uid: number, gid: number): boolean {
  const stat = statSync(path);
  const shift = stat.uid === uid ? 6 : stat.gid === gid ? 3 : 0;
  return ((stat.mode >> shift) & (stat.isDirectory() ? 1 : 4)) !== 0;
}

/** The first folder on the way to `path` that `uid` may not enter, `path` itself when it is a file it may not read, or null. */
export function blockedBy(path: string, uid: number, gid: number): string | null {
  const chain: string[] = [];
  for (let at = resolve(path); ; at = dirname(at)) {
    chain.unshift(at);
    if (at === dirname(at)) break;
  }
  return chain.find((step) => !mayPass(step, uid, gid)) ?? null;
}

/** Absolute path of a program of the system, or null. */
export function findProgram(name: string): string | null {
  for (const folder of ['/usr/bin', '/bin', '/usr/sbin', '/sbin', '/usr/local/bin']) {
    const path = `${folder}/${name}`;
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {}
  }
  return null;
}

const quoted = (text: string) => `'${text.replaceAll("'", `'\\''`)}'`;

/** Shell statements that show `paths` at their own places, with `hidden` folders replaced by empty ones around them. */
function viewScript(hidden: readonly string[], paths: readonly ShownPath[]): string {
  const staging = ['/mnt', '/media', '/srv', '/opt'].find(
    (folder) => existsSync(folder) && !paths.some(({ path }) => path === folder || path.startsWith(`${folder}/`)),
  );
  if (!staging) {
    throw new AppError('PATH_NOT_ENTERABLE', {
      public: `${hidden[0]} can't be entered, and no folder is free to work around it.`,
    });
  }
  const lines = [`mount -t tmpfs -o mode=0755,size=64k tmpfs ${staging}`];
  paths.forEach(({ path, writable }, index) => {
    const place = `${staging}/${index}`;
    lines.push(statSync(path).isDirectory() ? `mkdir ${place}` : `: > ${place}`);
    lines.push(`mount --bind ${quoted(path)} ${place}`);
    if (!writable) lines.push(`mount -o remount,bind,ro ${place}`);
  });
  for (const folder of hidden) lines.push(`mount -t tmpfs -o mode=0755,size=64k tmpfs ${quoted(folder)}`);
  paths.forEach(({ path }, index) => {
    const folder = statSync(path).isDirectory();
    lines.push(`mkdir -p ${quoted(folder ? path : dirname(path))}`);
    if (!folder) lines.push(`: > ${quoted(path)}`);
    lines.push(`mount --move ${staging}/${index} ${quoted(path)}`);
  });
  lines.push(`umount ${staging}`);
  return lines.join(' && ');
}

/** Drops paths that lie inside another one with the same access. Sorted, so that outer ones come first. */
function outermost(paths: readonly ShownPath[]): ShownPath[] {
  const sorted = [...paths].sort((a, b) => (a.path < b.path ? -1 : 1));
  return sorted.filter(
    (inner, index) =>
      !sorted.some(
        (outer, other) =>
          other < index &&
          outer.writable === inner.writable &&
          (inner.path === outer.path || inner.path.startsWith(`${outer.path}/`)),
      ),
  );
}

/**
 * The words to put before a command so that it runs as `spec` says. `exec` all the way: the process id stays the one that
 * was spawned. @throws PATH_NOT_ENTERABLE when a path is out of reach and no mount namespace can be made;
 * CONFIG_INVALID when setpriv (util-linux) is missing
 */
export function enterPrefix(spec: EnterSpec): string[] {
  const setpriv = findProgram('setpriv');
  if (!setpriv) {
    throw new AppError('CONFIG_INVALID', {
      public: 'The program setpriv is missing, without which root can not give a process another user id.',
      remedy: 'Install util-linux, or start Airlock as an unprivileged user.',
    });
  }
  const drop = [setpriv, `--reuid=${spec.uid}`, `--regid=${spec.gid}`, '--clear-groups', '--no-new-privs'];
  if (spec.deathSignal) drop.push(`--pdeathsig=${spec.deathSignal}`);
  drop.push('--');

  const paths = outermost(spec.paths);
  const blocked = paths.flatMap(({ path }) => blockedBy(path, spec.uid, spec.gid) ?? []);
  const hidden = [...new Set(blocked)].filter(
    (folder) => !blocked.some((outer) => outer !== folder && folder.startsWith(`${outer}/`)),
  );
  if (hidden.length === 0 && spec.passwdFile === undefined) return drop;

  const closed = hidden.length === 0 ? undefined : paths.find(({ path }) => !mayPass(path, spec.uid, spec.gid));
  if (closed) {
    // A mount shows a folder as it is: its own mode would still keep the user out.
    throw new AppError('PATH_NOT_ENTERABLE', {
      public: `User id ${spec.uid} can't enter or read ${closed.path}.`,
      remedy: `Allow other users to enter and read it (chmod -R o+rX ${closed.path}).`,
    });
  }
  const unshare = findProgram('unshare');
  if (!unshare || !mountNamespaceWorks()) {
    if (hidden.length === 0) return drop;
    const folder = hidden[0]!;
    throw new AppError('PATH_NOT_ENTERABLE', {
      public: `User id ${spec.uid} can't enter ${folder}, and this host allows no mount namespace to show it what it needs.`,
      remedy: `Move the folder, or allow other users to enter it (chmod o+x ${folder}).`,
    });
  }
  const steps = ['set -e'];
  const below = paths.filter(({ path }) => hidden.some((folder) => path === folder || path.startsWith(`${folder}/`)));
  if (spec.passwdFile !== undefined) steps.push(`mount --bind ${quoted(spec.passwdFile)} /etc/passwd`);
  if (hidden.length > 0) steps.push(viewScript(hidden, below));
  steps.push('exec "$@"');
  return [unshare, '--mount', '--propagation', 'private', '--', '/bin/sh', '-c', steps.join('; '), 'sh', ...drop];
}

/** Whether this process, as root, may make mounts: CAP_SYS_ADMIN among its effective capabilities. */
export function mountNamespaceWorks(): boolean {
  if (process.getuid?.() !== 0) return false;
  const line = /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return line !== null && (BigInt(`0x${line[1]}`) & (1n << 21n)) !== 0n;
}
