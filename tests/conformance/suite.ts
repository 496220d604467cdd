/** Runs the suite of real Airflow clients against a throw-away standalone, and says which of its tests pass. */
import { spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { airflowVenv, ensureVenv } from '../kit/airflow-venv.ts';
import { ADMIN_PASSWORD, repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

export const suiteFolder: string = join(import.meta.dirname, 'airflow');
const passingFile = join(import.meta.dirname, 'passing.txt');
/** Of the suite's further users; at least twelve characters, as the server asks. */
const USER_PASSWORD = 'judges need passwords too';
/** The suite asks for 60 s, so that its test of the refresh runs. */
const EXECUTION_TOKEN_SECONDS = '60';

/** Ids of the tests that must pass. The list may only grow. */
export function readPassing(): string[] {
  return readFileSync(passingFile, 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
}

export type SuiteResult = {
  /** `test_auth.py::test_login` → how it ended. */
  readonly outcomes: ReadonlyMap<string, 'passed' | 'failed' | 'skipped'>;
  readonly exitCode: number;
};

/** @param selection arguments of pytest: ids, files, `-k …`; empty = everything. @param show gets its output as it comes */
export async function runSuite(
  python: string,
  selection: readonly string[],
  show: (text: string) => void,
): Promise<SuiteResult> {
  const work = mkdtempSync(join(tmpdir(), 'airlock-conformance-'));
  chmodSync(work, 0o777); // captured workloads are written by workers with user ids of their own
  const capture = join(work, 'capture');
  mkdirSync(capture);
  chmodSync(capture, 0o777);
  ensureVenv(python);
  const dags = readdirSync(join(suiteFolder, 'dags')).filter((name) => name.endsWith('.py'));
  const airlock = await startStandalone({
    dagFiles: dags.map((name) => join(suiteFolder, 'dags', name)),
    env: {
      AIRLOCK__EXECUTION_API__JWT_EXPIRATION_TIME: EXECUTION_TOKEN_SECONDS,
      AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
      AIRLOCK__WORKERS__COMMAND: `${join(airflowVenv, 'bin/python')} ${join(suiteFolder, 'capture_worker.py')}`,
      AIRLOCK__WORKERS__COMMAND_QUEUES: 'conf_capture',
      AIRLOCK__WORKERS__COMMAND_ENV: 'CAPTURE_DIR',
      CAPTURE_DIR: capture,
    },
  });
  try {
    for (const role of ['viewer', 'user', 'op']) createUser(airlock.home, role);
    await waitForFiles(airlock, dags);
    const report = join(work, 'report.xml');
    const exitCode = await run(join(suiteFolder, 'run.sh'), [airlock.url, '-q', ...selection], show, {
      PATH: process.env.PATH ?? '',
      HOME: work,
      ...(process.env.PIP_INDEX_URL ? { PIP_INDEX_URL: process.env.PIP_INDEX_URL } : {}),
      PYTHON: python,
      CONFORMANCE_VENV: airflowVenv,
      CONFORMANCE_REPORT: report,
      ...(process.env.WAIT_SCALE ? { WAIT_SCALE: process.env.WAIT_SCALE } : {}),
      PEER_NAME: 'airlock',
      CAPTURE_DIR: capture,
      AIRFLOW_PASSWORD: ADMIN_PASSWORD,
      AIRFLOW_VIEWER_PASSWORD: USER_PASSWORD,
      AIRFLOW_USER_PASSWORD: USER_PASSWORD,
      AIRFLOW_OP_PASSWORD: USER_PASSWORD,
    });
    return { outcomes: readReport(readFileSync(report, 'utf8')), exitCode };
  } finally {
    await airlock.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

/** The suite starts runs at once, so every file has been read before: its Dags, or why there are none, are known. */
async function waitForFiles(airlock: Standalone, files: readonly string[]): Promise<void> {
  await waitFor(
    'all Dag files of the suite are read',
    async () => {
      const { dags } = await airlock.api<{ dags: ReadonlyArray<{ relative_fileloc: string }> }>(
        'GET',
        '/api/v2/dags?limit=100',
      );
      const { import_errors: errors } = await airlock.api<{ import_errors: ReadonlyArray<{ filename: string }> }>(
        'GET',
        '/api/v2/importErrors?limit=100',
      );
      const read = new Set([...dags.map((dag) => dag.relative_fileloc), ...errors.map((error) => error.filename)]);
      return files.every((file) => read.has(file));
    },
    { timeoutMs: 300_000 },
  );
}

function createUser(home: string, role: string): void {
  const result = spawnSync(
    process.execPath,
    [join(repositoryRoot, 'cli/bin/airlock'), 'users', 'create', role, '--role', role, '--password-stdin'],
    {
      input: `${USER_PASSWORD}\n`,
      encoding: 'utf8',
      env: { PATH: process.env.PATH ?? '', AIRLOCK_HOME: home },
    },
  );
  if (result.status !== 0) throw new Error(`airlock users create ${role}: ${result.stderr}`);
}

function run(
  program: string,
  args: readonly string[],
  show: (text: string) => void,
  env: Record<string, string>,
): Promise<number> {
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', show);
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve(code ?? 1));
  });
}

const unescapeXml = (text: string): string =>
  text.replace(/&(?:#(\d+)|#x([\da-f]+)|(\w+));/gi, (_all, decimal?: string, hex?: string, name?: string) =>
    decimal
      ? String.fromCodePoint(Number(decimal))
      : hex
        ? String.fromCodePoint(Number.parseInt(hex, 16))
        : ({ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }[name!] ?? ''),
  );

/** The JUnit report of pytest; its test cases are flat. */
export function readReport(xml: string): Map<string, 'passed' | 'failed' | 'skipped'> {
  const outcomes = new Map<string, 'passed' | 'failed' | 'skipped'>();
  for (const match of xml.matchAll(/<testcase ([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)) {
    const attribute = (name: string) => unescapeXml(new RegExp(`(?:^| )${name}="([^"]*)"`).exec(match[1]!)?.[1] ?? '');
    const [file, ...classes] = attribute('classname').split('.');
    const id = [`${file}.py`, ...classes, attribute('name')].join('::');
    const inside = match[3] ?? '';
    const outcome = /<(?:failure|error)[ >]/.test(inside)
      ? 'failed'
      : inside.includes('<skipped')
        ? 'skipped'
        : 'passed';
    outcomes.set(id, outcome);
  }
  return outcomes;
}
