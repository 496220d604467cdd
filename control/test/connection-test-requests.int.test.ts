// Promise L25: what people may ask for, what a worker is given, and that no result writes anything but itself.
import assert from 'node:assert/strict';
import { after, before, beforeEach, test } from 'node:test';
import { sql } from '@airlock/store';
import { failLateConnectionTests } from '@airlock/store/queries/connection-test/queue';
import { openConnection } from '../src/api/secrets/stored.ts';
import { claimWorkloads } from '../src/executors/placement.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
const db = () => kit.deps.db;
const enqueue = (body: object, who: keyof RestKit['as'] = 'op') =>
  kit.as[who]('POST', '/connections/enqueue-test', body);
const probe = { connection_id: 'probe', conn_type: 'http', host: 'h.example' };

before(async () => {
  kit = await restKit({ config: { AIRLOCK__CORE__TEST_CONNECTION: 'Enabled' } });
});
after(async () => {
  await kit[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await db().query(sql`DELETE FROM connection_test`);
  await db().query(sql`DELETE FROM connection`);
});

/** The one test that waits, in the clear. */
async function asked() {
  const rows = await db().query<Parameters<typeof openConnection>[1] & { state: string; requested_by: string }>(
    sql`SELECT * FROM connection_test`,
  );
  assert.equal(rows.length, 1);
  return { ...rows[0]!, ...openConnection(kit.deps.secrets, rows[0]!) };
}

test('a test is queued with its secrets sealed, once for a connection at a time', async () => {
  const { status, body } = await enqueue({ ...probe, password: 'S3CRET', extra: '{"token": "S3CRET"}' });
  assert.deepEqual([status, body.connection_id, body.state], [202, 'probe', 'pending']);
  const raw = await db().query<Record<string, unknown>>(sql`SELECT * FROM connection_test`);
  assert.doesNotMatch(JSON.stringify(raw), /S3CRET/);
  assert.doesNotMatch(JSON.stringify(await db().query(sql`SELECT * FROM event_log`)), /S3CRET/);
  const row = await asked();
  assert.deepEqual([row.password, row.extra, row.requested_by], ['S3CRET', '{"token": "S3CRET"}', 'op']);
  const again = await enqueue(probe);
  assert.deepEqual(
    [again.status, again.body.detail],
    [409, 'An active connection test already exists for connection_id `probe`.'],
  );
  assert.equal((await enqueue({ ...probe, connection_id: 'other' })).status, 202);
});

test('refused: who may not create connections, a result that would save one, an executor, a broken body; nothing is queued', async () => {
  for (const who of ['viewer', 'user'] as const) assert.equal((await enqueue(probe, who)).status, 403, who);
  for (const more of [
    { commit_on_success: true },
    { executor: 'CeleryExecutor' },
    { extra: '[]' },
    { x: 1 },
    { port: 'a' },
  ])
    assert.equal((await enqueue({ ...probe, ...more })).status, 422, JSON.stringify(more));
  assert.deepEqual(await db().query(sql`SELECT 1 FROM connection_test`), []);
  assert.equal((await enqueue({ ...probe, commit_on_success: false })).status, 202);
});

test('stored credentials fill the gaps, and go to no other host, port or type than they were stored for', async () => {
  const stored = {
    connection_id: 'probe',
    conn_type: 'http',
    host: 'h.example',
    port: 80,
    login: 'svc',
    password: 'S3CRET',
    extra: '{"token": "T0KEN"}',
  };
  assert.equal((await kit.as.op('POST', '/connections', stored)).status, 201);
  for (const moved of [
    { host: 'evil.example' },
    { port: 81 },
    { conn_type: 'ftp' },
    { host: 'evil.example', password: '***' },
    { host: 'evil.example', password: '' },
  ])
    assert.equal((await enqueue({ ...probe, ...moved })).status, 400, JSON.stringify(moved));
  assert.equal(
    (await enqueue({ ...probe, host: 'evil.example', password: 'mine', extra: '{"token": "***"}' })).status,
    202,
  );
  const elsewhere = await asked();
  assert.equal(elsewhere.password, 'mine');
  assert.doesNotMatch(String(elsewhere.extra), /T0KEN/);
  await db().query(sql`DELETE FROM connection_test`);
  assert.equal((await enqueue({ connection_id: 'probe', conn_type: 'http', password: '***' })).status, 202);
  const same = await asked();
  assert.deepEqual([same.host, same.port, same.login, same.password], ['h.example', 80, 'svc', 'S3CRET']);
  assert.match(String(same.extra), /T0KEN/);
});

test('a worker takes one test at a time, tasks first; where tests are off it gets none', async () => {
  const ask = (deps = kit.deps) =>
    claimWorkloads(deps, {
      supervisorId: '00000000-0000-4000-8000-000000000001',
      jkt: 'k',
      slots: 1,
      queues: null,
      untilMs: 0,
      signal: new AbortController().signal,
    });
  const { body } = await enqueue(probe);
  const { config } = kit.deps;
  const off = { ...kit.deps, config: { ...config, core: { ...config.core, test_connection: 'Disabled' as const } } };
  assert.deepEqual(await ask(off), []);
  const claimed = await ask();
  assert.deepEqual(
    claimed.map((each) => each.type === 'TestConnection' && each.connection_test_id),
    [body.token],
  );
  assert.equal((await asked()).state, 'queued');
  assert.deepEqual(await ask(), [], 'it is given once');
});

test('who waits for the answer gets it, and no connection was written', async () => {
  const waiting = kit.as.op('POST', '/connections/test', probe);
  const report = async (): Promise<void> => {
    const done = await db().query(
      sql`UPDATE connection_test SET state = 'success', result_message = 'fine' WHERE state = 'pending' RETURNING id`,
    );
    if (done.length === 0) await report();
  };
  await report();
  const { status, body } = await waiting;
  assert.deepEqual([status, body], [200, { status: true, message: 'fine' }]);
  assert.deepEqual(await db().query(sql`SELECT 1 FROM connection`), []);
});

test('20 tests are under way at most; what nobody answers fails in time and makes room', async () => {
  for (let n = 0; n < 20; n++) assert.equal((await enqueue({ ...probe, connection_id: `c${n}` })).status, 202);
  assert.equal((await enqueue(probe)).status, 429);
  const at = (ms: number) => new Date(kit.deps.clock.nowMs() + ms).toISOString();
  assert.equal(await failLateConnectionTests(db(), at(80_000)), 0);
  assert.equal(await failLateConnectionTests(db(), at(100_000)), 20);
  assert.equal((await enqueue(probe)).status, 202);
});
