/**
 * `npm test`: everything, in the order of parts.ts, with what each part and its slowest files took. `npm run test:one -- PATTERN`:
 * the tests whose file or name matches. `--part NAME` (repeatable) chooses parts, `--without NAME` leaves some out. `--soak` runs
 * long ones whole (tests read AIRLOCK_SOAK; otherwise they do a tenth). SEED=N repeats a run's random choices. Exit status 1 when
 * anything failed.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { delimiter, join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { PARTS, type Part } from './parts.ts';
import { COUNTS_MARK, type Counts, noCounts } from './reporter.ts';

const root = join(import.meta.dirname, '../..');
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    only: { type: 'string' },
    part: { type: 'string', multiple: true },
    without: { type: 'string', multiple: true, default: [] },
    soak: { type: 'boolean', default: false },
  },
});
const only = values.only ?? positionals[0];
for (const name of [...(values.part ?? []), ...values.without]) {
  if (!PARTS.some((part) => part.name === name)) {
    console.error(`no part ${name}; there are ${PARTS.map((part) => part.name).join(', ')}`);
    process.exit(2);
  }
}
const seed = Number(process.env.SEED ?? randomInt(1_000_000));
const environment: NodeJS.ProcessEnv = {
  ...process.env,
  PATH: `${join(root, 'node_modules/.bin')}${delimiter}${process.env.PATH}`,
  SEED: String(seed),
  NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(root, '.cache/compile'),
  ...(values.soak ? { AIRLOCK_SOAK: '1' } : {}),
};

let running: ChildProcess | null = null;
let stopPostgres: (() => Promise<void>) | undefined;
// An interrupted run leaves neither tests nor its PostgreSQL behind.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    running?.kill('SIGTERM');
    void Promise.resolve(stopPostgres?.()).finally(() => process.exit(130));
  });
}

/** Runs a command in the repository; its output is shown, but for the line of counts. */
function runCommand(command: readonly string[]): Promise<{ status: number; counts: Counts | null }> {
  const child = spawn(command[0]!, command.slice(1), {
    cwd: root,
    env: environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  running = child;
  let counts: Counts | null = null;
  let rest = '';
  const take = (line: string) => {
    if (line.startsWith(COUNTS_MARK)) counts = JSON.parse(line.slice(COUNTS_MARK.length)) as Counts;
    else if (line !== '') console.log(line);
  };
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop()!;
    for (const line of lines) take(line);
  });
  return new Promise((resolve) => {
    child.on('error', (error) => {
      console.log(`  ${command[0]}: ${error.message}`);
      resolve({ status: 127, counts });
    });
    child.on('close', (code) => {
      take(rest);
      resolve({ status: code ?? 1, counts });
    });
  });
}

/** Files of a part that the pattern asks for: by path, or by a test's name inside. */
function chosenFiles(part: Part): string[] {
  const files = part.files(root);
  if (only === undefined) return files;
  const byPath = files.filter((path) => path.includes(only));
  return byPath.length > 0 ? byPath : files.filter((path) => readFileSync(join(root, path), 'utf8').includes(only));
}

/** How many of the slowest files of a part are named, and from how many seconds on: where the next minute can be saved. */
const SLOWEST = 10;
const SLOW_SECONDS = 5;

const total = noCounts();
async function runPart(part: Part): Promise<void> {
  const files = chosenFiles(part);
  const command = only === undefined ? part.command : undefined;
  if (files.length === 0 && command === undefined) return;
  const startedMs = performance.now();
  const counts = noCounts();
  if (command) {
    const { status } = await runCommand(command);
    if (status === 0) counts.passed++;
    else {
      counts.failed++;
      console.log(`  FAILED ${command.join(' ')} (status ${status})`);
    }
  }
  if (files.length > 0) {
    const byName = only !== undefined && !files.some((path) => path.includes(only));
    const { status, counts: found } = await runCommand([
      'node',
      '--disable-warning=ExperimentalWarning',
      '--test',
      `--test-concurrency=${part.concurrency}`,
      `--test-timeout=${part.timeoutMs}`,
      `--test-reporter=${join(root, 'tools/test/reporter.ts')}`,
      '--test-reporter-destination=stdout',
      ...(byName ? [`--test-name-pattern=${only}`] : []),
      ...files,
    ]);
    if (found) {
      counts.passed += found.passed;
      counts.failed += found.failed;
      counts.skipped += found.skipped;
      counts.skippedBecause.push(...found.skippedBecause);
      counts.files.push(...found.files);
    }
    if (status !== 0 && (found === null || found.failed === 0)) {
      counts.failed++;
      console.log(`  FAILED the test process of part ${part.name} ended with status ${status}`);
    }
  }
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : '';
  console.log(
    `${part.name.padEnd(12)} ${seconds.padStart(6)} s  ${counts.passed} passed, ${counts.failed} failed${skipped}`,
  );
  const slow = counts.files.filter((one) => one.seconds >= SLOW_SECONDS).sort((a, b) => b.seconds - a.seconds);
  if (slow.length > 0) {
    const named = slow.slice(0, SLOWEST).map((one) => `${relative(root, one.file)} ${one.seconds.toFixed(1)}`);
    console.log(`  slowest, s: ${named.join(', ')}`);
  }
  for (const reason of new Set(counts.skippedBecause)) console.log(`  skipped: ${reason}`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}

const chosen = PARTS.filter(
  (part) => (values.part?.includes(part.name) ?? true) && !values.without.includes(part.name),
);
console.log(`seed ${seed}; repeat with SEED=${seed}${values.soak ? '; long runs whole' : ''}`);
try {
  for (const part of chosen) {
    if (
      part.postgres &&
      stopPostgres === undefined &&
      environment.AIRLOCK_TEST_PG === undefined &&
      chosenFiles(part).length > 0
    ) {
      // One server for the whole run: each test clones a template database of it, which takes milliseconds.
      const { startTestCluster } = await import('../../tests/kit/cluster.ts');
      const cluster = await startTestCluster();
      environment.AIRLOCK_TEST_PG = cluster.url;
      stopPostgres = cluster.stop;
    }
    await runPart(part);
  }
} finally {
  await stopPostgres?.();
}
if (total.passed + total.failed + total.skipped === 0) {
  console.log(`nothing matches ${only ?? 'the chosen parts'}`);
  process.exitCode = 1;
} else process.exitCode = total.failed === 0 ? 0 : 1;
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
