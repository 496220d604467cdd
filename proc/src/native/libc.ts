/**
 * Calls into the C library. One way in for every native call of this package: raw system calls through `syscall(2)`, and
 * the few functions whose library form does more than the kernel's (setresuid and its kin reach every thread).
 *
 * `node:ffi` and not koffi: both were measured in the sandboxed child, where each millisecond is paid once for every try.
 * Loading koffi costs 8 ms of CPU, `node:ffi` 0.4 ms. It is marked experimental; Node's version is pinned by this repository.
 */
import { dlopen, getInt32, getRawPointer } from 'node:ffi';

const { functions: libc } = dlopen(null, {
  syscall: { arguments: ['i64', 'i64', 'i64', 'i64', 'i64', 'i64', 'i64'], return: 'i64' },
  setgroups: { arguments: ['u64', 'pointer'], return: 'i32' },
  setresuid: { arguments: ['u32', 'u32', 'u32'], return: 'i32' },
  setresgid: { arguments: ['u32', 'u32', 'u32'], return: 'i32' },
  __errno_location: { arguments: [], return: 'pointer' },
});

/** A whole number, an address as bytes that stay alive during the call, a path or other text, or NULL. */
export type Argument = number | bigint | NodeJS.ArrayBufferView | string | null;

/** A native call that the kernel refused. */
export class SystemCallError extends Error {
  /** The kernel's error number, positive. */
  readonly errno: number;
  readonly call: string;
  constructor(call: string, errno: number, about = '') {
    super(`${call} failed${about === '' ? '' : ` (${about})`}: errno ${errno}`);
    this.name = 'SystemCallError';
    this.call = call;
    this.errno = errno;
  }
}

function errno(): number {
  return getInt32(libc.__errno_location() as bigint);
}

/** One raw system call. @returns its result, or minus the error number; never throws for an error of the kernel. */
export function rawCall(number: number, ...args: readonly Argument[]): number {
  // Buffers made here for texts must outlive the call, so they stay in this array until it has returned.
  const kept: NodeJS.ArrayBufferView[] = [];
  const words: bigint[] = args.map((arg) => {
    if (arg === null) return 0n;
    if (typeof arg === 'number' || typeof arg === 'bigint') return BigInt(arg);
    const bytes = typeof arg === 'string' ? Buffer.from(`${arg}\0`) : arg;
    kept.push(bytes);
    return bytes.byteLength === 0 ? 0n : getRawPointer(bytes);
  });
  while (words.length < 6) words.push(0n);
  const result = libc.syscall(BigInt(number), words[0]!, words[1]!, words[2]!, words[3]!, words[4]!, words[5]!);
  const failed = result === -1n ? errno() : 0;
  kept.length = 0;
  return failed === 0 ? Number(result) : -failed;
}

/** As `rawCall`, but an error throws. @throws SystemCallError naming `call` */
export function mustCall(call: string, number: number, about: string, ...args: readonly Argument[]): number {
  const result = rawCall(number, ...args);
  if (result < 0) throw new SystemCallError(call, -result, about);
  return result;
}

/** Address of bytes that the caller keeps alive, for structures that hold pointers. */
export function addressOf(bytes: NodeJS.ArrayBufferView): bigint {
  return getRawPointer(bytes);
}

/** Leaves user, group and all supplementary groups but these, on every thread. @throws SystemCallError */
export function becomeUser(uid: number, gid: number, groups: readonly number[] = []): void {
  const list = new Uint32Array(groups);
  // The library's functions, not the kernel's: the kernel changes one thread, the library all of them.
  if (libc.setgroups(BigInt(list.length), list.length === 0 ? 0n : getRawPointer(list)) !== 0)
    throw new SystemCallError('setgroups', errno());
  if (libc.setresgid(gid, gid, gid) !== 0) throw new SystemCallError('setresgid', errno(), String(gid));
  if (libc.setresuid(uid, uid, uid) !== 0) throw new SystemCallError('setresuid', errno(), String(uid));
}
