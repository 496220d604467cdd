/** Starting standalone around the fakes, and looking at it from outside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { waitFor } from '../../../tests/kit/wait.ts';

export type Started = {
  readonly pid: number;
  readonly url: string;
  readonly output: () => string;
  /** What the control of the moment was given and saw. */
  readonly seen: () => Promise<Seen>;
  readonly kill: (signal: NodeJS.Signals) => void;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
};
export type Seen = {
  readonly values: Record<string, unknown>;
  readonly tickets: readonly string[];
  readonly uid: number;
  readonly pid: number;
  readonly env: Record<string, string>;
  readonly role: ReadonlyArray<{ readonly me: string }> | null;
};

const ROOT = join(import.meta.dirname, '../../..');

export type FakesOptions = {
  readonly env?: Record<string, string>;
  readonly uid?: number;
  /** Words to put before the command. */
  readonly prefix?: readonly string[];
  /** Where the repository shows after `prefix` has done its work. */
  readonly root?: string;
};

export function spawnFakes(home: string, options: FakesOptions = {}): ChildProcess {
  const node = options.root ? process.execPath.replace(ROOT, options.root) : process.execPath;
  const start = join(options.root ?? ROOT, 'standalone/test/fakes/start.ts');
  const words = [...(options.prefix ?? []), node, '--disable-warning=ExperimentalWarning', start];
  return spawn(words[0]!, words.slice(1), {
    env: { PATH: process.env.PATH ?? '', AIRLOCK_HOME: home, AIRLOCK__API__PORT: '0', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
  });
}

export async function startFakes(...args: Parameters<typeof spawnFakes>): Promise<Started> {
  const child = spawnFakes(...args);
  let output = '';
  for (const stream of [child.stdout!, child.stderr!]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  );
  const url = await waitFor(
    'the healthy line',
    () => {
      if (child.exitCode !== null) throw new Error(output);
      return /healthy: (http:\S+)/.exec(output)?.[1];
    },
    { timeoutMs: 20_000, everyMs: 5 },
  ).catch((error: unknown) => {
    child.kill('SIGKILL');
    throw new Error(`not healthy:\n${output}`, { cause: error });
  });
  return {
    pid: child.pid!,
    url,
    output: () => output,
    seen: async () => (await (await fetch(`${url}/seen`)).json()) as Seen,
    kill: (signal) => child.kill(signal),
    ended,
  };
}
