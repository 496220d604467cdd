/** What a process may change about itself: memory that nobody reads, limits, capabilities, who inherits its orphans. */
import { mustCall } from './libc.ts';
import { here } from './syscalls.ts';

const PR_SET_PDEATHSIG = 1;
const PR_SET_DUMPABLE = 4;
const PR_SET_NO_NEW_PRIVS = 38;
const PR_SET_CHILD_SUBREAPER = 36;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const SIGKILL = 9;

const prctl = (about: string, option: number, a = 0, b = 0) =>
  mustCall('prctl', here('prctl'), about, option, a, b, 0, 0);

/**
 * Makes environment, memory and descriptors of this process unreadable for other processes of the same user, and forbids
 * core files, also of all that it starts. `execve` undoes the first, so that each program of ours says it again before
 * anything else; the limit stays. @see prctl(2) PR_SET_DUMPABLE, core(5)
 */
export function becomeNonDumpable(): void {
  prctl('dumpable', PR_SET_DUMPABLE, 0);
  setLimit('core', 0);
}

/** No program that this thread or its descendants start gains rights by set-user-id bits or file capabilities. */
export function forbidNewPrivileges(): void {
  prctl('no new privileges', PR_SET_NO_NEW_PRIVS, 1);
}

/** Orphans among the descendants of this process become its children, and not init's: nothing gets lost. */
export function becomeSubreaper(): void {
  prctl('child subreaper', PR_SET_CHILD_SUBREAPER, 1);
}

/** This process is killed when its parent ends. A change of user id clears it, so it is set after that. */
export function dieWithParent(): void {
  prctl('parent death signal', PR_SET_PDEATHSIG, SIGKILL);
}

/** Numbers of capabilities(7). */
const CAPABILITIES = { kill: 5, setgid: 6, setuid: 7, sys_admin: 21 } as const;
export type Capability = keyof typeof CAPABILITIES;

/** Gives up all capabilities of the calling thread, ambient ones included. */
export function dropCapabilities(): void {
  prctl('ambient capabilities', PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL);
  keepCapabilities([]);
}

/** Gives up all but these; those that are ambient go on to the next program. */
export function keepCapabilities(kept: readonly Capability[]): void {
  const mask = kept.reduce((sum, name) => sum + 2 ** CAPABILITIES[name], 0);
  // struct __user_cap_header_struct version 3, then two structs of effective, permitted, inheritable; all of ours are in the first.
  const header = Buffer.alloc(8);
  header.writeUInt32LE(0x2008_0522, 0);
  const sets = Buffer.alloc(24);
  for (const at of [0, 4, 8]) sets.writeUInt32LE(mask, at);
  mustCall('capset', here('capset'), '', header, sets);
}

const RESOURCES = { fileBytes: 1, core: 4, processes: 6, openFiles: 7 } as const;

/** Sets a hard and soft limit of this process and its descendants. @see getrlimit(2) */
export function setLimit(resource: keyof typeof RESOURCES, value: number): void {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(BigInt(value), 0);
  limit.writeBigUInt64LE(BigInt(value), 8);
  mustCall('prlimit64', here('prlimit64'), resource, 0, RESOURCES[resource], limit, null);
}

/**
 * Marks every descriptor from 3 up of this process as not inheritable: one that came from our own parent, who knows what
 * it is, must not reach a sandboxed child. What a spawn passes on purpose is duplicated after this and stays.
 */
export function closeDescriptorsOnExec(): void {
  mustCall('close_range', here('close_range'), 'close on exec', 3, 0xffff_ffff, 4);
}
