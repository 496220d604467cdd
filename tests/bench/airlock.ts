/** Everything that is measured on Airlock, each figure on a fresh data folder. */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { socketAddress } from '@airlock/contract/database-address';
import { openDatabase, sql } from '@airlock/store';
import { ADMIN_PASSWORD, repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { waitFor } from '../kit/wait.ts';
import { createDriver, quantile } from './drive.ts';
import { runLoad, type Target } from './load.ts';
import { type Memory, memoryOf, processorByName, processorShare } from './processes.ts';

export type Figures = {
  firstStartSeconds: number;
  secondStartSeconds: number | null;
  memory: Memory;
  idlePercent: number;
  one: { p50: number; p95: number };
  chain40: number;
  fan100: number;
  /** Processor seconds of one run by kind of process; empty where that was not measured. */
  chainSeconds: ReadonlyMap<string, number>;
  fanSeconds: ReadonlyMap<string, number>;
  heartbeatsPerSecond: number | null;
  /** The same Dags in Python; null where that was not measured. */
  python: { one: number; chain40: number; fan100: number } | null;
};
export type Amount = {
  readonly one: number;
  readonly chain: number;
  readonly fan: number;
  readonly idleSeconds: number;
  readonly loadSeconds: number;
};

/** Between two looks at a run, ms, as at one of Airflow; and at one that takes less than a tenth of a second. */
const POLL_MS = 20;
const CLOSE_POLL_MS = 5;
/** Quiet time before memory and idle work are read, ms: what a start leaves behind is collected some seconds later. */
const SETTLE_MS = 25_000;
const HEARTBEAT_CONNECTIONS = 8;
const HOLD_QUEUE = 'bench_hold';
const HOLD_POOL = 'bench_closed';
const HOLDER = { hostname: 'bench', unixname: 'bench', pid: 4242 };

/** @param say gets a line about what is being measured */
export async function measureAirlock(amount: Amount, say: (text: string) => void): Promise<Figures> {
  using home = tempHome();
  const dagFiles = [join(import.meta.dirname, 'airlock_dags.ts')];
  say('first start');
  const first = await startStandalone({ home: home.path, dagFiles });
  const firstStartSeconds = first.startMs / 1000;
  await first.stop();
  say('second start');
  const second = await startStandalone({ home: home.path });
  try {
    const secondStartSeconds = second.startMs / 1000;
    say('idle');
    await pause(SETTLE_MS);
    const memory = memoryOf(second.pid);
    const idlePercent = await processorShare(second.pid, amount.idleSeconds);
    const driver = await createDriver(second.url, 'admin', ADMIN_PASSWORD, POLL_MS);
    say('one no-op task');
    await driver.measure('one', 3);
    const one = await driver.measure('one', amount.one, CLOSE_POLL_MS);
    say('chain of 40');
    const chain = await driver.measure('chain40', amount.chain);
    const timeOf = (dag: string) => processorByName(second.pid, async () => void (await driver.measure(dag, 1)));
    const chainSeconds = await timeOf('chain40');
    say('fan-out of 100');
    const fan = await driver.measure('fan100', amount.fan);
    const fanSeconds = await timeOf('fan100');
    return {
      firstStartSeconds,
      secondStartSeconds,
      memory,
      idlePercent,
      one: { p50: quantile(one, 0.5), p95: quantile(one, 0.95) },
      chain40: quantile(chain, 0.5),
      fan100: quantile(fan, 0.5),
      chainSeconds,
      fanSeconds,
      heartbeatsPerSecond: null,
      python: null,
    };
  } finally {
    await second.stop();
  }
}

/** The Dag file of the peer, by the same Task SDK. @param venv the folder of its environment */
export async function measurePython(
  amount: Amount,
  venv: string,
  say: (text: string) => void,
): Promise<NonNullable<Figures['python']>> {
  await using airlock = await startStandalone({
    dagFiles: [join(import.meta.dirname, 'airflow_dags.py')],
    env: { AIRLOCK__PYTHON__INTERPRETER: venv },
  });
  const driver = await createDriver(airlock.url, 'admin', ADMIN_PASSWORD, POLL_MS);
  say('Python: one no-op task');
  await driver.measure('one', 3);
  const one = await driver.measure('one', Math.min(amount.one, 20));
  say('Python: chain of 40');
  const chain = await driver.measure('chain40', amount.chain);
  say('Python: fan-out of 100');
  const fan = await driver.measure('fan100', amount.fan);
  return { one: quantile(one, 0.5), chain40: quantile(chain, 0.5), fan100: quantile(fan, 0.5) };
}

/**
 * Heartbeats of as many running tries as there are connections, as fast as the server takes them. Each try has its own, as in
 * life: beats of one try would change one row, and so wait for each other. Their tokens are plain bearers, as foreign workers
 * hold them. Such a token is never given for a TypeScript task, so the tasks are made foreign ones in the database while their
 * pool is closed.
 */
export async function measureHeartbeats(amount: Amount): Promise<number> {
  const capture = mkdtempSync(join(tmpdir(), 'airlock-bench-'));
  chmodSync(capture, 0o777);
  const dag = `import { dag } from '@airlock/sdk';
export default dag('held', { schedule: null, startDate: '2024-01-01' }, (d) => {
  for (let i = 0; i < ${HEARTBEAT_CONNECTIONS}; i++) d.task('t' + i, { queue: '${HOLD_QUEUE}', pool: '${HOLD_POOL}', run: async () => 1 })();
});`;
  const airlock = await startStandalone({
    dags: { 'held.ts': dag },
    env: {
      AIRLOCK__WORKERS__COMMAND: `${process.execPath} ${join(repositoryRoot, 'tests/bench/hold_workload.ts')}`,
      AIRLOCK__WORKERS__COMMAND_QUEUES: HOLD_QUEUE,
      AIRLOCK__WORKERS__COMMAND_ENV: 'BENCH_CAPTURE',
      BENCH_CAPTURE: capture,
    },
  });
  try {
    return await heartbeat(airlock, capture, amount);
  } finally {
    await airlock.stop();
    rmSync(capture, { recursive: true, force: true });
  }
}

async function makeForeign(airlock: Standalone): Promise<void> {
  const url = socketAddress({
    role: 'airlock_owner',
    password: readFileSync(join(airlock.home, 'keys/postgres-airlock_owner'), 'utf8').trim(),
    database: 'airlock',
    socketDir: join(airlock.home, 'run/postgres'),
  });
  const db = openDatabase({ url, maxConnections: 1, applicationName: 'bench', onError: () => undefined });
  try {
    await waitFor('the task instances are there', async () => {
      const changed = await db.query(
        sql`UPDATE task_instance SET runtime = 'python', needs = NULL WHERE dag_id = 'held' RETURNING id`,
      );
      return changed.length === HEARTBEAT_CONNECTIONS;
    });
  } finally {
    await db.close();
  }
}

async function heartbeat(airlock: Standalone, capture: string, amount: Amount): Promise<number> {
  await waitFor('the Dag is known', () => airlock.api('GET', '/api/v2/dags/held'), { timeoutMs: 20_000 });
  const pool = { name: HOLD_POOL, slots: 0, include_deferred: false };
  await airlock.api('POST', '/api/v2/pools', pool);
  await airlock.api('POST', '/api/v2/dags/held/dagRuns', { logical_date: null });
  await makeForeign(airlock);
  await airlock.api('PATCH', `/api/v2/pools/${HOLD_POOL}`, { ...pool, slots: HEARTBEAT_CONNECTIONS });
  const handedOut = () => readdirSync(capture).filter((name) => name.startsWith('workload-'));
  await waitFor('the workloads were handed out', () => handedOut().length === HEARTBEAT_CONNECTIONS, {
    timeoutMs: 60_000,
  });
  const { perSecond, statuses } = await runLoad({
    targets: await Promise.all(handedOut().map((name) => startHeld(airlock, join(capture, name)))),
    method: 'PUT',
    body: JSON.stringify({ hostname: HOLDER.hostname, pid: HOLDER.pid }),
    connections: HEARTBEAT_CONNECTIONS,
    seconds: amount.loadSeconds,
  });
  const refused = Object.keys(statuses).filter((status) => !status.startsWith('2'));
  if (refused.length > 0) throw new Error(`heartbeats were refused: ${JSON.stringify(statuses)}`);
  return perSecond;
}

/** Starts the try of a workload that was handed out. @returns where its heartbeats go, and with what */
async function startHeld(airlock: Standalone, file: string): Promise<Target> {
  const workload = JSON.parse(readFileSync(file, 'utf8')) as { token: string; ti: { id: string } };
  const instance = `${airlock.url}/execution/task-instances/${workload.ti.id}`;
  const json = { 'content-type': 'application/json' };
  const started = await fetch(`${instance}/run`, {
    method: 'PATCH',
    headers: { authorization: `Bearer ${workload.token}`, ...json },
    body: JSON.stringify({ state: 'running', ...HOLDER, start_date: new Date().toISOString() }),
  });
  const token = started.headers.get('refreshed-api-token');
  if (!started.ok || token === null) throw new Error(`/run answered ${started.status} ${await started.text()}`);
  return { url: `${instance}/heartbeat`, headers: { authorization: `Bearer ${token}`, ...json } };
}
