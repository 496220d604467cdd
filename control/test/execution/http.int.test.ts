import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { type Server, startExecutionApi, type Try } from './kit.ts';

let server: Server;
let ti: Try;
before(async () => {
  server = await startExecutionApi();
  ti = await server.startTry({ needs: { variables: ['v'] } });
});
after(() => server.close());

const get = (path: string, headers: Record<string, string> = {}) =>
  server.call('GET', path, { key: ti.key, token: ti.token, headers });

test('the version asked for is echoed, also when another one is served, and the newest without a wish', async () => {
  for (const asked of ['2025-04-28', '2026-05-01', '2099-01-01']) {
    const answer = await get('/variables/v', { 'airflow-api-version': asked });
    assert.deepEqual([answer.status, answer.headers.get('airflow-api-version')], [404, asked]);
  }
  assert.equal((await get('/variables/v')).headers.get('airflow-api-version'), '2026-06-30');
});

test('a date before the oldest version is 404 on every path, health included; no date is 422', async () => {
  for (const path of ['/health', '/variables/v', '/no-such-thing']) {
    const old = await get(path, { 'airflow-api-version': '2025-01-01' });
    assert.deepEqual(
      [old.status, old.json(), old.headers.get('airflow-api-version')],
      [404, { detail: 'Not Found' }, '2025-01-01'],
    );
    const bad = await get(path, { 'airflow-api-version': 'abc' });
    assert.deepEqual(
      [bad.status, bad.json<{ detail: Array<{ loc: unknown }> }>().detail[0]!.loc],
      [422, ['header', 'Airflow-API-Version']],
    );
  }
});

test('the correlation id comes back on every answer', async () => {
  for (const path of ['/health', '/variables/v', '/variables/undeclared', '/no-such-thing']) {
    assert.equal((await get(path, { 'correlation-id': 'c-1' })).headers.get('correlation-id'), 'c-1', path);
  }
});

test('health needs no credential', async () => {
  assert.deepEqual((await server.call('GET', '/health')).json(), { status: 'healthy' });
  assert.deepEqual((await server.call('GET', '/health/ping')).json(), {
    ok: ['airflow.api_fastapi.auth.tokens.JWTValidator'],
    failing: {},
  });
});

test('an older client starts a task with the keys that it knows', async () => {
  const again = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
    key: ti.key,
    token: ti.token,
    json: server.runBody(),
    headers: { 'airflow-api-version': '2025-11-05' },
  });
  const context = again.json<{ dag_run: Record<string, unknown>; upstream_map_indexes: null }>();
  assert.equal(context.upstream_map_indexes, null);
  for (const key of ['team_name', 'partition_date', 'partition_key', 'note'])
    assert.equal(Object.hasOwn(context.dag_run, key), false, key);
  assert.equal(Object.hasOwn(context.dag_run, 'triggering_user_name'), true);
});

test('every answer says application/json without a charset, refusals included', async () => {
  for (const path of ['/health', '/variables/v', '/variables/undeclared', '/no-such-thing', '/task-instances/count']) {
    assert.equal((await get(path)).headers.get('content-type'), 'application/json', path);
  }
});
