/** The real Airflow, in a virtual environment that is made once for a clone and shared by every test that needs it. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { repositoryRoot } from './standalone.ts';

export const airflowVenv: string = process.env.CONFORMANCE_VENV ?? join(repositoryRoot, '.cache/venv-conformance');

/** The interpreter that the environment is made with, or null. `PYTHON` names another. */
export function findPython(): string | null {
  // The system's own first: one in somebody's home is out of reach for the user ids that tasks get when started as root.
  for (const name of [process.env.PYTHON, '/usr/bin/python3.11', 'python3.11']) {
    const check = 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 11))';
    if (name && spawnSync(name, ['-c', check]).status === 0) return name;
  }
  return null;
}

/** Makes the environment when it is missing, which takes a minute. @throws Error with what pip said */
export function ensureVenv(python: string): void {
  const made = spawnSync(join(repositoryRoot, 'tests/conformance/airflow/venv.sh'), [airflowVenv], {
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH ?? '',
      HOME: process.env.HOME ?? '/',
      PYTHON: python,
      ...(process.env.PIP_INDEX_URL ? { PIP_INDEX_URL: process.env.PIP_INDEX_URL } : {}),
    },
  });
  if (made.status !== 0) throw new Error(`no virtual environment with Airflow: ${made.stderr}`);
}

/** For `skip`: why tests with a real Airflow can't run here, or false. */
export const withoutPython: string | false = findPython() === null ? 'needs python3.11' : false;
