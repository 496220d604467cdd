/**
 * A test of one connection: a sandboxed Python of its own is given that connection and nothing else, and says whether its hook
 * could use it. It has no token and no other secret, and its answer is a word and a text. @see promise L25
 */
import { fileURLToPath } from 'node:url';
import { isAppError } from '@airlock/contract/errors';
import { testedConnection } from '@airlock/contract/ipc/runner';
import type { TestConnectionWorkload } from '@airlock/contract/supervisor-api';
import { launchSandboxed, type SandboxSpec } from '@airlock/proc/sandbox/index';
import { followChild } from '../follow-child.ts';
import type { PythonChildren } from '../python/host.ts';
import type { RoleContext } from '../role-context.ts';
import { newMasker } from './mask.ts';
import type { RunningTry } from './try.ts';

const SCRIPT = fileURLToPath(new URL('../../../sdk/python/airlock_test_connection.py', import.meta.url));
const MAX_MESSAGE = 2000;

type Result = { readonly state: 'success' | 'failed'; readonly result_message: string };
type Connection = ReturnType<typeof testedConnection.parse>;

const failed = (result_message: string): Result => ({ state: 'failed', result_message });

/** Runs one child to its answer. Never throws. @param limitMs from its start */
export async function runConnectionTest(
  spec: SandboxSpec,
  connection: Connection,
  options: { readonly limitMs: number; readonly signal: AbortSignal },
): Promise<Result> {
  const child = launchSandboxed(spec);
  // What a hook prints may hold the secret: it is read, so that nothing blocks, and goes nowhere.
  child.stdout.resume();
  child.stderr.resume();
  const { limitMs, signal } = options;
  try {
    const { answer, late, broken } = await followChild<Result>(child, {
      order: { type: 'test_connection', connection },
      onFrame(frame, answered) {
        if (frame.type !== 'connection_tested') return;
        answered({ state: frame.status ? 'success' : 'failed', result_message: frame.message });
      },
      workMs: limitMs,
      signal,
    });
    if (answer) return answer;
    if (late) return failed(`Connection test timed out after ${limitMs / 1000}s`);
    return failed(`Connection test failed unexpectedly: ${broken === null ? 'its process ended' : 'a broken answer'}`);
  } catch (error) {
    if (signal.aborted) return failed('The worker was stopped.');
    throw error;
  }
}

export function startConnectionTest(
  ctx: RoleContext,
  children: PythonChildren,
  workload: TestConnectionWorkload,
): RunningTry {
  const { connection_test_id: id, timeout } = workload;
  const abort = new AbortController();
  const token = { current: workload.token };
  const log = ctx.log.child({ connection_test: id });
  const run = async (): Promise<void> => {
    const path = `/connection-tests/${id}`;
    const answer = await ctx.client.call({ token, method: 'GET', path: `${path}/connection`, signal: abort.signal });
    if (answer.status !== 200) {
      log.warn({ status: answer.status }, 'the server does not give the connection to test');
      return;
    }
    const connection = testedConnection.parse(answer.json());
    let result: Result;
    try {
      const spec = children.spec({ bundle: null, network: 'host', script: SCRIPT });
      result = await runConnectionTest(spec, connection, { limitMs: timeout * 1000, signal: abort.signal });
    } catch (error) {
      if (!isAppError(error, 'PYTHON_UNAVAILABLE')) throw error;
      result = failed('This worker has no Python with Airflow to test it with.');
    }
    const masker = newMasker(ctx.config);
    masker.addConnection(connection);
    const result_message = masker.mask(result.result_message).slice(0, MAX_MESSAGE);
    const told = await ctx.client.call({ token, method: 'PATCH', path, json: { ...result, result_message } });
    if (told.status !== 204)
      log.warn({ status: told.status }, 'the server does not take the result of a connection test');
  };
  return {
    done: run().catch((error: unknown) => log.warn({ err: error }, 'a connection test was not carried out')),
    stop: () => abort.abort(),
  };
}
