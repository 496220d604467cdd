/** A small load generator in a process of its own: `connections` requests at a time over kept connections, for `seconds`. */
import { fork } from 'node:child_process';
import { Agent, request } from 'node:http';

export type Load = {
  readonly url: string;
  readonly method: string;
  readonly headers: Record<string, string>;
  readonly body: string | null;
  readonly connections: number;
  readonly seconds: number;
};
export type LoadResult = { readonly perSecond: number; readonly statuses: Record<string, number> };

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
  const agent = new Agent({ keepAlive: true, maxSockets: load.connections });
  const statuses: Record<string, number> = {};
  const untilMs = performance.now() + load.seconds * 1000;
  const once = () =>
    new Promise<void>((resolve) => {
      const outgoing = request(load.url, { method: load.method, headers: load.headers, agent }, (answer) => {
        const key = String(answer.statusCode);
        statuses[key] = (statuses[key] ?? 0) + 1;
        answer.resume().on('end', resolve);
      });
      outgoing.on('error', () => {
        statuses.error = (statuses.error ?? 0) + 1;
        resolve();
      });
      outgoing.end(load.body ?? undefined);
    });
  const beganMs = performance.now();
  await Promise.all(
    Array.from({ length: load.connections }, async () => {
      while (performance.now() < untilMs) await once();
    }),
  );
  const answered = Object.values(statuses).reduce((total, count) => total + count, 0);
  agent.destroy();
  return { perSecond: answered / ((performance.now() - beganMs) / 1000), statuses };
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  process.once('message', async (load: Load) => {
    const result = await generate(load);
    process.send!(result, () => process.exit(0));
  });
}
