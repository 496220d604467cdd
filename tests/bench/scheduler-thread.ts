/** A scheduler in a thread of its own, as a process has it. Says `ready`, ends at any message. */
import { parentPort, workerData } from 'node:worker_threads';
import { startLive } from '../../control/test/kit/live.ts';

const { url, env } = workerData as { url: string; env: Record<string, string> };
const live = await startLive(url, env);
parentPort!.once('message', async () => {
  await live[Symbol.asyncDispose]();
  parentPort!.close();
});
parentPort!.postMessage('ready');
