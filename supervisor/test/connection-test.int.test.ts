// Promise L25, the worker's part: a real hook in a sandboxed Python that has this one connection and sees nothing of ours.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import type { CallOptions } from '../src/client/index.ts';
import { pythonChildren } from '../src/python/host.ts';
import { startConnectionTest } from '../src/task/connection-test.ts';
import { clientOf, replyOf, testRoleContext } from './kit/role-context.ts';

/** One test against a server that gives this connection. @returns what the worker asked of it, in order */
async function run(connection: object, options: { interpreter?: string; timeout?: number } = {}) {
  const calls: Array<Pick<CallOptions, 'method' | 'path' | 'json'>> = [];
  const whole = {
    conn_id: 'probe',
    host: null,
    login: null,
    password: null,
    schema: null,
    port: null,
    extra: null,
    ...connection,
  };
  const env = { AIRLOCK__PYTHON__INTERPRETER: options.interpreter ?? airflowVenv };
  const client = clientOf(async ({ method, path, json }) => {
    calls.push({ method, path, json });
    return method === 'GET' ? replyOf(200, whole) : replyOf(204, null);
  });
  const ctx = await testRoleContext(env, { client });
  const id = '0190f5e3-0000-7000-8000-000000000001';
  const workload = {
    type: 'TestConnection',
    token: 't',
    connection_test_id: id,
    connection_id: 'probe',
    timeout: options.timeout ?? 120,
  } as const;
  await startConnectionTest(ctx, pythonChildren(ctx), workload).done;
  assert.deepEqual(
    calls.map(({ method, path }) => `${method} ${path}`),
    [`GET /connection-tests/${id}/connection`, `PATCH /connection-tests/${id}`],
    'it asks for nothing else',
  );
  return calls[1]!.json;
}
const failed = (result_message: string) => ({ state: 'failed', result_message });

describe('a connection test on a worker', { skip: withoutPython }, () => {
  before(() => ensureVenv(findPython()!));

  test('the hook says how it went, and nothing of the secrets comes back in its words', async () => {
    assert.deepEqual(await run({ conn_type: 'fs', extra: '{"path": "/"}' }), {
      state: 'success',
      result_message: 'Path / is existing.',
    });
    assert.deepEqual(
      await run({ conn_type: 'fs', extra: '{"path": "/not/there/S3CRET"}' }),
      failed('Path *** does not exist.'),
    );
    assert.deepEqual(await run({ conn_type: 'nosuch' }), failed('Unknown hook type "nosuch"'));
  });

  test('it sees no file of ours', async () => {
    const path = fileURLToPath(new URL('../../control/package.json', import.meta.url));
    assert.ok(existsSync(path), 'the control: here it is');
    assert.deepEqual(
      await run({ conn_type: 'fs', extra: JSON.stringify({ path }) }),
      failed('Path *** does not exist.'),
    );
  });
});

test('a time-out and a worker without Python are results, too', { skip: withoutPython }, async () => {
  assert.deepEqual(await run({ conn_type: 'fs' }, { timeout: 0.05 }), failed('Connection test timed out after 0.05s'));
  assert.deepEqual(
    await run({ conn_type: 'fs' }, { interpreter: '/nowhere/python' }),
    failed('This worker has no Python with Airflow to test it with.'),
  );
});
