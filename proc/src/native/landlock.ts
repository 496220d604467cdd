/**
 * Landlock: a list of paths that the calling thread, and all that it starts later, may still reach.
 * @see linux Documentation/userspace-api/landlock.rst
 */
import { closeSync, openSync, statSync } from 'node:fs';
import { mustCall, rawCall } from './libc.ts';
import { here } from './syscalls.ts';

const EXECUTE = 1n << 0n;
const WRITE_FILE = 1n << 1n;
const READ_FILE = 1n << 2n;
const READ_DIR = 1n << 3n;
const TRUNCATE = 1n << 14n;
const IOCTL_DEV = 1n << 15n;
/** What makes sense for something that is no folder; the kernel refuses the rest there. */
const FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;
const READ = EXECUTE | READ_FILE | READ_DIR;
const NET_BIND_CONNECT_TCP = 3n;
const SCOPE_ABSTRACT_SOCKET_AND_SIGNAL = 3n;
const O_PATH = 0o10000000;

/** All file rights that the kernel's version of Landlock knows: each version added one after the first thirteen. */
function allFileRights(abi: number): bigint {
  const bits = abi >= 5 ? 16n : abi >= 3 ? 15n : abi >= 2 ? 14n : 13n;
  return (1n << bits) - 1n;
}

/** The kernel's Landlock version; 0 = none. */
export function landlockVersion(): number {
  const version = rawCall(here('landlock_create_ruleset'), null, 0, 1);
  return Math.max(version, 0);
}

export type LandlockRules = {
  /** Paths whose trees may be read and executed. One that does not exist is left out. */
  readonly read: readonly string[];
  /** Paths whose trees may also be written, and in which entries may be made and removed. */
  readonly write: readonly string[];
  /** Devices and other single files that may be read and written. */
  readonly devices: readonly string[];
  /** False: no TCP connection out, none in. UDP and the rest is seccomp's. */
  readonly tcp: boolean;
};

/** The rules as the kernel takes them: its attribute structure, and for each path the rights of a folder and of anything else. */
export type CompiledRules = {
  readonly attribute: Buffer;
  readonly rules: ReadonlyArray<{ readonly path: string; readonly folder: bigint; readonly file: bigint }>;
};

export function compileRules(rules: LandlockRules): CompiledRules {
  const abi = landlockVersion();
  const all = allFileRights(abi);
  // struct landlock_ruleset_attr: handled_access_fs, handled_access_net (version 4), scoped (version 6).
  const attribute = Buffer.alloc(abi >= 6 ? 24 : abi >= 4 ? 16 : 8);
  attribute.writeBigUInt64LE(all, 0);
  if (abi >= 4) attribute.writeBigUInt64LE(rules.tcp ? 0n : NET_BIND_CONNECT_TCP, 8);
  if (abi >= 6) attribute.writeBigUInt64LE(SCOPE_ABSTRACT_SOCKET_AND_SIGNAL, 16);
  const allow = (paths: readonly string[], rights: bigint) =>
    paths.map((path) => ({ path, folder: all & rights, file: all & rights & FILE_RIGHTS }));
  return {
    attribute,
    rules: [
      ...allow(rules.read, READ),
      ...allow(rules.write, all),
      ...allow(rules.devices, READ_FILE | WRITE_FILE | IOCTL_DEV),
    ],
  };
}

/**
 * Restricts the calling thread for ever. Needs no-new-privileges to be set already.
 * @throws SystemCallError when the kernel refuses; AppError-free on purpose: runs before anything is loaded
 */
export function restrictPaths(wanted: LandlockRules): void {
  const { attribute, rules } = compileRules(wanted);
  const ruleset = mustCall(
    'landlock_create_ruleset',
    here('landlock_create_ruleset'),
    '',
    attribute,
    attribute.byteLength,
    0,
  );
  for (const { path, folder, file } of rules) {
    let descriptor: number;
    let rights: bigint;
    try {
      rights = statSync(path).isDirectory() ? folder : file;
      descriptor = openSync(path, O_PATH);
    } catch {
      continue; // not on this host, so nothing to allow
    }
    // struct landlock_path_beneath_attr, packed: allowed_access, parent_fd.
    const rule = Buffer.alloc(12);
    rule.writeBigUInt64LE(rights, 0);
    rule.writeInt32LE(descriptor, 8);
    mustCall('landlock_add_rule', here('landlock_add_rule'), path, ruleset, 1, rule, 0);
    closeSync(descriptor);
  }
  mustCall('landlock_restrict_self', here('landlock_restrict_self'), '', ruleset, 0);
  closeSync(ruleset);
}
