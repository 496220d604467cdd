/**
 * Runs an operator's worker command: one process per workload. It is a worker and no user code, so it gets no sandbox; but
 * an environment that is listed, no descriptor of ours, and no root.
 */
import { spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { closeDescriptorsOnExec } from './native/process.ts';
import { claim } from './own-pids.ts';
import { sweep } from './sandbox/sweep.ts';
import type { ChildExit } from './sandbox/types.ts';
import { DEFAULT_UIDS, giveBackUid, takeUid, type UidRange } from './sandbox/uids.ts';
import { makeWorkDir, removeWorkDir } from './sandbox/work-dir.ts';

export type CommandSpec = {
  /** Program and arguments; started without a shell. */
  readonly argv: readonly string[];
  /** What it reads on standard input, to the end. */
  readonly input: string;
  /** Its whole environment. HOME and TMPDIR become a folder of its own when it gets a user id of its own. */
  readonly env: Readonly<Record<string, string>>;
  readonly uids?: UidRange;
  readonly workBase?: string;
};

export type RunningCommand = {
  readonly pid: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  /** Settles when it and, as root, all processes of its user id are gone. `problem` = why it never started. */
  readonly exited: Promise<ChildExit & { readonly problem: string | null }>;
  /** Asks it to end (SIGTERM to its group), and kills the group after `graceMs`. */
  stop(graceMs: number): void;
};

export function startCommand(spec: CommandSpec): RunningCommand {
  const uid = process.getuid?.() === 0 ? takeUid(spec.uids ?? DEFAULT_UIDS) : null;
  const workDir = uid === null ? null : makeWorkDir(uid, spec.workBase);
  const env = {
    ...spec.env,
    ...(workDir === null ? {} : { HOME: workDir, TMPDIR: workDir, USER: 'task', LOGNAME: 'task' }),
  };
  closeDescriptorsOnExec();
  const [program, ...args] = spec.argv;
  const child = spawn(program!, args, {
    cwd: workDir ?? '/',
    env,
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
    ...(uid === null ? {} : { uid, gid: uid }),
  });
  claim(child);
  child.stdin.on('error', () => undefined); // it need not read; its exit says what became of it
  child.stdin.end(spec.input);
  const pid = child.pid ?? -1;
  let gone = false;
  const signalGroup = (signal: NodeJS.Signals) => {
    if (gone || pid <= 0) return;
    try {
      process.kill(-pid, signal);
    } catch {
      // nobody is left in the group
    }
  };
  const exited = new Promise<ChildExit & { problem: string | null }>((resolve) => {
    const settle = async (exit: ChildExit, problem: string | null) => {
      if (gone) return;
      gone = true;
      if (uid !== null) {
        await sweep(pid, uid);
        giveBackUid(uid);
      } else if (pid > 0) {
        gone = false;
        signalGroup('SIGKILL');
        gone = true;
      }
      if (workDir !== null) removeWorkDir(workDir);
      resolve({ ...exit, problem });
    };
    child.once('exit', (code, signal) => void settle({ code, signal }, null));
    child.once('error', (error) => void settle({ code: null, signal: null }, error.message));
  });
  return {
    pid,
    stdout: child.stdout,
    stderr: child.stderr,
    exited,
    stop(graceMs) {
      signalGroup('SIGTERM');
      const timer = setTimeout(() => signalGroup('SIGKILL'), graceMs);
      void exited.then(() => clearTimeout(timer));
    },
  };
}
