/** Starts one sandboxed child and keeps the handle to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AppError } from '@airlock/contract/errors';
import { MAX_PARENT_FRAME_BYTES } from '@airlock/contract/ipc/runner';
import { encodeFrame } from '../frames.ts';
import { claim } from '../own-pids.ts';
import { openChannel } from './channel.ts';
import { forgetChild, noteChild } from './children-file.ts';
import type { EnterPlan } from './enter-plan.ts';
import { assertEnterable } from './enterable.ts';
import { prepareParent } from './parent.ts';
import { MAPPED_ID, makePlan, NAMESPACE_WORK_DIR } from './plan.ts';
import { killQuietly, sweep } from './sweep.ts';
import type { ChildExit, SandboxedChild, SandboxSpec } from './types.ts';
import { DEFAULT_UIDS, giveBackUid, takeUid } from './uids.ts';
import { makeWorkDir, removeWorkDir } from './work-dir.ts';

/** Bound on reading the channel to its end once the child is gone: what it started may hold the other end, where the tier can't tell. */
const CHANNEL_END_MS = 1000;

/** Script that restricts its own process; loaded before the entry by `--require`. */
export const ENTER_SOURCE = fileURLToPath(new URL('./enter.ts', import.meta.url));
/** Where the child's standard error comes out in the `namespaces` tier: what `unshare` itself says on 2 is not the child's. */
const STDERR_FD = 4;
/**
 * First process of the pid namespace. The kernel drops signals that the first process gets from inside, so Node must not
 * be it: a task that kills itself would live on. It waits, collects orphans, and ends with Node's status.
 */
const INIT = ['/bin/sh', '-c', `"$@" 2>&${STDERR_FD} ${STDERR_FD}>&-; exit $?`, 'init'];

/** The program and arguments that put `node` into the namespaces of its tier. */
export function commandFor(
  plan: EnterPlan,
  network: SandboxSpec['network'],
  node: readonly string[],
): readonly string[] {
  if (plan.tier !== 'namespaces') return node;
  const user = plan.uid === null ? [`--map-user=${MAPPED_ID}`, `--map-group=${MAPPED_ID}`, '--keep-caps'] : [];
  const net = network === 'none' ? ['--net'] : [];
  return [
    'unshare',
    ...user,
    ...net,
    '--mount',
    '--pid',
    '--ipc',
    '--fork',
    '--kill-child=SIGKILL',
    '--',
    ...INIT,
    ...node,
  ];
}

/** Node's own switches, and the entry, behind the script that restricts it. */
export function nodeCommand(spec: SandboxSpec): readonly string[] {
  return [
    process.execPath,
    '--disable-sigusr1',
    '--disable-warning=ExperimentalWarning',
    ...(spec.nodeArgs ?? []),
    '--require',
    spec.enterScript ?? ENTER_SOURCE,
    spec.entry,
  ];
}

let zone: string | null = null;
/** The host's time zone by name. Without it a child's first date costs 7 ms: it would look for the name in all zone files. */
function hostZone(): string {
  zone ??= new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return zone;
}

export function childEnvironment(spec: SandboxSpec, workDir: string): Record<string, string> {
  return {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: workDir,
    TMPDIR: workDir,
    USER: 'task',
    LOGNAME: 'task',
    LANG: 'C.UTF-8',
    TZ: hostZone(),
    ...spec.env,
  };
}

/** The process inside the namespaces: the only child of `unshare`. Null once it is gone. */
export function innerPid(outer: number): number | null {
  try {
    const pid = Number(readFileSync(`/proc/${outer}/task/${outer}/children`, 'latin1').trim().split(' ')[0]);
    return pid > 0 ? pid : null;
  } catch {
    return null;
  }
}

/** The shell in between reports a death by signal as 128 + its number. */
export function throughInit(code: number | null, signal: string | null): ChildExit {
  if (code === null || code <= 128) return { code, signal };
  const name = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0];
  return name === undefined ? { code, signal } : { code: null, signal: name };
}

/**
 * Starts a child of the tier that `spec` names. It has restricted itself before the first line of its entry runs; if it
 * could not, it exits with SANDBOX_FAILED_STATUS and the entry never runs.
 * @throws AppError PATH_NOT_ENTERABLE where the child's user could not even reach its own program
 */
export function launchSandboxed(spec: SandboxSpec): SandboxedChild {
  const root = process.getuid?.() === 0;
  if (spec.tier === 'user' && !root) {
    throw new AppError('SANDBOX_TIER', { public: 'Only root can give a child a user id of its own.' });
  }
  const namespaces = spec.tier === 'namespaces';
  const uid = root && spec.tier !== 'none' ? takeUid(spec.uids ?? DEFAULT_UIDS) : null;
  let workDir = NAMESPACE_WORK_DIR;
  let child: ChildProcess;
  try {
    if (!namespaces) {
      if (uid !== null)
        assertEnterable([process.execPath, spec.enterScript ?? ENTER_SOURCE, spec.entry, ...spec.packages]);
      workDir = makeWorkDir(uid, spec.workBase);
    }
    prepareParent();
    const plan = makePlan(spec, uid, workDir);
    const [program, ...args] = commandFor(plan, spec.network, nodeCommand(spec));
    child = spawn(program!, args, {
      cwd: '/',
      env: childEnvironment(spec, workDir),
      stdio: namespaces
        ? ['ignore', 'pipe', 'ignore', 'pipe', 'pipe', ...(spec.control === undefined ? [] : [spec.control])]
        : ['ignore', 'pipe', 'pipe', 'pipe'],
      detached: true,
    });
    const channel = child.stdio[3] as Socket;
    if (spec.deferred !== true) channel.write(encodeFrame(plan, MAX_PARENT_FRAME_BYTES));
  } catch (error) {
    if (uid !== null) giveBackUid(uid);
    throw error;
  }
  return handle({ child, spec, uid, workDir, namespaces });
}

type Parts = {
  readonly child: ChildProcess;
  readonly spec: SandboxSpec;
  readonly uid: number | null;
  readonly workDir: string;
  readonly namespaces: boolean;
};

function handle({ child, spec, uid, workDir, namespaces }: Parts): SandboxedChild {
  const pid = child.pid ?? -1;
  const channel = child.stdio[3] as Socket;
  let gone = false;
  claim(child);
  if (pid > 0) noteChild(pid);
  const killNow = () => {
    if (gone || pid <= 0) return;
    const inner = namespaces ? innerPid(pid) : null;
    // The first process of a pid namespace takes all others with it, whoever's child they have become.
    if (inner !== null) killQuietly(inner);
    else killQuietly(-pid);
  };
  const { ended, ...frames } = openChannel(channel, killNow);
  const exited = new Promise<ChildExit>((resolve) => {
    const settle = async (exit: ChildExit) => {
      gone = true;
      forgetChild(pid);
      if (!namespaces && pid > 0) await sweep(pid, uid);
      if (uid !== null) giveBackUid(uid);
      if (!namespaces) removeWorkDir(workDir);
      // Its last frames may be in the kernel's buffer still, and the loop may hear of the exit first.
      await Promise.race([ended, delay(CHANNEL_END_MS, undefined, { ref: false })]);
      resolve(exit);
    };
    child.once('exit', (code, signal) => void settle(namespaces ? throughInit(code, signal) : { code, signal }));
    child.once('error', () => {
      if (pid <= 0) void settle({ code: null, signal: null });
    });
  });
  return {
    ...frames,
    enter(extra) {
      if (gone) return;
      const whole = { ...spec, extra: [...(spec.extra ?? []), ...extra] };
      const stage = spec.control === undefined ? 'first' : 'second';
      channel.write(encodeFrame(makePlan(whole, uid, workDir, stage), MAX_PARENT_FRAME_BYTES));
    },
    pid,
    workDir,
    tier: spec.tier,
    stdout: child.stdout as Readable,
    stderr: (namespaces ? child.stdio[STDERR_FD] : child.stderr) as Readable,
    exited,
    kill() {
      killNow();
      return exited;
    },
  };
}
