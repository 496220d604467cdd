/** The parts of a whole test run, in the order of their certainty and speed: what fails first should be cheap to have run. */
import { globSync } from 'node:fs';
import { availableParallelism } from 'node:os';

export type Part = {
  readonly name: string;
  /** Test files, relative to the root. Empty for a part that is one command. */
  readonly files: (root: string) => string[];
  /** Instead of test files: a command that passes with status 0. */
  readonly command?: readonly string[];
  /** Needs the shared PostgreSQL of the run. */
  readonly postgres: boolean;
  /** Test files at the same time. */
  readonly concurrency: number;
  /** Bound for one test, ms; a test that hangs is a failure, not a stuck run. */
  readonly timeoutMs: number;
};

/** A part that mostly waits, for processes that start and for bounds that pass, keeps the processors busy only with company. */
const CORES = Math.min(Math.max(availableParallelism(), 2), 4);

const SKIPPED = ['node_modules', 'tests/zones/cases', 'tests/conformance/airflow', 'ui/'];

function find(root: string, patterns: readonly string[], except: (path: string) => boolean = () => false): string[] {
  const found = globSync([...patterns], { cwd: root, exclude: (name) => String(name).endsWith('node_modules') });
  return [...new Set(found)]
    .filter((path) => !SKIPPED.some((skipped) => path.includes(skipped)) && !except(path))
    .sort();
}
const isIntegration = (path: string) => path.endsWith('.int.test.ts');
const under = (folder: string) => (root: string) => find(root, [`tests/${folder}/**/*.test.ts`]);
const none = () => [];

export const PARTS: readonly Part[] = [
  { name: 'format', files: none, command: ['biome', 'check', '.'], postgres: false, concurrency: 1, timeoutMs: 0 },
  {
    name: 'types',
    files: none,
    command: ['tsc', '--noEmit', '-p', 'tsconfig.json'],
    postgres: false,
    concurrency: 1,
    timeoutMs: 0,
  },
  {
    name: 'zones',
    files: under('zones'),
    command: ['node', 'tools/zones/check.ts'],
    postgres: false,
    concurrency: 2,
    timeoutMs: 60_000,
  },
  {
    name: 'unit',
    files: (root) => find(root, ['**/*.test.ts'], (path) => isIntegration(path) || /^tests\/(?!compare\/)/.test(path)),
    postgres: false,
    concurrency: 2,
    timeoutMs: 60_000,
  },
  { name: 'documents', files: under('docs'), postgres: false, concurrency: 2, timeoutMs: 60_000 },
  {
    name: 'integration',
    files: (root) => find(root, ['*/test/**/*.int.test.ts', '*/src/**/*.int.test.ts']),
    postgres: true,
    concurrency: CORES + 1,
    timeoutMs: 120_000,
  },
  { name: 'system', files: under('system'), postgres: true, concurrency: CORES, timeoutMs: 300_000 },
  { name: 'fault', files: under('fault'), postgres: true, concurrency: 1, timeoutMs: 900_000 },
  { name: 'conformance', files: under('conformance'), postgres: true, concurrency: 1, timeoutMs: 1_500_000 },
];
