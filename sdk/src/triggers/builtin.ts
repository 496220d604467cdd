/**
 * The triggers of TypeScript tasks, by the names that `until` writes (src/author/until.ts). Each resolves with the event that
 * its task goes on with, any JSON value, or throws to fail it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { atAsset, atRun, atTasks } from './api.ts';
import { atFile } from './file.ts';
import { LONGEST_MS, poll, type TriggerHost } from './poll.ts';

const MAX_BODY_CHARACTERS = 100_000;
const MAX_BODY_BYTES = 1024 * 1024;
const REQUEST_MS = 30_000;

async function atTime({ at }: { readonly at: string }, { signal }: TriggerHost): Promise<unknown> {
  const atMs = Date.parse(at);
  for (let left = atMs - Date.now(); left > 0; left = atMs - Date.now())
    await delay(Math.min(left, LONGEST_MS), undefined, { signal });
  return { at };
}

type HttpArguments = {
  readonly url: string;
  /** Seconds. */
  readonly every: number;
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly status: number;
  /** Null = any body. */
  readonly contains: string | null;
};

async function atHttp(given: HttpArguments, host: TriggerHost): Promise<unknown> {
  // What is wrong with the request itself never gets better by waiting.
  new Request(given.url, { method: given.method, headers: given.headers });
  return await poll(given.every, host, async (note) => {
    try {
      const answer = await ask(given, AbortSignal.any([host.signal, AbortSignal.timeout(REQUEST_MS)]));
      if (answer.status === given.status && (given.contains === null || answer.body.includes(given.contains)))
        return answer;
      note(`It answered ${answer.status}, and not yet as the task waits for.`);
    } catch (error) {
      host.signal.throwIfAborted();
      note(`It can't be reached: ${(error as Error).message}`);
    }
    return null;
  });
}

async function ask({ url, method, headers }: HttpArguments, signal: AbortSignal) {
  const response = await fetch(url, { method, headers, signal });
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of response.body ?? []) {
    chunks.push(chunk);
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) break;
  }
  return { status: response.status, body: Buffer.concat(chunks).toString('utf8').slice(0, MAX_BODY_CHARACTERS) };
}

type Trigger = (given: never, host: TriggerHost) => Promise<unknown>;
export const TRIGGERS: ReadonlyMap<string, Trigger> = new Map<string, Trigger>([
  ['airlock.until', atTime],
  ['airlock.http', atHttp],
  ['airlock.file', atFile],
  ['airlock.run', atRun],
  ['airlock.tasks', atTasks],
  ['airlock.asset', atAsset],
]);
