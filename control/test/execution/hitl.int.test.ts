// Promise L34: a task asks people, and reads what they answer; it never answers for them.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const send = (server: Server, ti: Try, method: string, json?: unknown, id = ti.id) =>
  server.call(method, `/hitlDetails/${id}`, { key: ti.key, token: ti.token, ...(json === undefined ? {} : { json }) });
const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];
const ask = (ti: Try, over: object = {}) => ({
  ti_id: ti.id,
  options: ['Approve', 'Reject'],
  subject: 'Release orders?',
  body: null,
  defaults: ['Reject'],
  multiple: false,
  params: { note: { value: 'none', schema: {} } },
  assigned_users: [{ id: '7', name: 'alice' }],
  ...over,
});
const PENDING = {
  response_received: false,
  responded_by_user: null,
  responded_at: null,
  chosen_options: [],
  params_input: {},
};
/** A person answers, as the REST API does it. */
const answer = (server: Server, ti: Try) =>
  server.db.query(sql`UPDATE hitl_detail SET responded_at = ${new Date(server.nowMs()).toISOString()}::timestamptz,
    responded_by_id = '7', responded_by_name = 'alice', chosen_options = '{Approve}', params_input = '{"note":"ok"}'
    WHERE ti_id = ${ti.id}`);
/** The try has waited, and for how long it would, seconds from now. */
const waitedUntil = (server: Server, ti: Try, seconds: number) =>
  server.db.query(sql`UPDATE task_instance SET trigger_timeout = ${new Date(server.nowMs() + seconds * 1000).toISOString()}::timestamptz
    WHERE id = ${ti.id}`);
const ABSENT = {
  detail: {
    reason: 'not_found',
    message: 'HITLDetail not found. This happens most likely due to clearing task instance before receiving response.',
  },
};
const DENIED = { detail: { reason: 'access_denied', message: 'Task does not have access to answers of people' } };

test('a request is stored and told back, and there is no answer to it yet', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  assert.deepEqual(shown(await send(server, ti, 'GET')), [404, ABSENT]);
  assert.deepEqual(shown(await send(server, ti, 'POST', { ...ask(ti), type: 'CreateHITLDetailPayload' })), [
    201,
    ask(ti),
  ]);
  assert.deepEqual(shown(await send(server, ti, 'GET')), [200, PENDING]);
  const nulls = await server.startTry();
  const least = { ti_id: ti.id, options: ['A'], subject: 's', params: null, assigned_users: null };
  assert.deepEqual(shown(await send(server, nulls, 'POST', least)), [
    201,
    {
      ti_id: nulls.id,
      options: ['A'],
      subject: 's',
      body: null,
      defaults: null,
      multiple: false,
      params: {},
      assigned_users: [],
    },
  ]);
});

test('a second request changes nothing: neither the question nor an answer that was given', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await send(server, ti, 'POST', ask(ti));
  const other = ask(ti, { options: ['Yes'], subject: 'Other?', defaults: ['Yes'], assigned_users: [] });
  assert.deepEqual(shown(await send(server, ti, 'POST', other)), [201, ask(ti)]);
  await answer(server, ti);
  assert.deepEqual(shown(await send(server, ti, 'POST', other)), [201, ask(ti)]);
  assert.deepEqual((await send(server, ti, 'GET')).json(), {
    response_received: true,
    responded_by_user: { id: '7', name: 'alice' },
    responded_at: new Date(server.nowMs()).toISOString().replace('.000', ''),
    chosen_options: ['Approve'],
    params_input: { note: 'ok' },
  });
});

test('a task can’t answer its own request: not with any option, not with the defaults before their time', async () => {
  await using server = await startExecutionApi();
  let refused = 0;
  for (const [deadline, chosen, input] of [
    [null, ['Approve'], {}],
    [null, ['Reject'], {}],
    [60, ['Reject'], {}],
    [60, ['Approve'], {}],
    [1, ['Reject'], { note: 'none' }],
    [-1, ['Approve'], {}],
    [-1, ['Reject', 'Approve'], {}],
    [-1, ['reject'], {}],
    [-1, ['Reject', 'Reject'], {}],
    [-1, ['Reject'], { note: 'mine' }],
    [-1, ['Reject'], { note: 'none', more: 1 }],
  ] as const) {
    const ti = await server.startTry();
    await send(server, ti, 'POST', ask(ti));
    if (deadline !== null) await waitedUntil(server, ti, deadline);
    const body = { ti_id: ti.id, chosen_options: chosen, params_input: input };
    assert.deepEqual(
      shown(await send(server, ti, 'PATCH', body)),
      [403, DENIED],
      JSON.stringify([deadline, chosen, input]),
    );
    assert.deepEqual(shown(await send(server, ti, 'GET')), [200, PENDING]);
    refused++;
  }
  assert.equal(refused, 11);
});

test('after the deadline the stored defaults are taken, in either form of their params, and again without effect', async () => {
  await using server = await startExecutionApi();
  for (const input of [{}, { note: 'none' }]) {
    const ti = await server.startTry();
    await send(server, ti, 'POST', ask(ti));
    await waitedUntil(server, ti, -1);
    const body = { ti_id: ti.id, chosen_options: ['Reject'], params_input: input };
    const [first, again] = [await send(server, ti, 'PATCH', body), await send(server, ti, 'PATCH', body)];
    assert.deepEqual([first.status, again.status], [200, 200]);
    assert.deepEqual(again.json(), first.json());
    assert.deepEqual(first.json<{ responded_by_user: unknown }>().responded_by_user, null);
    const conflict = await send(server, ti, 'PATCH', { ...body, chosen_options: ['Approve'] });
    const message = `Human-in-the-loop detail for Task Instance with id ${ti.id} already exists.`;
    assert.deepEqual(shown(conflict), [409, { detail: message }]);
  }
  const events = await server.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM event_log WHERE event = 'hitl_defaults_taken'`,
  );
  assert.equal(events.n, 2);
});

test('a request without defaults is never answered by its task, and an answer of a person stands', async () => {
  await using server = await startExecutionApi();
  const open = await server.startTry();
  await send(server, open, 'POST', ask(open, { defaults: null }));
  await waitedUntil(server, open, -1);
  assert.deepEqual(shown(await send(server, open, 'PATCH', { chosen_options: ['Reject'] })), [403, DENIED]);
  const ti = await server.startTry();
  await send(server, ti, 'POST', ask(ti));
  await answer(server, ti);
  await waitedUntil(server, ti, -1);
  assert.equal((await send(server, ti, 'PATCH', { chosen_options: ['Reject'] })).status, 409);
  assert.equal(
    (await send(server, ti, 'PATCH', { chosen_options: ['Approve'], params_input: { note: 'ok' } })).status,
    409,
  );
  assert.deepEqual((await send(server, ti, 'GET')).json<{ chosen_options: unknown }>().chosen_options, ['Approve']);
});

test('another try’s request is neither made, read nor answered', async () => {
  await using server = await startExecutionApi();
  const [ti, other] = [await server.startTry(), await server.startTry()];
  await send(server, other, 'POST', ask(other));
  await waitedUntil(server, other, -1);
  for (const [method, json] of [
    ['POST', ask(other)],
    ['GET', undefined],
    ['PATCH', { chosen_options: ['Reject'] }],
  ] as const) {
    assert.equal((await send(server, ti, method, json, other.id)).status, 403, method);
  }
  assert.equal((await send(server, other, 'PATCH', { chosen_options: ['Reject'] })).status, 200);
});

test('what is no request is 422', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  for (const over of [
    { options: [] },
    { options: null },
    { options: [1] },
    { subject: undefined },
    { ti_id: 'x' },
    { assigned_users: [{ id: 1, name: 'a' }] },
    { params: [] },
    { multiple: 'maybe' },
  ]) {
    assert.equal((await send(server, ti, 'POST', ask(ti, over))).status, 422, JSON.stringify(over));
  }
  assert.equal((await send(server, ti, 'PATCH', { chosen_options: [] })).status, 422);
  assert.equal((await send(server, ti, 'POST', ask(ti))).status, 201);
});
