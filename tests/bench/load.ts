/** A small load generator in a process of its own: `connections` requests at a time over kept connections, for `seconds`. */
import { fork } from 'node:child_process';
import { Client } from 'undici';
import { quantile } from './drive.ts';

export type Target = { readonly url: string; readonly headers: Record<string, string> };
export type Load = {
  /** Shared out among the connections in turn; of one origin. */
  readonly targets: readonly Target[];
  readonly method: string;
  readonly body: string | null;
  readonly connections: number;
  readonly seconds: number;
};
export type LoadResult = {
  readonly perSecond: number;
  readonly statuses: Record<string, number>;
  /** Time of one request, ms. */
  readonly p50: number;
  readonly p95: number;
};

/** Runs the load from a child, so that it has an event loop of its own, as wrk would. */
export function runLoad(load: Load): Promise<LoadResult> {
  const child = fork(import.meta.filename, { execArgv: [], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  return new Promise((resolve, reject) => {
    child.once('message', (result) => resolve(result as LoadResult));
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`the load generator ended with ${code}`)));
    child.send(load);
  });
}

async function generate(load: Load): Promise<LoadResult> {
  const statuses: Record<string, number> = {};
  const untilMs = performance.now() + load.seconds * 1000;
  const count = (key: string) => {
    statuses[key] = (statuses[key] ?? 0) + 1;
  };
  /** One request; the lowest of undici's interfaces, since what the generator costs is taken from the server. */
  const times: number[] = [];
  const once = (client: Client, path: string, headers: Target['headers']) =>
    new Promise<void>((resolve) => {
      const sentMs = performance.now();
      client.dispatch(
        { path, method: load.method as 'GET', headers, body: load.body },
        {
          onRequestStart: () => undefined,
          onResponseStart: (_, statusCode) => count(String(statusCode)),
          onResponseData: () => undefined,
          onResponseEnd: () => {
            times.push(performance.now() - sentMs);
            resolve();
          },
          onResponseError: () => {
            count('error');
            resolve();
          },
        },
      );
    });
  const beganMs = performance.now();
  await Promise.all(
    Array.from({ length: load.connections }, async (_, i) => {
      const { url, headers } = load.targets[i % load.targets.length]!;
      const { origin, pathname, search } = new URL(url);
      const client = new Client(origin);
      while (performance.now() < untilMs) await once(client, pathname + search, headers);
      await client.close();
    }),
  );
  const answered = Object.values(statuses).reduce((total, number) => total + number, 0);
  const perSecond = answered / ((performance.now() - beganMs) / 1000);
  return { perSecond, statuses, p50: quantile(times, 0.5), p95: quantile(times, 0.95) };
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  process.once('message', async (load: Load) => {
    const result = await generate(load);
    process.send!(result, () => process.exit(0));
  });
}
