/** Mounts, as a child in its own mount namespace makes them. @see mount(2), mount_setattr(2), pivot_root(2) */
import { mustCall } from './libc.ts';
import { here } from './syscalls.ts';

const MS_NOSUID = 2;
const MS_NODEV = 4;
const MS_NOEXEC = 8;
const MS_BIND = 4096;
const MS_REC = 16_384;
const MNT_DETACH = 2;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;
const ATTR_RDONLY = 1n;
const ATTR_NOSUID = 2n;
const ATTR_NODEV = 4n;
const ATTR_NOEXEC = 8n;

/** Mounts a memory file system. `options` as in mount(8): size=, mode=, uid=, gid=, nr_inodes=. */
export function mountTmpfs(target: string, options: string): void {
  mustCall('mount', here('mount'), `tmpfs on ${target}`, 'tmpfs', target, 'tmpfs', MS_NOSUID | MS_NODEV, options);
}

/** Mounts the process list of this process's own pid namespace. */
export function mountProc(target: string): void {
  mustCall('mount', here('mount'), `proc on ${target}`, 'proc', target, 'proc', MS_NOSUID | MS_NODEV | MS_NOEXEC, null);
}

/** Shows `source`, with all that is mounted below it, at `target`. */
export function bind(source: string, target: string, access: 'read' | 'write' | 'device'): void {
  mustCall('mount', here('mount'), `${source} on ${target}`, source, target, null, MS_BIND | MS_REC, null);
  // struct mount_attr: attr_set, attr_clr, propagation, userns_fd.
  const attribute = Buffer.alloc(32);
  const set =
    access === 'read'
      ? ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV
      : access === 'write'
        ? ATTR_NOSUID | ATTR_NODEV
        : ATTR_NOSUID | ATTR_NOEXEC;
  attribute.writeBigUInt64LE(set, 0);
  mustCall(
    'mount_setattr', here('mount_setattr'), target, AT_FDCWD, target, AT_RECURSIVE, attribute, attribute.byteLength,
  ); // biome-ignore format: one line of arguments
}

/** Makes one mount read-only without touching what is mounted below it. */
export function sealReadOnly(target: string): void {
  const attribute = Buffer.alloc(32);
  attribute.writeBigUInt64LE(ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV, 0);
  mustCall('mount_setattr', here('mount_setattr'), target, AT_FDCWD, target, 0, attribute, attribute.byteLength);
}

/** Makes `newRoot` the root of the file tree and shows the old one at `oldRoot`, a folder inside the new one. */
export function pivotRoot(newRoot: string, oldRoot: string): void {
  mustCall('pivot_root', here('pivot_root'), newRoot, newRoot, oldRoot);
}

/** Takes a tree away; what is in use there ends with its last user. */
export function detach(target: string): void {
  mustCall('umount2', here('umount2'), target, target, MNT_DETACH);
}
