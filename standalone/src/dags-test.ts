/** `airlock dags test FILE`: a throw-away Airlock with that one file, its Dags run to the end, and everything gone again. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { isAppError } from '@airlock/contract/errors';
import type { Environment } from '@airlock/proc/config-load';
import { FATAL_STATUS } from '@airlock/proc/handover';
import { runAttached } from '@airlock/proc/run-attached';
import { copyDagFile } from './copy-dag-file.ts';
import { ENTRIES } from './entries.ts';
import { runStandalone } from './main.ts';

/** What the command line that follows the runs may see of ours. */
const SHOWN = ['PATH', 'HOME', 'LANG', 'TERM', 'NO_COLOR', 'COLUMNS', 'CI'];

/**
 * @param args the file, then options for the command that runs its Dags.
 * @returns 0 when every run was a success, 1 when one was not, 2 when it could not be tried
 */
export async function runDagsTest(args: readonly string[], env: Environment, nowMs: () => number): Promise<number> {
  const [file, ...options] = args;
  if (file === undefined || file.startsWith('-')) {
    process.stderr.write('usage: airlock dags test FILE [options]\n');
    return FATAL_STATUS;
  }
  const home = mkdtempSync(join(tmpdir(), 'airlock-test-'));
  try {
    chmodSync(home, 0o711);
    return await tryFile(copyDagFile(resolve(file), join(home, 'dags')), options, home, env, nowMs);
  } catch (error) {
    if (!isAppError(error)) throw error;
    process.stderr.write(`${error.code}: ${error.message}\n${error.remedy}\n`);
    return FATAL_STATUS;
  } finally {
    rmSync(home, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  }
}

async function tryFile(
  file: string,
  options: readonly string[],
  home: string,
  env: Environment,
  nowMs: () => number,
): Promise<number> {
  const shown = Object.fromEntries(SHOWN.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
  let status: number | null = null;
  let begun = false;
  const begin = async () => {
    begun = true;
    status = await runAttached(ENTRIES.cli, ['dags', 'run-file', file, ...options], { ...shown, AIRLOCK_HOME: home });
    process.kill(process.pid, 'SIGTERM');
  };
  const ended = await runStandalone({
    // Nothing of the operator's configuration: what a file does must not depend on where it is tried.
    env: {
      ...shown,
      AIRLOCK_HOME: home,
      AIRLOCK__API__PORT: '0',
      AIRLOCK__CORE__LOAD_EXAMPLES: 'false',
      AIRLOCK__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'false',
      AIRLOCK__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT: '20',
    },
    nowMs,
    terminal: false,
    write: (text) => {
      if (!begun && text.startsWith('Airlock is healthy')) void begin();
    },
  });
  return status ?? ended;
}
