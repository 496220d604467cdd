/** Triggers in Python, of two teams, in a role with a real interpreter; and a queue that some of them watch. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TriggerWorkload } from '@airlock/contract/supervisor-api';
import { airflowVenv, ensureVenv, findPython } from '../../../tests/kit/airflow-venv.ts';
import { waitFor } from '../../../tests/kit/wait.ts';
import { startRole, workload } from './trigger-role.ts';

const TRIGGERS = readFileSync(join(import.meta.dirname, 'own_triggers.py'), 'utf8');

function bundle(team: string): string {
  const root = mkdtempSync(join(tmpdir(), `airlock-${team}-`));
  chmodSync(root, 0o755);
  mkdirSync(join(root, 'more'));
  writeFileSync(join(root, 'own.py'), TRIGGERS.replace('@TEAM@', team));
  return root;
}

export const roots = { a: bundle('a'), b: bundle('b') };
export const of = (team: 'a' | 'b', id: number, name: string, kwargs: object) =>
  workload(id, `own.${name}`, kwargs, {
    runtime: 'python',
    team,
    bundle_name: `bundle-${team}`,
    bundle_path: roots[team],
  });
export const python = (env: Record<string, string> = {}) => {
  ensureVenv(findPython()!);
  return startRole({
    ...env,
    AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
    AIRLOCK__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD: '3',
  });
};
/** For what has an interpreter to start, ms. */
export const START = 120_000;
/** A queue of messages on the loopback interface, and a trigger of an asset that takes them. */
export async function watched(id: number, name = 'Watches') {
  const waiting: string[] = [];
  const said: string[] = [];
  const server = createServer((request, response) => {
    const word = request.url!.slice(1);
    said.push(word);
    response.end(JSON.stringify(word === '' ? waiting.splice(0) : []));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const url = `http://127.0.0.1:${port}/`;
  /** Another that watches the same queue. */
  const like = (other: number, more: object = {}): TriggerWorkload => ({
    ...of('a', other, name, { queue: url, ...more }),
    ti: null,
    assets: [{ name: `asset-${other}`, uri: 'x://y' }],
  });
  return {
    url,
    said,
    like,
    workload: like(id),
    waiting,
    put: (...lines: string[]) => void waiting.push(...lines),
    taken: () => waitFor('the messages are taken', () => waiting.length === 0, { timeoutMs: START }),
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
