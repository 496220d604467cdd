/** A process of ours that a test starts, ends, kills and starts again. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from './standalone.ts';
import { waitFor } from './wait.ts';

const START_MS = 180_000;
const STOP_MS = 15_000;

export type Service = {
  /** Until its ready line is there. @throws Error with everything that it wrote */
  readonly start: () => Promise<void>;
  /** SIGTERM, and SIGKILL when that does not help; waits for the end. */
  readonly stop: () => Promise<void>;
  /** SIGKILL, and waits for the end. */
  readonly kill: () => Promise<void>;
  /** What the ready line says. */
  readonly ready: () => RegExpExecArray;
  readonly pid: () => number;
  /** What it wrote since its last start, both streams. */
  readonly output: () => string;
};

/** One of our processes, which says on a line of its output that it is ready. @param entry relative to the repository */
export function service(entry: string, args: readonly string[], sign: RegExp, env: Record<string, string>): Service {
  let child: ChildProcess | null = null;
  let output = '';
  const ready = (): RegExpExecArray => {
    const match = sign.exec(output);
    if (!match) throw new Error(`${entry} is not ready; it wrote:\n${output}`);
    return match;
  };
  const running = () => child !== null && child.exitCode === null && child.signalCode === null;
  const end = async (signal: 'SIGTERM' | 'SIGKILL') => {
    const one = child;
    if (one === null || !running()) return;
    const ended = new Promise<void>((resolve) => one.once('exit', () => resolve()));
    one.kill(signal);
    const late = setTimeout(() => one.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(late);
  };
  const start = async () => {
    output = '';
    const one = spawn(process.execPath, [join(repositoryRoot, entry), ...args], {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child = one;
    for (const stream of [one.stdout, one.stderr])
      stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    const outcome = await waitFor(`${entry} is ready`, () => (running() ? sign.test(output) : 'ended'), {
      timeoutMs: START_MS,
      everyMs: 5,
    });
    if (outcome === 'ended') ready();
  };
  return {
    start,
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    ready,
    pid: () => child!.pid!,
    output: () => output,
  };
}
