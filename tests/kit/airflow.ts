/** The peer: Airflow 3.3.2 from PyPI in a virtual environment, with PostgreSQL, LocalExecutor and everything else as it comes. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { findPython } from './airflow-venv.ts';
import { startTestCluster } from './cluster.ts';
import { repositoryRoot } from './standalone.ts';
import { tempHome } from './temp-home.ts';
import { waitFor } from './wait.ts';

const PACKAGES = ['apache-airflow==3.3.2', 'apache-airflow-providers-standard==1.21.0', 'psycopg2-binary', 'asyncpg'];
const CONSTRAINTS = join(repositoryRoot, 'tests/conformance/airflow/constraints.txt');
const START_MS = 600_000;
export const AIRFLOW_PASSWORD = 'admin';

/** Makes the environment once; later calls find it. @throws Error without Python 3.11 */
export function installAirflow(say: (text: string) => void): string {
  const venv = process.env.AIRFLOW_VENV ?? join(repositoryRoot, '.cache/venv-airflow');
  if (existsSync(join(venv, '.complete'))) return venv;
  const python = findPython();
  if (python === null) throw new Error('Airflow needs python3.11');
  say('installing Airflow 3.3.2 from PyPI');
  const steps: ReadonlyArray<readonly string[]> = [
    [python, '-m', 'venv', venv],
    [join(venv, 'bin/pip'), 'install', '--quiet', ...PACKAGES, '-c', CONSTRAINTS],
  ];
  for (const [program, ...args] of steps) {
    const result = spawnSync(program!, args, { stdio: ['ignore', 'inherit', 'inherit'], timeout: 900_000 });
    if (result.status !== 0) throw new Error(`${program} ${args.join(' ')} failed`);
  }
  writeFileSync(join(venv, '.complete'), '');
  return venv;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}

export type Airflow = AsyncDisposable & {
  readonly url: string;
  readonly pid: number;
  readonly startSeconds: number;
  readonly databaseUrl: string;
};

/** @param fill puts Dag files into the Dag folder before the start @throws Error when it does not become healthy */
export async function startAirflow(
  fill: (dagsFolder: string) => void,
  say: (text: string) => void,
  more: Readonly<Record<string, string>> = {},
): Promise<Airflow> {
  const venv = installAirflow(say);
  const home = tempHome();
  const cluster = await startTestCluster();
  const ports = [await freePort(), await freePort(), await freePort()];
  mkdirSync(join(home.path, 'dags'));
  fill(join(home.path, 'dags'));
  writeFileSync(join(home.path, 'passwords.json'), JSON.stringify({ admin: AIRFLOW_PASSWORD }));
  const base = `http://127.0.0.1:${ports[0]}`;
  say('Airflow: start');
  const beganMs = performance.now();
  const child = spawn(join(venv, 'bin/airflow'), ['standalone'], {
    cwd: home.path,
    detached: true, // a group of its own, so that all of it can be stopped
    stdio: 'ignore',
    env: {
      PATH: `${join(venv, 'bin')}:${process.env.PATH}`,
      HOME: home.path,
      AIRFLOW_HOME: home.path,
      AIRFLOW__CORE__LOAD_EXAMPLES: 'False',
      AIRFLOW__CORE__DAGS_FOLDER: join(home.path, 'dags'),
      AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'False',
      AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS: 'admin:admin',
      AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE: join(home.path, 'passwords.json'),
      AIRFLOW__CORE__EXECUTION_API_SERVER_URL: `${base}/execution/`,
      AIRFLOW__API__PORT: String(ports[0]),
      AIRFLOW__API__BASE_URL: base,
      AIRFLOW__API__HOST: '127.0.0.1',
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN: cluster.url.replace('postgresql://', 'postgresql+psycopg2://'),
      AIRFLOW__DATABASE__SQL_ALCHEMY_CONN_ASYNC: cluster.url.replace('postgresql://', 'postgresql+asyncpg://'),
      AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT: String(ports[1]),
      AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT: String(ports[2]),
      ...more,
    },
  });
  const stop = async () => {
    await stopGroup(child);
    await cluster.stop();
    home[Symbol.dispose]();
  };
  try {
    await waitFor('Airflow is healthy', () => isHealthy(base), { timeoutMs: START_MS, everyMs: 50 });
  } catch (error) {
    await stop();
    throw error;
  }
  const startSeconds = (performance.now() - beganMs) / 1000;
  return { url: base, pid: child.pid!, startSeconds, databaseUrl: cluster.url, [Symbol.asyncDispose]: stop };
}

async function isHealthy(base: string): Promise<boolean> {
  const answer = await fetch(`${base}/api/v2/monitor/health`).catch(() => null);
  if (!answer?.ok) return false;
  const health = (await answer.json()) as Record<string, { status: string | null }>;
  return health.scheduler?.status === 'healthy';
}

async function stopGroup(child: ChildProcess): Promise<void> {
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const signal = (name: NodeJS.Signals) => {
    try {
      process.kill(-child.pid!, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  };
  signal('SIGINT');
  const late = setTimeout(() => signal('SIGKILL'), 15_000);
  if (child.exitCode === null && child.signalCode === null) await ended;
  clearTimeout(late);
  signal('SIGKILL');
}
