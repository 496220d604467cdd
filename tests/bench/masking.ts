/**
 * What masking costs the log of a try, from the bytes that a process prints to the batch that is sent: processor time beside that of
 * the same log with nothing to hide, in one process, in turn, so that whatever else the machine does meets both.
 * @see promise L21
 */
import { createHash } from 'node:crypto';
import { LineSplitter } from '../../supervisor/src/task/lines.ts';
import { Masker } from '../../supervisor/src/task/mask.ts';
import { TryLog } from '../../supervisor/src/task/try-log.ts';
import { quantile } from './drive.ts';

/** As a pipe gives them. */
const CHUNK_BYTES = 65_536;
/** One log; small, so that two neighbours see the same machine. */
const LOG_BYTES = 1024 * 1024;

/** The same number for the same text, so that a log can be made anew. */
const numberOf = (text: string) => createHash('sha256').update(text).digest().readUInt32LE(0);
const hexOf = (text: string) => createHash('sha256').update(text).digest('hex');

const digestOf = (n: number) => createHash('sha512').update(`secret ${n}`).digest('base64');
const passwordOf = (n: number) => digestOf(n).slice(0, 16);

/** Secrets as installations have them: passwords, some with characters that are escaped, tokens, and inner texts of JSON extras. */
export function someSecrets(count: number): Masker {
  const masker = new Masker(5);
  for (let n = 0; n < count; n++) {
    const digest = digestOf(n);
    if (n % 4 === 0) masker.add(passwordOf(n));
    else if (n % 4 === 1) masker.add(`${digest.slice(0, 10)}&"${digest.slice(10, 20)} é`);
    else if (n % 4 === 2) masker.add(hexOf(digest));
    else
      masker.addConnection({ password: digest.slice(0, 24), extra: JSON.stringify({ api_token: digest.slice(30) }) });
  }
  return masker;
}

/** Lines of several programs, no two alike; one in a thousand holds a secret, as `hidden` gives it. */
export function someLog(bytes: number, hidden: (n: number) => string): Buffer {
  const lines: string[] = [];
  for (let n = 0, size = 0; size < bytes; n++) {
    const r = numberOf(`line ${n}`);
    const at = new Date(1_780_000_000_000 + n * 7).toISOString();
    const line =
      n % 1000 === 999
        ? `${at} DEBUG connecting with ${hidden(n)}`
        : [
            () =>
              `${at} INFO step ${r % 977} has read ${r % 10_000} rows from s3://bucket/${hexOf(at).slice(0, 12)}/part-${n}.parquet`,
            () =>
              `[${at}] {taskinstance.py:${r % 3000}} INFO - Exporting env vars: AIRFLOW_CTX_DAG_ID=load_${r % 50} AIRFLOW_CTX_TRY_NUMBER=1`,
            () =>
              `{"time":"${at}","level":"info","trace":"${hexOf(at).slice(0, 32)}","msg":"request done","status":200,"ms":${r % 900}}`,
            () => `  File "/usr/lib/python3.12/site-packages/pandas/core/frame.py", line ${r % 4000}, in apply`,
            () => `${'='.repeat(r % 60)}> ${r % 100} %`,
          ][r % 5]!();
    lines.push(line);
    size += line.length + 1;
  }
  return Buffer.from(`${lines.join('\n')}\n`);
}

/** Processor milliseconds for a log. @returns those, and what was sent */
async function pass(log: Buffer, masker: Masker): Promise<{ readonly cpuMs: number; readonly sentBytes: number }> {
  let sentBytes = 0;
  const call = async ({ body }: { body: Buffer }) => {
    sentBytes += body.byteLength;
    return { status: 200 };
  };
  const to = new TryLog({
    client: { call } as never,
    token: { current: '' },
    taskInstanceId: 'bench',
    masker,
    clock: { nowMs: Date.now },
    maxBytes: Number.MAX_SAFE_INTEGER,
    hold: () => undefined,
  });
  const splitter = new LineSplitter(masker, (line) => to.addLine('task.stdout', 'info', line));
  const before = process.cpuUsage();
  for (let at = 0; at < log.byteLength; at += CHUNK_BYTES) splitter.push(log.subarray(at, at + CHUNK_BYTES));
  splitter.end();
  await to.flush();
  const { user, system } = process.cpuUsage(before);
  return { cpuMs: (user + system) / 1000, sentBytes };
}

export type MaskingCost = {
  readonly secrets: number;
  /** Megabytes of output in a second of one core's time, median. */
  readonly plainMbPerSecond: number;
  readonly maskedMbPerSecond: number;
  /** Processor time with secrets over that without, median of neighbours. */
  readonly ratio: number;
};

/** @param rounds pairs for each count of secrets */
export async function measureMasking(secrets: number, rounds: number): Promise<MaskingCost> {
  const masker = someSecrets(secrets);
  const nothing = new Masker(5);
  const log = someLog(LOG_BYTES, (n) => passwordOf(4 * (n % Math.ceil(secrets / 4))));
  const plain: number[] = [];
  const masked: number[] = [];
  const ratios: number[] = [];
  for (let round = -3; round < rounds; round++) {
    const first = await pass(log, round % 2 === 0 ? nothing : masker);
    const second = await pass(log, round % 2 === 0 ? masker : nothing);
    const [without, with_] = round % 2 === 0 ? [first, second] : [second, first];
    if (with_.sentBytes >= without.sentBytes) throw new Error('nothing was masked');
    if (round < 0) continue;
    plain.push(without.cpuMs);
    masked.push(with_.cpuMs);
    ratios.push(with_.cpuMs / without.cpuMs);
  }
  const rate = (times: number[]) => log.byteLength / 1e6 / (quantile(times, 0.5) / 1000);
  return { secrets, plainMbPerSecond: rate(plain), maskedMbPerSecond: rate(masked), ratio: quantile(ratios, 0.5) };
}

export async function maskingLines(quick: boolean): Promise<string[]> {
  const lines = [
    '',
    'masking, in one process, per second of one core',
    '  secrets   without      with   processor time',
  ];
  for (const secrets of [1, 20, 200]) {
    const cost = await measureMasking(secrets, quick ? 30 : 100);
    const mb = (value: number) => `${value.toFixed(0)} MB`.padStart(9);
    lines.push(
      `  ${String(secrets).padStart(7)} ${mb(cost.plainMbPerSecond)} ${mb(cost.maskedMbPerSecond)}   ${((cost.ratio - 1) * 100).toFixed(1).padStart(5)} % more; goal <= 10`,
    );
  }
  return lines;
}
