// A task that waits for a person gives its place and its tokens up, and goes on in the same try with what came of it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { resumeAnswered } from '../../src/runs/index.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const REQUEST = {
  options: ['Approve', 'Reject'],
  subject: 'Release orders?',
  params: { note: { value: 'none', schema: {} } },
};
const ask = (server: Server, ti: Try, over: object = {}) =>
  server.call('POST', `/hitlDetails/${ti.id}`, {
    key: ti.key,
    token: ti.token,
    json: { ti_id: ti.id, ...REQUEST, ...over },
  });
const park = (server: Server, ti: Try, over: object = {}) =>
  server.call('PATCH', `/task-instances/${ti.id}/state`, {
    key: ti.key,
    token: ti.token,
    json: {
      state: 'awaiting_input',
      next_method: 'execute_complete',
      next_kwargs: { k: [1] },
      timeout: 'PT1M30S',
      ...over,
    },
  });
/** A person answers, as the REST API does it. */
const answer = (server: Server, ti: Try) =>
  server.db.query(sql`UPDATE hitl_detail SET responded_at = ${new Date(server.nowMs()).toISOString()}::timestamptz,
    responded_by_id = '7', responded_by_name = 'alice', chosen_options = '{Approve}', params_input = '{"note":"ok"}'
    WHERE ti_id = ${ti.id}`);
const resume = (server: Server, ids?: string[], aheadMs = 0) =>
  server.db.transaction((tx) =>
    resumeAnswered(tx, { nowIso: new Date(server.nowMs() + aheadMs).toISOString(), ...(ids ? { ids } : {}) }),
  );
type Row = {
  state: string;
  try_number: number;
  next_method: string;
  next_kwargs: { k?: unknown; event?: Record<string, unknown> };
  trigger_timeout: string | null;
  execution_jti: string | null;
};
const rowOf = async (server: Server, ti: Try): Promise<Row> =>
  (
    await server.db.query<Row>(
      sql`SELECT state, try_number, next_method, next_kwargs, trigger_timeout, execution_jti FROM task_instance WHERE id = ${ti.id}`,
    )
  )[0]!;

test('it waits with its time-out, loses its tokens, and saying so again changes nothing', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ask(server, ti);
  const before = await rowOf(server, ti);
  assert.equal((await park(server, ti)).status, 204);
  const row = await rowOf(server, ti);
  assert.deepEqual(
    [row.state, row.try_number, row.next_method, row.next_kwargs, row.execution_jti],
    ['awaiting_input', before.try_number, 'execute_complete', { k: [1] }, null],
  );
  assert.ok(Math.abs(Date.parse(row.trigger_timeout!) - server.nowMs() - 90_000) < 5000);
  assert.equal((await park(server, ti)).status, 200);
  assert.equal((await server.call('GET', '/variables/x', { key: ti.key, token: ti.token })).status, 403);
  assert.equal(await resume(server), 0, 'nobody has answered, and there is time');
});

test('an answer lets it go on in the same try, told of who chose what', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ask(server, ti);
  await park(server, ti);
  const before = await rowOf(server, ti);
  await answer(server, ti);
  assert.equal(await resume(server, [ti.id]), 1);
  const row = await rowOf(server, ti);
  assert.deepEqual([row.state, row.try_number, row.trigger_timeout], ['scheduled', before.try_number, null]);
  const { responded_at, ...event } = row.next_kwargs.event!;
  assert.deepEqual(event, {
    chosen_options: ['Approve'],
    params_input: { note: 'ok' },
    responded_by_user: { id: '7', name: 'alice' },
    timedout: false,
  });
  assert.equal((responded_at as { __classname__: string }).__classname__, 'datetime.datetime');
  assert.deepEqual(row.next_kwargs.k, [1]);
  assert.equal(await resume(server, [ti.id]), 0, 'once');
});

test('one whose answer came first does not wait at all', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ask(server, ti);
  await answer(server, ti);
  assert.equal((await park(server, ti)).status, 204);
  const row = await rowOf(server, ti);
  assert.deepEqual([row.state, row.next_kwargs.event!.chosen_options], ['scheduled', ['Approve']]);
});

test('when its time is over the defaults are the answer of nobody', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ask(server, ti, { defaults: ['Reject'] });
  await park(server, ti);
  assert.equal(await resume(server, undefined, 80_000), 0, 'ten seconds are left');
  assert.equal(await resume(server, undefined, 91_000), 1);
  const { event } = (await rowOf(server, ti)).next_kwargs;
  assert.deepEqual(
    [event!.chosen_options, event!.params_input, event!.responded_by_user, event!.timedout],
    [['Reject'], { note: 'none' }, null, true],
  );
  const [stored] = await server.db.query<{ chosen_options: string[]; responded_by_id: string | null }>(
    sql`SELECT chosen_options, responded_by_id FROM hitl_detail WHERE ti_id = ${ti.id}`,
  );
  assert.deepEqual([stored!.chosen_options, stored!.responded_by_id], [['Reject'], null]);
});

test('without defaults, or without a request, it goes on to fail by itself', async () => {
  await using server = await startExecutionApi();
  for (const asks of [true, false]) {
    const ti = await server.startTry();
    if (asks) await ask(server, ti);
    await park(server, ti, { timeout: 1 });
    assert.equal(await resume(server, [ti.id], 2000), 1);
    const row = await rowOf(server, ti);
    assert.deepEqual([row.state, row.next_kwargs.event!.error_type], ['scheduled', 'timeout']);
  }
});

test('no time-out waits for ever', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ask(server, ti, { defaults: ['Reject'] });
  assert.equal((await park(server, ti, { timeout: null })).status, 204);
  assert.equal(await resume(server, undefined, 10 * 365 * 86_400_000), 0);
});

for (const [why, over] of [
  ['without a method', { next_method: undefined }],
  ['with a time that is none', { timeout: 'soon' }],
  ['with a time beyond all bounds', { timeout: 1e10 }],
  ['with arguments that are no object', { next_kwargs: [1] }],
  ['with a field too many', { speed: 9 }],
] as const) {
  test(`a report ${why} is refused, and the try runs on`, async () => {
    await using server = await startExecutionApi();
    const ti = await server.startTry();
    assert.equal((await park(server, ti, over)).status, 422);
    assert.equal((await rowOf(server, ti)).state, 'running');
    assert.equal((await park(server, ti)).status, 204, 'the same without it is taken');
  });
}

test('another try’s token parks nothing', async () => {
  await using server = await startExecutionApi();
  const [mine, other] = [await server.startTry(), await server.startTry()];
  const stolen = await server.call('PATCH', `/task-instances/${other.id}/state`, {
    key: mine.key,
    token: mine.token,
    json: { state: 'awaiting_input', next_method: 'm' },
  });
  assert.equal(stolen.status, 403);
  assert.equal((await rowOf(server, other)).state, 'running');
});
