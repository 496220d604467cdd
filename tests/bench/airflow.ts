/** The measurements of the peer. */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { AIRFLOW_PASSWORD, startAirflow } from '../kit/airflow.ts';
import type { Amount, Figures } from './airlock.ts';
import { createDriver, quantile } from './drive.ts';
import { memoryOf, processorShare } from './processes.ts';

/** Between two looks at a run, ms; a look costs Airflow more than ten. */
const POLL_MS = 20;
const SETTLE_MS = 10_000;

export async function measureAirflow(amount: Amount, say: (text: string) => void): Promise<Figures> {
  const dags = join(import.meta.dirname, 'airflow_dags.py');
  await using airflow = await startAirflow((folder) => copyFileSync(dags, join(folder, 'airflow_dags.py')), say);
  say('Airflow: idle');
  await pause(SETTLE_MS);
  const memory = memoryOf(airflow.pid);
  const idlePercent = await processorShare(airflow.pid, amount.idleSeconds);
  const driver = await createDriver(airflow.url, 'admin', AIRFLOW_PASSWORD, POLL_MS);
  say('Airflow: one no-op task');
  await driver.measure('one', 1);
  const one = await driver.measure('one', Math.min(amount.one, 8));
  say('Airflow: chain of 40');
  const chain = await driver.measure('chain40', 1);
  say('Airflow: fan-out of 100');
  const fan = await driver.measure('fan100', 1);
  const p50 = quantile(one, 0.5);
  return {
    firstStartSeconds: airflow.startSeconds,
    secondStartSeconds: null,
    memory,
    idlePercent,
    one: { p50, p95: quantile(one, 0.95) },
    chain40: chain[0]!,
    fan100: fan[0]!,
    chainSeconds: new Map(),
    fanSeconds: new Map(),
    heartbeatsPerSecond: null,
    python: { one: p50, chain40: chain[0]!, fan100: fan[0]! },
  };
}
