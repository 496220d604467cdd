/** A worker role of this test process, joined to a fake server. */
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@airlock/contract/clock';
import { type Config, resolveConfig } from '@airlock/contract/config/index';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import { detectTier } from '@airlock/proc/sandbox/index';
import { pino } from 'pino';
import { childEntries } from '../../src/child-entries.ts';
import { createExecutionClient } from '../../src/client/index.ts';
import { startTaskRole, type TaskRole } from '../../src/task/index.ts';
import { type FakeServer, startFakeServer } from './fake-server.ts';

const folder = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url)).replace(/\/$/, '');

export type TestWorker = AsyncDisposable & {
  readonly server: FakeServer;
  readonly role: TaskRole;
  readonly tier: string;
  /** Runs one task whose `run` has this text as body, and waits for its end. */
  runTask(body: string, options?: Partial<Parameters<FakeServer['add']>[0]> & { needs?: string }): Promise<Outcome>;
  /** Adds one without waiting. @returns its id */
  addTask(body: string, options?: Partial<Parameters<FakeServer['add']>[0]> & { needs?: string }): string;
  outcome(id: string, timeoutMs?: number): Promise<Outcome>;
};
export type Outcome = { readonly id: string; readonly state: string; readonly log: string };

/** A module with one task `t`; `body` may use `input` and `{ needs, log, signal, workDir }` of its context. */
export function moduleOf(body: string, needs = '{}'): string {
  return `import { dag, connection, variable, Skip, Fail } from '@airlock/sdk';
import * as fs from 'node:fs'; import * as cp from 'node:child_process';
void connection; void variable; void Skip; void Fail; void fs; void cp;
export default dag('d', { schedule: null, startDate: '2026-01-01' }, (d) => {
  d.task('t', { needs: ${needs}, run: async (input, context) => { ${body} } })();
});`;
}

export function testConfig(env: Record<string, string> = {}): Config {
  return resolveConfig({ env, ini: {}, expand: (text: string) => text, command: () => '' } as never);
}

/** @param wanted a tier; default the strongest of this host */
export async function startTestWorker(env: Record<string, string> = {}, wanted?: SandboxTier): Promise<TestWorker> {
  const config = testConfig(env);
  const server = await startFakeServer();
  const log = pino({ level: process.env.TEST_LOG ?? 'silent' });
  const client = createExecutionClient({
    baseUrl: server.url,
    log,
    retry: { attempts: 5, waitMinMs: 10, waitMaxMs: 50 },
  });
  const tier = wanted ?? detectTier();
  const joined = await client.register({
    ticket: 'x'.repeat(43),
    hostname: 'h',
    unixname: 'u',
    pid: process.pid,
    roles: ['worker'],
    sandbox_tier: tier,
    version: '0',
  });
  const role = startTaskRole({
    client,
    supervisorId: joined.supervisorId,
    token: joined.tokens.worker!,
    config,
    clock: systemClock,
    log,
    tier,
    hostname: 'h',
    unixname: 'u',
    packages: [folder('sdk'), folder('contract')],
    workBase: tmpdir(),
    hidden: [],
    executionUrl: server.url,
    environment: { PATH: process.env.PATH, ...env },
    entries: await childEntries(log),
  });
  const outcome = async (id: string, timeoutMs?: number): Promise<Outcome> => ({
    id,
    state: await server.finished(id, timeoutMs),
    log: server
      .logLines(id)
      .map((line) => `[${line.logger} ${line.level}] ${line.event}`)
      .join('\n'),
  });
  const addTask: TestWorker['addTask'] = (body, { needs, ...options } = {}) => {
    const id = randomUUID();
    server.add({ id, taskId: 't', module: moduleOf(body, needs), ...options });
    return id;
  };
  return {
    server,
    role,
    tier,
    addTask,
    outcome,
    runTask: (body, options) => outcome(addTask(body, options)),
    async [Symbol.asyncDispose]() {
      await role.stop();
      await client.close();
      await server.close();
    },
  };
}
