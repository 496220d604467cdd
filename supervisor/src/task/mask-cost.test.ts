/** What masking costs the log of a try, beside the same log without it, in one run. @see promise L21 */
import { ok } from 'node:assert/strict';
import { test } from 'node:test';
import { LineSplitter } from './lines.ts';
import { Masker } from './mask.ts';
import { TryLog } from './try-log.ts';

const LINES = 20_000;
const chunk = Buffer.from(
  `${Array.from({ length: 200 }, (_, n) => `2026-06-01 00:00:00,000 INFO step ${n} of the load has read 1,234 rows from s3://bucket/part-${n}.parquet`).join('\n')}\n`,
);

/** Milliseconds for these lines from a stream to the batch that is sent. */
async function run(masker: Masker): Promise<number> {
  let sent = 0;
  const log = new TryLog({
    client: {
      call: async ({ body }: { body: Buffer }) => {
        sent += body.byteLength;
        return { status: 200 };
      },
    } as never,
    token: { current: '' },
    taskInstanceId: 'x',
    masker,
    clock: { nowMs: () => 0 },
    maxBytes: 1e9,
    hold: () => undefined,
  });
  const splitter = new LineSplitter(masker, (line) => log.add('task.stdout', 'info', line));
  const sinceMs = performance.now();
  for (let n = 0; n < LINES / 200; n++) splitter.push(chunk);
  splitter.end();
  await log.flush();
  const ms = performance.now() - sinceMs;
  ok(sent > LINES * 100);
  return ms;
}

test('the log of a try with a connection and a token to hide takes as long as one with nothing to hide, within a bound', async (t) => {
  const busy = () => {
    const masker = new Masker(5);
    masker.addConnection({ password: 'correct-horse-battery', extra: '{"key": "AKIA0123456789"}' });
    masker.add('x'.repeat(43));
    return masker;
  };
  await run(busy());
  await run(new Masker(5));
  const ratios: number[] = [];
  for (let round = 0; round < 9; round++) ratios.push((await run(busy())) / (await run(new Masker(5))));
  const median = ratios.sort((a, b) => a - b)[4]!;
  t.diagnostic(`L21: masking makes a log of ${LINES} lines ${((median - 1) * 100).toFixed(0)} % slower (median of 9)`);
  ok(median < 3, String(median));
});
