/** A task with a long log in a whole installation: with twenty connections to hide, and with nothing to hide. @see promise L21 */
import { runEnd, runPath, type TaskInstance, trigger } from '../kit/api.ts';
import { startStandalone } from '../kit/standalone.ts';
import { someLog } from './masking.ts';
import { processorByName } from './processes.ts';

const CONNECTIONS = 20;
const BLOCK_BYTES = 1024 * 1024;
/** Every line becomes JSON with a time, which makes it longer. */
const STORED_PER_PRINTED = 4;
const LONGEST_RUN_MS = 600_000;

const dags = (megabytes: number) => {
  const ids = Array.from({ length: CONNECTIONS }, (_, n) => `vault${n}`);
  const block = JSON.stringify(someLog(BLOCK_BYTES, (n) => `[secret ${n % CONNECTIONS}]`).toString());
  return `import { once } from 'node:events';
import { connection, dag } from '@airlock/sdk';

const needs = { ${ids.map((id) => `${id}: connection('${id}')`).join(', ')} };
const lines: string = ${block};
async function print(passwords: string[]): Promise<void> {
  const block = Buffer.from(lines.replace(/\\[secret (\\d+)\\]/g, (_, n) => passwords[n] ?? 'an ordinary word'));
  for (let n = 0; n < ${megabytes}; n++) if (!process.stdout.write(block)) await once(process.stdout, 'drain');
}
const options = { schedule: null, startDate: '2024-01-01' } as const;
export const plain = dag('log_plain', options, (d) => {
  d.task('t', { run: async () => { await print([]); return 1; } })();
});
export const masked = dag('log_masked', options, (d) => {
  d.task('t', { needs, run: async (_: Record<never, never>, { needs }) => {
    await print([${ids.map((id) => `needs.${id}.password!`).join(', ')}]);
    return 1;
  } })();
});
`;
};

export type LogRun = {
  /** From the start of the try to its end, its log stored. */
  readonly seconds: number;
  /** Processor time of the worker alone. */
  readonly workerSeconds: number;
};

/** @param megabytes of output, each way */
export async function measureLogRuns(megabytes: number): Promise<{ readonly plain: LogRun; readonly masked: LogRun }> {
  const maxBytes = megabytes * BLOCK_BYTES * STORED_PER_PRINTED;
  await using airlock = await startStandalone({
    dags: { 'logs.ts': dags(megabytes) },
    env: { AIRLOCK__LOGGING__MAX_LOG_BYTES: String(maxBytes) },
  });
  for (let n = 0; n < CONNECTIONS; n++)
    await airlock.api('POST', '/api/v2/connections', {
      connection_id: `vault${n}`,
      conn_type: 'http',
      password: `${n}-correct-horse-battery-${n * 7919}`,
      extra: JSON.stringify({ api_token: `token-of-${n}-${n * 104_729}` }),
    });
  const once = async (dagId: string): Promise<LogRun> => {
    let seconds = 0;
    const spent = await processorByName(airlock.pid, async () => {
      const runId = await trigger(airlock, dagId);
      const state = await runEnd(airlock, dagId, runId, LONGEST_RUN_MS);
      if (state !== 'success') throw new Error(`the run of ${dagId} ended ${state}`);
      const ti = await airlock.api<TaskInstance>('GET', `${runPath(dagId, runId)}/taskInstances/t`);
      seconds = (Date.parse(ti.end_date!) - Date.parse(ti.start_date!)) / 1000;
    });
    return { seconds, workerSeconds: spent.get('supervisor') ?? Number.NaN };
  };
  const plain = await once('log_plain');
  const masked = await once('log_masked');
  return { plain, masked };
}

export async function logRunLines(quick: boolean): Promise<string[]> {
  const megabytes = quick ? 64 : 1024;
  const { plain, masked } = await measureLogRuns(megabytes);
  const more = ((masked.workerSeconds / plain.workerSeconds - 1) * 100).toFixed(0);
  const show = (run: LogRun) => `${run.seconds.toFixed(1)} s (worker: ${run.workerSeconds.toFixed(1)} s of processor)`;
  return [
    `a task that prints ${megabytes} MB, to the end of its try: ${show(plain)}; with ${CONNECTIONS} connections to hide ${show(masked)}, ${more} % more`,
    '',
  ];
}
