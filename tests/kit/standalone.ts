/** A whole Airlock as production starts it, in a folder that is thrown away: for system tests, conformance and measurements. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  descendantsOf,
  isSame,
  kill9,
  type Process,
  processesNaming,
  somebodyListens,
  unixSocketsBelow,
} from './processes.ts';
import { tempHome } from './temp-home.ts';
import { waitFor } from './wait.ts';

export const repositoryRoot: string = join(import.meta.dirname, '../..');

export type StandaloneOptions = {
  /** An existing data folder, for a second start; without it a new one, removed at the end. */
  readonly home?: string;
  /** Files copied into the Dag folder before the start, absolute. */
  readonly dagFiles?: readonly string[];
  /** Name → content of further Dag files. */
  readonly dags?: Readonly<Record<string, string | Buffer>>;
  /** Further environment: `AIRLOCK__SECTION__KEY`. */
  readonly env?: Readonly<Record<string, string>>;
  /** Bound of the start, ms. */
  readonly timeoutMs?: number;
  /** Started as this user and group id instead of ours; needs root. */
  readonly runAs?: number;
};
export type Standalone = {
  /** http://127.0.0.1:PORT */
  readonly url: string;
  readonly home: string;
  readonly pid: number;
  /** From the command to the healthy line, ms. */
  readonly startMs: number;
  /** What it wrote so far, both streams. */
  readonly output: () => string;
  /** JSON of a 2xx answer, as the administrator unless another token is given. */
  readonly api: <T>(method: string, path: string, body?: unknown, token?: string) => Promise<T>;
  readonly login: (user: string, password: string) => Promise<string>;
  /** Token of the administrator. */
  readonly token: () => Promise<string>;
  /** SIGTERM, and waits for the end. @returns milliseconds that it took @throws Error when anything of it is left */
  readonly stop: () => Promise<number>;
  /** SIGKILL to the standalone alone, as a crash; waits for its end and for that of all that it started. @throws as stop */
  readonly crash: () => Promise<void>;
} & AsyncDisposable;

export const ADMIN_PASSWORD = 'correct horse battery staple';
const START_MS = 60_000;
const STOP_MS = 15_000;

/** Named one by one: a test must not depend on what the machine happens to have set. */
function environment(home: string, more: StandaloneOptions['env']): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '/usr/bin:/bin',
    HOME: home,
    AIRLOCK_HOME: home,
    AIRLOCK_ADMIN_PASSWORD: ADMIN_PASSWORD,
    AIRLOCK__API__PORT: '0',
    AIRLOCK__CORE__LOAD_EXAMPLES: 'false',
    AIRLOCK__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'false',
    ...more,
  };
}

/**
 * A start that must not succeed. Nothing may be left of it.
 * @returns exit status, what it wrote, and how long that took, ms
 */
export async function refusedStart(options: {
  readonly home: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly runAs?: number;
}): Promise<{
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly tookMs: number;
}> {
  const beganMs = performance.now();
  const child = spawn(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), 'standalone'], {
    env: environment(options.home, options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.runAs === undefined ? {} : { uid: options.runAs, gid: options.runAs }),
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const late = setTimeout(() => child.kill('SIGTERM'), START_MS);
  const status = await new Promise<number | null>((resolve) => child.once('close', resolve));
  clearTimeout(late);
  return { status, stdout, stderr, tookMs: performance.now() - beganMs };
}

/** @throws Error with everything that it wrote, when it does not become healthy */
export async function startStandalone(options: StandaloneOptions = {}): Promise<Standalone> {
  const temporary = options.home === undefined ? tempHome() : null;
  const home = options.home ?? temporary!.path;
  const dags = join(home, 'dags');
  mkdirSync(dags, { recursive: true });
  for (const file of options.dagFiles ?? []) copyFileSync(file, join(dags, basename(file)));
  for (const [name, text] of Object.entries(options.dags ?? {})) writeFileSync(join(dags, name), text);
  if (options.runAs !== undefined) for (const path of [home, dags]) chownSync(path, options.runAs, options.runAs);

  const startedMs = performance.now();
  const env = environment(home, options.env);
  const child = spawn(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), 'standalone'], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.runAs === undefined ? {} : { uid: options.runAs, gid: options.runAs }),
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));

  const healthy = waitFor('standalone is healthy', () => healthyUrl(output), {
    timeoutMs: options.timeoutMs ?? START_MS,
    everyMs: 2,
  });
  healthy.catch(() => undefined); // when the process ends first, nobody waits for this one
  const early = ended.then(() => Promise.reject(new Error('it ended')));
  const found = await Promise.race([healthy, early]).catch(async (error: unknown) => {
    await end(child, ended);
    temporary?.[Symbol.dispose]();
    throw new Error(`standalone did not become healthy; it wrote:\n${output}`, { cause: error });
  });
  early.catch(() => undefined);
  const startMs = performance.now() - startedMs;

  let adminToken: Promise<string> | undefined;
  const request = async <T>(method: string, path: string, body: unknown, token: string | null): Promise<T> => {
    const answer = await fetch(found + path, {
      method,
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (text === '' ? null : JSON.parse(text)) as T;
  };
  const login = async (username: string, password: string) =>
    (await request<{ access_token: string }>('POST', '/auth/token', { username, password }, null)).access_token;
  // Cached only when it came: a test may ask while the database is down.
  const tokenOfAdmin = async () => {
    adminToken ??= login('admin', ADMIN_PASSWORD).catch((error: unknown) => {
      adminToken = undefined;
      throw error;
    });
    return adminToken;
  };
  let gone = false;
  /** Runs `finish`, and then nothing may be left of what ran before. */
  const ending = async (finish: () => Promise<void>) => {
    if (gone) return;
    gone = true;
    const started = descendantsOf(child.pid!);
    await finish();
    try {
      await nothingLeft({ home, url: found, started });
    } finally {
      temporary?.[Symbol.dispose]();
    }
  };
  const stop = async () => {
    const beganMs = performance.now();
    let tookMs = 0;
    await ending(async () => {
      await end(child, ended);
      tookMs = performance.now() - beganMs;
    });
    return tookMs;
  };
  const crash = () =>
    ending(async () => {
      child.kill('SIGKILL');
      await ended;
    });
  return {
    url: found,
    home,
    pid: child.pid!,
    startMs,
    output: () => output,
    login,
    token: tokenOfAdmin,
    api: async (method, path, body, token) => request(method, path, body, token ?? (await tokenOfAdmin())),
    stop,
    crash,
    [Symbol.asyncDispose]: async () => void (await stop()),
  };
}

/** How long what a standalone started may outlive it: it stops by itself when its parent is gone. */
const LEFT_MS = 5000;

/** Waits until nothing of an installation runs or listens any more. @throws Error naming what is left, which is killed then */
async function nothingLeft(what: { home: string; url: string; started: readonly Process[] }): Promise<void> {
  const left = () => {
    const named = processesNaming(what.home);
    const pids = new Set(named.map((one) => one.pid));
    return [...named, ...what.started.filter((one) => !pids.has(one.pid) && isSame(one))];
  };
  const text = (one: Process) => `process ${one.pid} (child of ${one.parent}, state ${one.state}): ${one.command}`;
  await waitFor('no process of it is left', () => left().length === 0, { timeoutMs: LEFT_MS }).catch(() => {
    const found = left();
    for (const { pid } of found) kill9(pid);
    if (found.length > 0) throw new Error(`left after the stop:\n${found.map(text).join('\n')}`);
  });
  if (await somebodyListens(what.url)) throw new Error(`after the stop something listens at ${what.url}`);
  const sockets = unixSocketsBelow(what.home);
  if (sockets.length > 0) throw new Error(`after the stop somebody holds ${sockets.join(', ')}`);
}

/** The address in the healthy line, once it is there. */
function healthyUrl(output: string): string | null {
  const match = /^.*(https?:\/\/[^\s/]+)\/?(?:\s.*)?\n/m.exec(output);
  return match ? match[1]! : null;
}

async function end(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(late);
}

export type Run = { readonly dag_run_id: string; readonly state: string; readonly duration?: number };

/** Triggers a run and waits for its end. @returns the ended run and the seconds from the call to the end, as a client sees them */
export async function runDag(
  airlock: Standalone,
  dagId: string,
  conf: unknown = {},
  timeoutMs = 60_000,
): Promise<{ run: Run; seconds: number }> {
  await waitFor(`Dag ${dagId} is known`, () => airlock.api('GET', `/api/v2/dags/${dagId}`), { timeoutMs: 20_000 });
  const beganMs = performance.now();
  const begun = await airlock.api<Run>('POST', `/api/v2/dags/${dagId}/dagRuns`, { logical_date: null, conf });
  const run = await waitFor(
    `run of ${dagId} has ended`,
    async () => {
      const now = await airlock.api<Run>('GET', `/api/v2/dags/${dagId}/dagRuns/${begun.dag_run_id}`);
      return now.state === 'success' || now.state === 'failed' ? now : null;
    },
    { timeoutMs, everyMs: 5 },
  );
  return { run, seconds: (performance.now() - beganMs) / 1000 };
}
