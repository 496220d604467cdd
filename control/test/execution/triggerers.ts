/** Triggerers, as tests play them. */
import assert from 'node:assert/strict';
import type { TriggerWorkload } from '@airlock/contract/supervisor-api';
import type { Server } from './kit.ts';

export type Triggerer = Awaited<ReturnType<Server['joinWorker']>>;
export const joinTriggerer = (server: Server): Promise<Triggerer> => server.joinWorker(['trigger']);
export const as = (triggerer: Triggerer) => ({ key: triggerer.key, token: triggerer.tokens.trigger! });

/** Asks for work, without a wait. */
export async function sync(server: Server, triggerer: Triggerer, holds: number[] = [], over: object = {}) {
  const answer = await server.call('POST', '/triggers/sync', {
    ...as(triggerer),
    json: { holds, slots: 10, queues: null, wait_seconds: 0, ...over },
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.json<{ run: TriggerWorkload[]; cancel: { id: number; ended: boolean }[] }>();
}
