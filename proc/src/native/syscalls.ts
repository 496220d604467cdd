/**
 * System call numbers of the two architectures that Airlock ships for. Absent = the architecture has no such call.
 * @see linux arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
 */
export type Architecture = 'x64' | 'arm64';

/** Name → [x64, arm64]; null where the call does not exist. Calls from 424 on have one number everywhere. */
const TABLE = {
  // what we call
  close_range: [436, 436],
  execve: [59, 221],
  fcntl: [72, 25],
  getsockopt: [55, 209],
  gettid: [186, 178],
  capset: [126, 91],
  landlock_create_ruleset: [444, 444],
  landlock_add_rule: [445, 445],
  landlock_restrict_self: [446, 446],
  mount: [165, 40],
  mount_setattr: [442, 442],
  pivot_root: [155, 41],
  prctl: [157, 167],
  prlimit64: [302, 261],
  seccomp: [317, 277],
  sendmsg: [46, 211],
  socketpair: [53, 199],
  umount2: [166, 39],
  flock: [73, 32],
  wait4: [61, 260],
  // what a child may not call
  _sysctl: [156, null],
  acct: [163, 89],
  add_key: [248, 217],
  adjtimex: [159, 171],
  bpf: [321, 280],
  chroot: [161, 51],
  clock_adjtime: [305, 266],
  clock_settime: [227, 112],
  clone: [56, 220],
  clone3: [435, 435],
  create_module: [174, null],
  delete_module: [176, 106],
  fanotify_init: [300, 262],
  finit_module: [313, 273],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  fsopen: [430, 430],
  fspick: [433, 433],
  init_module: [175, 105],
  io_uring_enter: [426, 426],
  io_uring_register: [427, 427],
  io_uring_setup: [425, 425],
  ioctl: [16, 29],
  ioperm: [173, null],
  iopl: [172, null],
  kcmp: [312, 272],
  kexec_file_load: [320, 294],
  kexec_load: [246, 104],
  keyctl: [250, 219],
  lookup_dcookie: [212, 18],
  migrate_pages: [256, 238],
  modify_ldt: [154, null],
  move_mount: [429, 429],
  move_pages: [279, 239],
  name_to_handle_at: [303, 264],
  nfsservctl: [180, 42],
  open_by_handle_at: [304, 265],
  open_tree: [428, 428],
  open_tree_attr: [467, 467],
  perf_event_open: [298, 241],
  personality: [135, 92],
  pidfd_getfd: [438, 438],
  process_madvise: [440, 440],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  ptrace: [101, 117],
  quotactl: [179, 60],
  quotactl_fd: [443, 443],
  reboot: [169, 142],
  request_key: [249, 218],
  setdomainname: [171, 162],
  sethostname: [170, 161],
  setns: [308, 268],
  settimeofday: [164, 170],
  socket: [41, 198],
  swapoff: [168, 225],
  swapon: [167, 224],
  sysfs: [139, null],
  syslog: [103, 116],
  unshare: [272, 97],
  uselib: [134, null],
  userfaultfd: [323, 282],
  ustat: [136, null],
  vhangup: [153, 58],
} as const satisfies Record<string, readonly [number | null, number | null]>;

export type SystemCall = keyof typeof TABLE;

/** The number of a call, or null where the architecture lacks it. */
export function systemCallNumber(call: SystemCall, architecture: Architecture): number | null {
  return TABLE[call][architecture === 'x64' ? 0 : 1];
}

/** The architecture of this process, or null for one that this package has no tables for. */
export function thisArchitecture(): Architecture | null {
  return process.arch === 'x64' || process.arch === 'arm64' ? process.arch : null;
}

/** The number of a call that exists on both architectures, here. */
export function here(call: SystemCall): number {
  const number = systemCallNumber(call, process.arch === 'arm64' ? 'arm64' : 'x64');
  if (number === null) throw new Error(`no system call ${call} on ${process.arch}`);
  return number;
}
