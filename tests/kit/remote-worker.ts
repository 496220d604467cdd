/** A worker that standalone did not start: `airlock worker`, in a data folder of its own, joined with a ticket of the operator. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot, type Standalone } from './standalone.ts';
import { tempHome } from './temp-home.ts';

const launcher = join(repositoryRoot, 'cli/bin/airlock');

export type RemoteWorker = {
  readonly pid: number;
  readonly home: string;
  readonly process: ChildProcess;
  /** Both streams, so far. */
  readonly output: () => string;
  readonly ended: Promise<number | null>;
  /** SIGTERM, and SIGKILL when that does not help; its folder is gone then. */
  readonly stop: () => Promise<void>;
};

/** What an operator's command says and how it ends. */
export function operate(airlock: Standalone, ...args: string[]) {
  return spawnSync(process.execPath, [launcher, ...args], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: airlock.home, AIRLOCK_HOME: airlock.home },
  });
}

/** @throws Error with what the command said */
export function joinTicket(airlock: Standalone): string {
  const { stdout, status, stderr } = operate(airlock, 'workers', 'join-ticket', '--expires', '10m');
  if (status !== 0) throw new Error(`no join ticket: ${stderr}`);
  return stdout.trim();
}

/** @param serverUrl where it looks for the server: the installation's own address, or that of a proxy before it */
export function startRemoteWorker(
  serverUrl: string,
  ticket: string,
  env: Readonly<Record<string, string>>,
): RemoteWorker {
  const home = tempHome();
  const file = join(home.path, 'ticket');
  writeFileSync(file, ticket, { mode: 0o600 });
  const child = spawn(process.execPath, [launcher, 'worker', '--server', serverUrl, '--ticket-file', file], {
    env: {
      PATH: process.env.PATH,
      HOME: home.path,
      AIRLOCK_HOME: home.path,
      // Two workers of one machine must not give their tasks the same user ids.
      AIRLOCK__SANDBOX__UID_RANGE_START: '3000000',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  return {
    pid: child.pid!,
    home: home.path,
    process: child,
    output: () => output,
    ended,
    async stop() {
      child.kill('SIGTERM');
      const late = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(late);
      home[Symbol.dispose]();
    },
  };
}
