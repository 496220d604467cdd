// What `[execution_api] token_binding` decides: which tokens of tries work without a proof of possession.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkTokenBinding } from '@airlock/contract/config/binding';
import { type Server, startExecutionApi } from './kit.ts';

const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const setting = (value: string, queues = '') => ({
  AIRLOCK__EXECUTION_API__TOKEN_BINDING: value,
  AIRLOCK__WORKERS__COMMAND_QUEUES: queues,
});
const TYPESCRIPT = {};
const PLAIN = { queue: 'plain', runtime: 'python', needs: null };

/** The workload token that a worker is given for such a task, and what `/run` answers to it as a bearer and with a proof. */
async function given(server: Server, task: object) {
  const ti = await server.seedTask(await server.seedRun(), task);
  const worker = await server.joinWorker();
  const [workload] = await server.claim(worker);
  const { token } = workload!;
  const run = (key?: typeof worker.key) =>
    server.call('PATCH', `/task-instances/${ti.id}/run`, { token, key, json: server.runBody() });
  const bearer = await run();
  const proven = await run(worker.key);
  return { bound: claimsOf(token).cnf !== undefined, bearer: bearer.status, proven: proven.status, id: ti.id };
}

for (const [value, queues, task, expected] of [
  ['preferred', 'plain', TYPESCRIPT, { bound: true, bearer: 403, proven: 200 }],
  ['preferred', 'plain', PLAIN, { bound: false, bearer: 200, proven: 403 }],
  ['preferred', 'another', PLAIN, { bound: true, bearer: 403, proven: 200 }],
  ['required', '', TYPESCRIPT, { bound: true, bearer: 403, proven: 200 }],
  ['required', '', PLAIN, { bound: true, bearer: 403, proven: 200 }],
  ['off', '', TYPESCRIPT, { bound: false, bearer: 200, proven: 403 }],
] as const) {
  const what = task === PLAIN ? 'a Python task of the queue plain' : 'a TypeScript task';
  test(`${value}, with command_queues "${queues}": the token of ${what} is ${expected.bound ? 'bound' : 'a plain bearer'}`, async () => {
    await using server = await startExecutionApi(setting(value, queues));
    const { bound, bearer, proven } = await given(server, task);
    assert.deepEqual({ bound, bearer, proven }, expected);
  });
}

test('required refuses a token without a binding also when we have made it ourselves; preferred takes the same', async () => {
  for (const [value, status] of [
    ['required', 403],
    ['preferred', 409],
  ] as const) {
    await using server = await startExecutionApi(setting(value));
    const { id } = await given(server, PLAIN);
    const token = await server.minter.mint('workload', { sub: id, jti: 'a'.repeat(32), ttlSeconds: 60 });
    const answer = await server.call('PATCH', `/task-instances/${id}/run`, { token, json: server.runBody() });
    assert.equal(answer.status, status, value);
  }
});

test('off leaves the tokens of supervisors bound', async () => {
  await using server = await startExecutionApi(setting('off'));
  const worker = await server.joinWorker();
  const token = worker.tokens.worker!;
  const json = { slots: 1, queues: ['*'], wait_seconds: 0 };
  assert.equal((await server.call('POST', '/workloads/claim', { token, json })).status, 403);
  assert.equal((await server.call('POST', '/workloads/claim', { token, json, key: worker.key })).status, 200);
});

test('required together with command_queues is refused, each of them alone is not', async () => {
  await using server = await startExecutionApi();
  const check = (binding: 'required' | 'preferred' | 'off', queues: string[]) =>
    checkTokenBinding({
      ...server.config,
      execution_api: { ...server.config.execution_api, token_binding: binding },
      workers: { ...server.config.workers, command_queues: queues },
    });
  assert.throws(() => check('required', ['plain']), { code: 'CONFIG_INVALID' });
  assert.throws(() => check('required', ['*']), { code: 'CONFIG_INVALID' });
  check('required', []);
  check('preferred', ['plain']);
  check('off', ['plain']);
});
