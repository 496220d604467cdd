/** What a trigger asks of the Execution API: passed on by its supervisor, in whose name the server decides. */
import type { Answer } from '@airlock/contract/ipc/runner';
import type { CallAnswer } from '@airlock/contract/ipc/trigger';
import type { ExecutionClient } from '../client/index.ts';
import { learnSecrets } from '../python/relay.ts';
import type { RoleContext } from '../role-context.ts';
import type { Masker } from '../task/mask.ts';
import type { TriggerFrame } from './hosts.ts';

/** Requests of one trigger that are under way at once. */
const MAX_CALLS = 16;
const ANSWER_HEADERS = ['airflow-api-version', 'content-type', 'content-range', 'retry-after'];

export type CallFrame = Extract<TriggerFrame, { type: 'trigger_call' }>;

export type CallsOptions = {
  readonly ctx: Pick<RoleContext, 'token'>;
  readonly client: Pick<ExecutionClient, 'call'>;
  /** From a path as it was asked to the one that is passed on; null = refused. */
  readonly pathFor: (path: string) => string | null;
  readonly masker: Masker;
  /** The trigger is no longer ours. */
  readonly signal: AbortSignal;
  readonly send: (answer: Answer) => void;
};

export type Calls = {
  /** Answers a request of the child. Never rejects. */
  serve(frame: CallFrame): Promise<void>;
  /** Does something for the child and answers with what came of it, within the same bound. Never rejects. */
  answer(id: number, work: () => Promise<unknown>): Promise<void>;
};

/** A refusal that the child is told in these words; anything else is "The server could not be reached". */
export class CallRefused extends Error {}

export function createCalls(options: CallsOptions): Calls {
  const { ctx, client, pathFor, masker, signal, send } = options;
  let calls = 0;
  const refuse = (id: number, message: string) =>
    send({ type: 'answer', id, error: { status: null, code: 'API_UNREACHABLE', message } });
  const answer: Calls['answer'] = async (id, work) => {
    if (calls >= MAX_CALLS) return refuse(id, `more than ${MAX_CALLS} requests of one trigger at once`);
    calls++;
    try {
      send({ type: 'answer', id, value: await work() });
    } catch (error) {
      refuse(id, error instanceof CallRefused ? error.message : 'The server could not be reached.');
    } finally {
      calls--;
    }
  };
  const call = async (frame: CallFrame): Promise<CallAnswer> => {
    const path = pathFor(`/execution${frame.path}`);
    if (path === null) return { status: 404, headers: {}, body: '{"detail":"Not Found"}' };
    const reply = await client.call({
      token: ctx.token,
      method: frame.method,
      path,
      headers: pick(frame.headers, ['airflow-api-version']),
      ...(frame.body === null ? {} : { body: frame.body, contentType: 'application/json' }),
      signal,
    });
    if (reply.status === 200 && frame.method === 'GET') learnSecrets(masker, path, reply);
    return { status: reply.status, headers: pick(reply.headers, ANSWER_HEADERS), body: reply.text() };
  };
  return { answer, serve: (frame) => answer(frame.id, () => call(frame)) };
}

function pick(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  names: readonly string[],
): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === 'string') picked[name] = value;
  }
  return picked;
}
