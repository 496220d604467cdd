// Promise L25: the worker of a connection test gets that one connection, once, and its result writes nothing else.
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import test from 'node:test';
import { sql } from '@airlock/store';
import { deleteOldConnectionTests } from '@airlock/store/queries/retention/connection-tests';
import { secretOwner } from '../../src/api/secrets/stored.ts';
import { type Key, newKey, type Server, startExecutionApi } from './kit.ts';

const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];
const conflict = (message: string) => [409, { detail: { reason: 'conflict', message } }];
const INVALID = [403, { detail: 'Invalid auth token' }];

/** A queued test with its token: bound to a key, or a plain bearer. */
async function queueTest(server: Server, bound = true, connId = `c_${randomBytes(3).toString('hex')}`) {
  const [id, jti, key] = [randomUUID() as string, randomBytes(16).toString('hex'), newKey()];
  const { secrets } = server.deps;
  const at = new Date(server.nowMs()).toISOString();
  await server.db.query(sql`INSERT INTO connection_test (id, conn_id, conn_type, host, login, password, port, extra, schema,
      is_encrypted, state, timeout_seconds, created_at, workload_jti)
    VALUES (${id}, ${connId}, 'postgres', 'db.example', 'svc', ${secrets.seal('pw', secretOwner.password(connId))}, 5432,
      NULL, 'orders', ${secrets.encrypts}, 'queued', 60, ${at}, ${jti})`);
  const token = await server.minter.mint('workload', {
    sub: id,
    jti,
    ttlSeconds: 120,
    ...(bound ? { jkt: key.jkt } : {}),
  });
  return { id, jti, connId, token, key };
}
type Queued = Awaited<ReturnType<typeof queueTest>>;
const fetchIt = (server: Server, by: Pick<Queued, 'token'> & { key?: Key }, id: string, version?: string) =>
  server.call('GET', `/connection-tests/${id}/connection`, {
    token: by.token,
    key: by.key,
    headers: version ? { 'airflow-api-version': version } : {},
  });
const report = (server: Server, by: Pick<Queued, 'token'> & { key?: Key }, id: string, json: unknown) =>
  server.call('PATCH', `/connection-tests/${id}`, { token: by.token, key: by.key, json });
const rowOf = (server: Server, id: string) =>
  server.one<{ state: string; result_message: string | null }>(
    sql`SELECT state, result_message FROM connection_test WHERE id = ${id}`,
  );

test('the connection is given in the clear, to the same process again, and the result is stored once', async () => {
  await using server = await startExecutionApi();
  const queued = await queueTest(server);
  const body = {
    conn_id: queued.connId,
    conn_type: 'postgres',
    host: 'db.example',
    login: 'svc',
    password: 'pw',
    schema: 'orders',
    port: 5432,
    extra: null,
  };
  assert.deepEqual(shown(await fetchIt(server, queued, queued.id)), [200, body]);
  assert.equal((await rowOf(server, queued.id)).state, 'running');
  assert.deepEqual(shown(await fetchIt(server, queued, queued.id)), [200, body], 'the answer was lost');
  const result = { state: 'success', result_message: 'Connection successfully tested' };
  assert.equal((await report(server, queued, queued.id, result)).status, 204);
  assert.equal((await report(server, queued, queued.id, result)).status, 204, 'the answer was lost');
  assert.deepEqual(await rowOf(server, queued.id), result);
  assert.deepEqual(
    shown(await report(server, queued, queued.id, { state: 'failed' })),
    conflict(`Connection test ${queued.id} is already in terminal state: success`),
  );
  const message = `Connection test ${queued.id} is in state success; credentials can only be fetched once while PENDING or QUEUED.`;
  assert.deepEqual(shown(await fetchIt(server, queued, queued.id)), conflict(message));
  assert.equal((await server.db.query(sql`SELECT 1 FROM connection`)).length, 0, 'no connection was saved');
});

test('a plain bearer fetches once', async () => {
  await using server = await startExecutionApi();
  const queued = await queueTest(server, false);
  const by = { token: queued.token };
  assert.equal((await fetchIt(server, by, queued.id)).status, 200);
  const message = `Connection test ${queued.id} is in state running; credentials can only be fetched once while PENDING or QUEUED.`;
  assert.deepEqual(shown(await fetchIt(server, by, queued.id)), conflict(message));
  assert.equal((await report(server, by, queued.id, { state: 'failed', result_message: null })).status, 204);
});

test('another test, another token of this test, a try and a token of this test elsewhere are all refused', async () => {
  await using server = await startExecutionApi();
  const [queued, other] = [await queueTest(server), await queueTest(server)];
  const self = [403, { detail: 'Token subject does not match connection test ID' }];
  assert.deepEqual(shown(await fetchIt(server, other, queued.id)), self);
  assert.deepEqual(shown(await report(server, other, queued.id, { state: 'success' })), self);
  const second = await server.minter.mint('workload', {
    sub: queued.id,
    jti: randomBytes(16).toString('hex'),
    ttlSeconds: 120,
    jkt: queued.key.jkt,
  });
  assert.deepEqual(shown(await fetchIt(server, { token: second, key: queued.key }, queued.id)), INVALID);
  assert.deepEqual(
    shown(await report(server, { token: second, key: queued.key }, queued.id, { state: 'success' })),
    INVALID,
  );
  assert.equal((await fetchIt(server, { token: queued.token, key: newKey() }, queued.id)).status, 403);
  assert.equal((await fetchIt(server, { token: queued.token }, queued.id)).status, 403);
  const ti = await server.startTry();
  for (const token of [ti.token, ti.workload.token]) {
    assert.equal((await fetchIt(server, { token, key: ti.key }, queued.id)).status, 403);
  }
  // The token of a test opens nothing of a task.
  for (const [method, path] of [
    ['GET', '/connections/x'],
    ['GET', '/variables/x'],
    ['GET', `/task-reschedules/${queued.id}/start_date`],
  ] as const) {
    assert.equal((await server.call(method, path, { token: queued.token, key: queued.key })).status, 403, path);
  }
  const run = await server.call('PATCH', `/task-instances/${queued.id}/run`, {
    token: queued.token,
    key: queued.key,
    json: server.runBody(),
  });
  assert.equal(run.status, 404);
  assert.equal((await rowOf(server, queued.id)).state, 'queued');
  assert.equal((await fetchIt(server, queued, queued.id)).status, 200, 'the right one is let in');
});

test('a test that is not there is 404; other states, fields and long messages are 422', async () => {
  await using server = await startExecutionApi();
  const queued = await queueTest(server);
  for (const [body, msg] of [
    [{ state: 'running' }, "Value error, Workers may only report terminal states (success/failed); got 'running'"],
    [{}, 'Field required'],
  ] as const) {
    const answer = await report(server, queued, queued.id, body);
    assert.deepEqual([answer.status, answer.json<{ detail: Array<{ msg: string }> }>().detail[0]!.msg], [422, msg]);
  }
  for (const body of [
    { state: 'success', x: 1 },
    { state: 'success', result_message: 'm'.repeat(2001) },
  ]) {
    assert.equal((await report(server, queued, queued.id, body)).status, 422);
  }
  assert.equal(
    (await report(server, queued, queued.id, { state: 'success', result_message: 'm'.repeat(2000) })).status,
    204,
  );
  await server.db.query(sql`DELETE FROM connection_test`);
  const absent = { detail: { reason: 'not_found', message: `Connection test ${queued.id} not found` } };
  assert.deepEqual(shown(await fetchIt(server, queued, queued.id)), [404, absent]);
  assert.deepEqual(shown(await report(server, queued, queued.id, { state: 'success' })), [404, absent]);
  assert.deepEqual(shown(await fetchIt(server, queued, queued.id, '2026-04-06')), [404, { detail: 'Not Found' }]);
});

test('64 fetches by one token from 64 processes give one the connection', async () => {
  await using server = await startExecutionApi();
  const queued = await queueTest(server, false);
  const answers = await Promise.all(
    Array.from({ length: 64 }, () => fetchIt(server, { token: queued.token }, queued.id)),
  );
  const statuses = answers.map((answer) => answer.status).sort();
  assert.deepEqual(statuses, [200, ...Array.from({ length: 63 }, () => 409)]);
});

test('tests of yesterday are removed, with what they tested', async () => {
  await using server = await startExecutionApi();
  await queueTest(server);
  const createdBefore = new Date(server.nowMs() + 1000).toISOString();
  assert.equal(await deleteOldConnectionTests(server.db, { createdBefore, limit: 10 }), 1);
  assert.equal(await deleteOldConnectionTests(server.db, { createdBefore, limit: 10 }), 0);
});
