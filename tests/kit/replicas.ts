/**
 * Several API servers as an operator runs them by hand: processes of their own with a data folder of their own, one database
 * (a clone of the migrated template) and one token service.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { openKeyFolder } from '../../token-sign/src/index.ts';
import { type TestDatabase, testDatabase } from './database.ts';
import { repositoryRoot } from './standalone.ts';
import { tempHome } from './temp-home.ts';
import { waitFor } from './wait.ts';

export type Replica = {
  /** http://127.0.0.1:PORT; another port after each start. */
  readonly url: () => string;
  readonly pid: () => number;
  /** What it wrote since its last start, both streams. */
  readonly output: () => string;
  /** SIGTERM, waits for the end, and starts it anew on another port. */
  readonly restart: () => Promise<void>;
  /** SIGTERM, and waits for the end. */
  readonly stop: () => Promise<void>;
};
export type Replicas = {
  readonly replicas: readonly Replica[];
  readonly database: TestDatabase;
  /** Of the token service; processes of our user may ask there. */
  readonly tokenSocket: string;
  /** The folder that holds everything, gone at the end. */
  readonly home: string;
} & AsyncDisposable;

export type ReplicasOptions = {
  /** Default 3. */
  readonly count?: number;
  /** Further environment of the API servers: `AIRLOCK__SECTION__KEY`. */
  readonly env?: Readonly<Record<string, string>>;
};

const START_MS = 60_000;
const STOP_MS = 15_000;

/** @throws Error with everything that a process wrote, when it does not become ready */
export async function startReplicas(options: ReplicasOptions = {}): Promise<Replicas> {
  const home = tempHome();
  const database = await testDatabase();
  const down: Array<() => unknown> = [() => home[Symbol.dispose](), () => database.close()];
  const dispose = async () => {
    for (const step of down.splice(0).reverse()) await step();
  };
  try {
    const common = { PATH: process.env.PATH ?? '/usr/bin:/bin', HOME: home.path, ...options.env };
    openKeyFolder({ folder: join(home.path, 'keys/signing'), generate: true, nowMs: Date.now, warn: console.error });
    const signer = service('token-sign/bin/token-service.ts', [], /^token-service is ready/m, {
      ...common,
      AIRLOCK_HOME: home.path,
    });
    down.push(() => signer.stop());
    await signer.start();
    const tokenFolder = join(home.path, 'run/token');
    const fernetKey = randomBytes(32).toString('base64url');
    const replicas = Array.from({ length: options.count ?? 3 }, (_, number) => {
      const own = join(home.path, `api-${number + 1}`);
      mkdirSync(join(own, 'run'), { recursive: true });
      symlinkSync(tokenFolder, join(own, 'run/token'));
      const process = service('control/bin/control.ts', ['--role=api'], /^Airlock API server: (\S+)$/m, {
        ...common,
        AIRLOCK_HOME: own,
        AIRLOCK_DATABASE_URL: database.url,
        AIRLOCK__CORE__FERNET_KEY: fernetKey,
        AIRLOCK__CORE__DAGS_FOLDER: join(home.path, 'dags'),
        AIRLOCK__LOGGING__BASE_LOG_FOLDER: join(home.path, 'logs'),
        AIRLOCK__API__PORT: '0',
      });
      down.push(() => process.stop());
      return process;
    });
    await Promise.all(replicas.map((replica) => replica.start()));
    const shown = replicas.map(
      ({ pid, output, start, stop, ready }): Replica => ({
        url: () => ready()[1]!,
        pid,
        output,
        stop,
        restart: async () => {
          await stop();
          await start();
        },
      }),
    );
    return {
      replicas: shown,
      database,
      tokenSocket: join(tokenFolder, 'token.sock'),
      home: home.path,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** One of our processes, which says on a line of its output that it is ready. */
function service(entry: string, args: readonly string[], sign: RegExp, env: Record<string, string>) {
  let child: ChildProcess | null = null;
  let output = '';
  const ready = (): RegExpExecArray => {
    const match = sign.exec(output);
    if (!match) throw new Error(`${entry} is not ready; it wrote:\n${output}`);
    return match;
  };
  const running = () => child !== null && child.exitCode === null && child.signalCode === null;
  const stop = async () => {
    const one = child;
    if (one === null || !running()) return;
    const ended = new Promise<void>((resolve) => one.once('exit', () => resolve()));
    one.kill('SIGTERM');
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
  return { start, stop, ready, pid: () => child!.pid!, output: () => output };
}
