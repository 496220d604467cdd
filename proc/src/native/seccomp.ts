/**
 * The seccomp filter of a sandboxed child: a deny list in classic BPF, made here, so that a reviewer reads names and not
 * bytes. A denied call answers EPERM; `clone3`, whose flags a filter can't read, answers ENOSYS, and libraries fall back
 * to `clone`, whose flags are read.
 * @see linux Documentation/userspace-api/seccomp_filter.rst; seccomp(2)
 */
import { addressOf, mustCall, SystemCallError } from './libc.ts';
import { type Architecture, here, type SystemCall, systemCallNumber } from './syscalls.ts';

const LOAD = 0x20;
const JUMP_EQUAL = 0x15;
const JUMP_AT_LEAST = 0x35;
const JUMP_ANY_BIT = 0x45;
const RETURN = 0x06;
const ALLOW = 0x7fff_0000;
const KILL_PROCESS = 0x8000_0000;
const ERROR = 0x0005_0000;
const EPERM = 1;
const ENOSYS = 38;
/** Offsets in struct seccomp_data: nr, arch, low half of the arguments. */
const AT_NUMBER = 0;
const AT_ARCH = 4;
const atArgument = (index: number) => 16 + 8 * index;
const AUDIT_ARCH: Record<Architecture, number> = { x64: 0xc000_003e, arm64: 0xc000_00b7 };
const X32_BIT = 0x4000_0000;
/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACE_FLAGS = 0x7e02_0000;
/** TIOCSTI and TIOCLINUX: typing into somebody's terminal. */
const TERMINAL_INJECTION = [0x5412, 0x541c];

/** Calls that no task and no parser has a use for, each a known way out of a sandbox or into the kernel. */
export const DENIED_CALLS: readonly SystemCall[] = [
  // other file trees
  'mount', 'umount2', 'pivot_root', 'chroot', 'move_mount', 'open_tree', 'open_tree_attr', 'fsopen', 'fsconfig',
  'fsmount', 'fspick', 'mount_setattr', 'open_by_handle_at', 'name_to_handle_at', 'fanotify_init', 'quotactl',
  'quotactl_fd', 'sysfs', 'ustat', 'lookup_dcookie', 'nfsservctl', 'swapon', 'swapoff', 'acct',
  // other processes
  'ptrace', 'process_vm_readv', 'process_vm_writev', 'process_madvise', 'kcmp', 'pidfd_getfd', 'migrate_pages',
  'move_pages', 'perf_event_open',
  // other namespaces
  'unshare', 'setns', 'sethostname', 'setdomainname',
  // wide or old surfaces of the kernel
  'bpf', 'io_uring_setup', 'io_uring_enter', 'io_uring_register', 'userfaultfd', 'add_key', 'request_key', 'keyctl',
  'init_module', 'finit_module', 'delete_module', 'create_module', 'kexec_load', 'kexec_file_load', 'reboot',
  'syslog', '_sysctl', 'uselib', 'modify_ldt', 'iopl', 'ioperm', 'personality', 'vhangup',
  // the machine's clock
  'settimeofday', 'clock_settime', 'clock_adjtime', 'adjtimex',
]; // biome-ignore format: grouped by what they reach

/** What a template may do besides, so that each of its forks can make a sandbox of its own. */
const TEMPLATE_CALLS: ReadonlySet<SystemCall> = new Set(['unshare', 'mount', 'mount_setattr']);

const AF_UNIX = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_NETLINK = 16;

export type SocketFamilies = {
  /** Unix sockets: only where the child has a file tree of its own, and so none of the host's in sight. */
  readonly unix: boolean;
  /** Internet sockets, and netlink, which the resolver and `os.networkInterfaces()` use. */
  readonly internet: boolean;
};

/** `program` holds only the filter's address: this keeps the bytes from being collected during the call. */
const KEPT_ALIVE: Buffer[] = [];

type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, value: number];

/** The filter's instructions for an architecture. Pure. @param template a process whose forks restrict themselves further */
export function buildFilter(
  architecture: Architecture,
  families: SocketFamilies,
  template = false,
): readonly Instruction[] {
  const number = (call: SystemCall) => systemCallNumber(call, architecture);
  const allowedFamilies = [
    ...(families.unix ? [AF_UNIX] : []),
    ...(families.internet ? [AF_INET, AF_INET6, AF_NETLINK] : []),
  ];
  const program: Instruction[] = [
    [LOAD, 0, 0, AT_ARCH],
    [JUMP_EQUAL, 1, 0, AUDIT_ARCH[architecture]],
    [RETURN, 0, 0, KILL_PROCESS],
    [LOAD, 0, 0, AT_NUMBER],
  ];
  // The x32 numbers of an x64 kernel are the same calls under other names.
  if (architecture === 'x64') program.push([JUMP_AT_LEAST, 0, 1, X32_BIT], [RETURN, 0, 0, ERROR | ENOSYS]);
  const refuse = (call: SystemCall, errno: number) => {
    const n = number(call);
    if (n !== null) program.push([JUMP_EQUAL, 0, 1, n], [RETURN, 0, 0, ERROR | errno]);
  };
  for (const call of DENIED_CALLS) if (!template || !TEMPLATE_CALLS.has(call)) refuse(call, EPERM);
  refuse('clone3', ENOSYS);
  program.push(
    [JUMP_EQUAL, 0, 4, number('clone')!],
    [LOAD, 0, 0, atArgument(0)],
    [JUMP_ANY_BIT, 0, 1, NEW_NAMESPACE_FLAGS],
    [RETURN, 0, 0, ERROR | EPERM],
    [RETURN, 0, 0, ALLOW],
  );
  program.push([JUMP_EQUAL, 0, 2 + 2 * TERMINAL_INJECTION.length, number('ioctl')!], [LOAD, 0, 0, atArgument(1)]);
  for (const request of TERMINAL_INJECTION) {
    program.push([JUMP_EQUAL, 0, 1, request], [RETURN, 0, 0, ERROR | EPERM]);
  }
  program.push([RETURN, 0, 0, ALLOW]);
  program.push([JUMP_EQUAL, 0, 2 + 2 * allowedFamilies.length, number('socket')!], [LOAD, 0, 0, atArgument(0)]);
  for (const family of allowedFamilies) program.push([JUMP_EQUAL, 0, 1, family], [RETURN, 0, 0, ALLOW]);
  program.push([RETURN, 0, 0, ERROR | EPERM]);
  program.push([RETURN, 0, 0, ALLOW]);
  return program;
}

/** struct sock_filter[]: u16 code, u8 jt, u8 jf, u32 k. */
export function encodeFilter(program: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(program.length * 8);
  program.forEach(([code, jumpTrue, jumpFalse, value], index) => {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4);
  });
  return bytes;
}

/** The few instructions that refuse new io_uring rings and allow everything else. */
function noRingsFilter(architecture: Architecture): readonly Instruction[] {
  return [
    [LOAD, 0, 0, AT_ARCH],
    [JUMP_EQUAL, 0, 3, AUDIT_ARCH[architecture]],
    [LOAD, 0, 0, AT_NUMBER],
    [JUMP_EQUAL, 0, 1, systemCallNumber('io_uring_setup', architecture)!],
    [RETURN, 0, 0, ERROR | ENOSYS],
    [RETURN, 0, 0, ALLOW],
  ];
}

function install(program: readonly Instruction[]): void {
  const filter = encodeFilter(program);
  // struct sock_fprog: u16 length, padding, pointer.
  const header = Buffer.alloc(16);
  header.writeUInt16LE(program.length, 0);
  header.writeBigUInt64LE(addressOf(filter), 8);
  KEPT_ALIVE.push(filter);
  // SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC. Above zero: the thread that could not be brought into line.
  const refused = mustCall('seccomp', here('seccomp'), 'filter on all threads', 1, 1, header);
  KEPT_ALIVE.length = 0;
  if (refused !== 0) throw new SystemCallError('seccomp', 0, `thread ${refused} keeps another filter`);
}

/** Puts the child's filter on every thread of this process (TSYNC), which also spreads no-new-privileges to all of them. */
export function installFilter(architecture: Architecture, families: SocketFamilies, template = false): void {
  install(buildFilter(architecture, families, template));
}

/**
 * For a parent of sandboxed children, inherited by them. libuv makes its rings before any script runs, and aborts when a
 * later filter takes their use away; where it could never make one, it works without. Needs no-new-privileges or root.
 */
export function installNoRingsFilter(architecture: Architecture): void {
  install(noRingsFilter(architecture));
}
