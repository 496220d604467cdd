// What authors write passes through the server with the numbers that they wrote: Python tells 1.0 from 1, and knows integers of
// any size. The Task SDK refuses a duration whose seconds have become an integer.
import assert from 'node:assert/strict';
import test from 'node:test';
import type { TriggerWorkload } from '@airlock/contract/supervisor-api';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

/** A value that plain parsing would change in three places. */
const VALUE = '{"seconds":1.0,"big":12345678901234567890,"more":[-0.0]}';
const PLAIN = JSON.stringify(JSON.parse(VALUE));

/** Its body is text: an object here would have lost what is looked for. */
const send = (server: Server, ti: Try, method: string, path: string, body: string) =>
  server.call(method, path, {
    key: ti.key,
    token: ti.token,
    body,
    headers: { 'content-type': 'application/json' },
  });
const startAgain = async (server: Server, ti: Try): Promise<string> => {
  await server.db.query(sql`UPDATE task_instance SET state = 'queued', exchanged_at = NULL WHERE id = ${ti.id}`);
  const workload = (await server.claim(ti.worker, 1000)).find((each) => each.ti.id === ti.id)!;
  const answer = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
    key: ti.key,
    token: workload.token,
    json: server.runBody(),
  });
  assert.equal(answer.status, 200, answer.text);
  return answer.text;
};

test('plain parsing does change them', () => {
  assert.notEqual(PLAIN, VALUE);
});

test('the arguments of a deferral, of its trigger and of its event reach whom they are for', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const body = `{"state":"deferred","classpath":"a.T","trigger_kwargs":${VALUE},"next_method":"go","next_kwargs":${VALUE}}`;
  assert.equal((await send(server, ti, 'PATCH', `/task-instances/${ti.id}/state`, body)).status, 204);
  const triggerer = await server.joinWorker(['trigger']);
  const as = { key: triggerer.key, token: triggerer.tokens.trigger! };
  const json = { holds: [], slots: 1, queues: null, wait_seconds: 0 };
  const { run } = (await server.call('POST', '/triggers/sync', { ...as, json })).json<{ run: TriggerWorkload[] }>();
  assert.equal(run[0]!.kwargs, VALUE);
  const outcome = { kind: 'event', payload: VALUE };
  const told = await server.call('POST', `/triggers/${run[0]!.id}/outcome`, { ...as, json: outcome });
  assert.deepEqual(told.json(), { accepted: true });
  const context = await startAgain(server, ti);
  assert.ok(context.includes(`"next_kwargs":{${VALUE.slice(1, -1)},"event":${VALUE}}`), context);
});

test('the values of a trigger that ends its task are stored as they are', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const body = '{"state":"deferred","classpath":"a.T","next_method":"go"}';
  assert.equal((await send(server, ti, 'PATCH', `/task-instances/${ti.id}/state`, body)).status, 204);
  const triggerer = await server.joinWorker(['trigger']);
  const as = { key: triggerer.key, token: triggerer.tokens.trigger! };
  const json = { holds: [], slots: 1, queues: null, wait_seconds: 0 };
  const { run } = (await server.call('POST', '/triggers/sync', { ...as, json })).json<{ run: TriggerWorkload[] }>();
  const end = { kind: 'end', state: 'success', xcoms: { return_value: VALUE } };
  assert.equal((await server.call('POST', `/triggers/${run[0]!.id}/outcome`, { ...as, json: end })).status, 200);
  assert.deepEqual(await server.db.query(sql`SELECT value::text FROM xcom WHERE dag_run_id = ${ti.run.dagRunId}`), [
    { value: VALUE },
  ]);
});

test('the conf of a run that a task asks for', async () => {
  await using server = await startExecutionApi();
  const target = await server.seedRun('target');
  const ti = await server.startTry({ needs: null });
  const made = await send(server, ti, 'POST', '/dag-runs/target/by-task', `{"conf":${VALUE}}`);
  assert.equal(made.status, 204, made.text);
  const seen = await server.call('GET', '/dag-runs/target/by-task', { key: ti.key, token: ti.token });
  assert.ok(seen.text.includes(`"conf":${VALUE}`), seen.text);
  assert.equal(
    (await send(server, ti, 'POST', '/dag-runs/target/by-task', `{"conf":${VALUE}}`)).status,
    204,
    'a repeat',
  );
  assert.ok(target.dagId);
});

test('what a task says of an asset', async () => {
  await using server = await startExecutionApi();
  const orders = { name: 'orders', uri: 's3://lake/orders' };
  const run = await server.seedRun('writes', null, {
    tasks: { extract: { outlets: [{ __type: 'asset', __var: { group: 'asset', extra: {}, ...orders } }] } },
  });
  const ti = await server.startTry({ needs: null }, run);
  const reader = await server.startTry({ needs: null });
  const event = `{"dest_asset_key":${JSON.stringify(orders)},"extra":${VALUE}}`;
  const outlets = JSON.stringify([{ type: 'Asset', ...orders }]);
  const body = `{"state":"success","end_date":"2026-01-01T00:00:00Z","task_outlets":${outlets},"outlet_events":[${event}]}`;
  assert.equal((await send(server, ti, 'PATCH', `/task-instances/${ti.id}/state`, body)).status, 204);
  const path = `/asset-events/by-asset?name=orders&uri=${encodeURIComponent(orders.uri)}`;
  const seen = await server.call('GET', path, { key: reader.key, token: reader.token });
  assert.ok(seen.text.includes(`"extra":${VALUE}`), seen.text);
});

test('rendered fields', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const answer = await send(server, ti, 'PUT', `/task-instances/${ti.id}/rtif`, `{"op_kwargs":${VALUE}}`);
  assert.equal(answer.status, 201, answer.text);
  const [row] = await server.db.query<{ text: string }>(
    sql`SELECT rendered_fields::text AS text FROM task_instance WHERE id = ${ti.id}`,
  );
  assert.equal(row!.text, `{"op_kwargs":${VALUE}}`);
});
