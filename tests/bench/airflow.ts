/** The peer: Airflow 3.3.2 from PyPI in a virtual environment, with PostgreSQL, LocalExecutor and everything else as it comes. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { suiteFolder } from '../conformance/suite.ts';
import { findPython } from '../kit/airflow-venv.ts';
import { startTestCluster } from '../kit/cluster.ts';
import { repositoryRoot } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { waitFor } from '../kit/wait.ts';
import type { Amount, Figures } from './airlock.ts';
import { createDriver, quantile } from './drive.ts';
import { memoryOf, processorShare } from './processes.ts';

const PACKAGES = ['apache-airflow==3.3.2', 'apache-airflow-providers-standard==1.21.0', 'psycopg2-binary', 'asyncpg'];
const START_MS = 180_000;
/** Between two looks at a run, ms; a look costs Airflow more than ten. */
const POLL_MS = 20;
const SETTLE_MS = 10_000;
const PASSWORD = 'admin';

/** Makes the environment once; later calls find it. @throws Error without Python 3.11 */
function install(say: (text: string) => void): string {
  const venv = join(repositoryRoot, '.cache/venv-airflow');
  if (existsSync(join(venv, '.complete'))) return venv;
  const python = findPython();
  if (python === null) throw new Error('Airflow needs python3.11');
  say('installing Airflow 3.3.2 from PyPI');
  const steps: ReadonlyArray<readonly string[]> = [
    [python, '-m', 'venv', venv],
    [join(venv, 'bin/pip'), 'install', '--quiet', ...PACKAGES, '-c', join(suiteFolder, 'constraints.txt')],
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

export async function measureAirflow(amount: Amount, say: (text: string) => void): Promise<Figures> {
  const venv = install(say);
  using home = tempHome();
  const cluster = await startTestCluster();
  const ports = [await freePort(), await freePort(), await freePort()];
  mkdirSync(join(home.path, 'dags'));
  copyFileSync(join(import.meta.dirname, 'airflow_dags.py'), join(home.path, 'dags/airflow_dags.py'));
  writeFileSync(join(home.path, 'passwords.json'), JSON.stringify({ admin: PASSWORD }));
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
    },
  });
  try {
    await waitFor('Airflow is healthy', () => isHealthy(base), { timeoutMs: START_MS, everyMs: 50 });
    const firstStartSeconds = (performance.now() - beganMs) / 1000;
    say('Airflow: idle');
    await pause(SETTLE_MS);
    const memory = memoryOf(child.pid!);
    const idlePercent = await processorShare(child.pid!, amount.idleSeconds);
    const driver = await createDriver(base, 'admin', PASSWORD, POLL_MS);
    say('Airflow: one no-op task');
    await driver.measure('one', 1);
    const one = await driver.measure('one', Math.min(amount.one, 8));
    say('Airflow: chain of 40');
    const chain = await driver.measure('chain40', 1);
    say('Airflow: fan-out of 100');
    const fan = await driver.measure('fan100', 1);
    return {
      firstStartSeconds,
      secondStartSeconds: null,
      memory,
      idlePercent,
      one: { p50: quantile(one, 0.5), p95: quantile(one, 0.95) },
      chain40: chain[0]!,
      fan100: fan[0]!,
      chainSeconds: new Map(),
      fanSeconds: new Map(),
      heartbeatsPerSecond: null,
    };
  } finally {
    await stopGroup(child);
    await cluster.stop();
  }
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
