// A workload token that an Airflow's own scheduler made: it takes one queued try that nobody holds, and is then as any other.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes, randomUUID, sign } from 'node:crypto';
import test from 'node:test';
import { checkTokenBinding } from '@airlock/contract/config/binding';
import { sql } from '@airlock/store';
import { readKeySet } from '@airlock/token-verify';
import { type Server, startExecutionApi } from './kit.ts';

const scheduler = generateKeyPairSync('ed25519');
const { x } = scheduler.publicKey.export({ format: 'jwk' });
const trusted = readKeySet(
  { keys: [{ kty: 'OKP', crv: 'Ed25519', x, kid: 'elsewhere', alg: 'EdDSA', use: 'sig' }] },
  'RS256',
);
const on = { AIRLOCK__EXECUTION_API__AIRFLOW_WORKLOAD_TOKENS: 'True' };
const start = (env: Record<string, string> = on) => startExecutionApi(env, { trusted });

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
function madeElsewhere(server: Server, sub: string): string {
  const now = Math.floor(server.nowMs() / 1000);
  const claims = { sub, scope: 'workload', jti: randomBytes(16).toString('hex'), nbf: now, exp: now + 600, iat: now };
  const input = `${part({ alg: 'EdDSA', kid: 'elsewhere', typ: 'JWT' })}.${part({ ...claims, aud: 'urn:airflow.apache.org:task' })}`;
  return `${input}.${sign(null, Buffer.from(input), scheduler.privateKey).toString('base64url')}`;
}
const queue = async (server: Server) =>
  (await server.seedTask(await server.seedRun(), { runtime: 'python', needs: null })).id;
const run = (server: Server, id: string, token: string, over: object = {}) =>
  server.call('PATCH', `/task-instances/${id}/run`, { token, json: server.runBody(over) });
const stateOf = async (server: Server, id: string) =>
  (await server.one<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${id}`)).state;

test('it starts a queued try, buys a token of ours, and that token reports the end', async () => {
  await using server = await start();
  const id = await queue(server);
  const token = madeElsewhere(server, id);
  const answer = await run(server, id, token);
  assert.equal(answer.status, 200, answer.text);
  const bought = answer.headers.get('refreshed-api-token')!;
  const state = (by: string) =>
    server.call('PATCH', `/task-instances/${id}/state`, {
      token: by,
      json: { state: 'success', end_date: new Date(server.nowMs()).toISOString() },
    });
  assert.equal((await state(token)).status, 403);
  assert.equal((await state(bought)).status, 204);
  assert.equal(await stateOf(server, id), 'success');
});

test('without the option it starts nothing', async () => {
  await using server = await start({});
  const id = await queue(server);
  assert.equal((await run(server, id, madeElsewhere(server, id))).status, 403);
  assert.equal(await stateOf(server, id), 'queued');
});

test('required binding refuses it, and the options say so before anything starts', async () => {
  await using server = await start({ ...on, AIRLOCK__EXECUTION_API__TOKEN_BINDING: 'required' });
  const id = await queue(server);
  assert.equal((await run(server, id, madeElsewhere(server, id))).status, 403);
  const check = (binding: 'required' | 'preferred', url: string | null) =>
    checkTokenBinding({
      ...server.config,
      execution_api: { ...server.config.execution_api, token_binding: binding },
      api_auth: { ...server.config.api_auth, trusted_jwks_url: url },
    });
  assert.throws(() => check('required', 'https://keys.example/jwks.json'), { code: 'CONFIG_INVALID' });
  assert.throws(() => check('preferred', null), { code: 'CONFIG_INVALID' });
  check('preferred', 'https://keys.example/jwks.json');
});

test('a try that a worker of ours holds is out of its reach, and that worker starts it', async () => {
  await using server = await start();
  const id = await queue(server);
  const worker = await server.joinWorker();
  const [workload] = await server.claim(worker);
  assert.equal((await run(server, id, madeElsewhere(server, id))).status, 409);
  assert.equal(await stateOf(server, id), 'queued');
  const ours = await server.call('PATCH', `/task-instances/${id}/run`, {
    token: workload!.token,
    key: worker.key,
    json: server.runBody(),
  });
  assert.equal(ours.status, 200, ours.text);
});

test('a second one for the same try buys nothing, and the same one repeats only for the same process', async () => {
  await using server = await start();
  const id = await queue(server);
  const [token, second] = [madeElsewhere(server, id), madeElsewhere(server, id)];
  assert.equal((await run(server, id, token)).status, 200);
  for (const by of [second, token]) {
    const refused = await run(server, id, by, { pid: 77 });
    assert.deepEqual([refused.status, refused.headers.get('refreshed-api-token')], [409, null]);
  }
  assert.equal((await run(server, id, second)).status, 409);
  assert.equal((await run(server, id, token)).status, 200);
});

test('it is no key to another try, to another route, or to a try that never was', async () => {
  await using server = await start();
  const [id, other] = [await queue(server), await queue(server)];
  const token = madeElsewhere(server, id);
  assert.equal((await run(server, other, token)).status, 403);
  assert.equal((await server.call('GET', '/variables/x', { token })).status, 403);
  const nobody = randomUUID();
  assert.equal((await run(server, nobody, madeElsewhere(server, nobody))).status, 404);
  assert.equal((await run(server, id, token)).status, 200);
});
