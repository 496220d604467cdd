// Promises L1, L2, L3 and L5: a try has one token at a time, which lives no longer than the try.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { TOKEN_ALARM_EVENTS } from '@airlock/contract/token-alarms';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const beatBody = { hostname: 'worker-1', pid: 4242 };
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString());
const beat = (server: Server, ti: Try, token = ti.token) =>
  server.call('PUT', `/task-instances/${ti.id}/heartbeat`, { key: ti.key, token, json: beatBody });
const runAgain = (server: Server, ti: Try, token: string, over: object = {}) =>
  server.call('PATCH', `/task-instances/${ti.id}/run`, { key: ti.key, token, json: server.runBody(over) });
const alarms = async (server: Server) =>
  (
    await server.db.query<{ event: string }>(
      sql`SELECT event FROM event_log WHERE event = ANY(${TOKEN_ALARM_EVENTS}::text[]) ORDER BY id`,
    )
  ).map((each) => each.event);
const refreshed = (answer: { headers: Headers }) => answer.headers.get('refreshed-api-token');
const taken = {
  detail: {
    reason: 'invalid_state',
    message: 'TI was not in a state where it could be marked as running',
    previous_state: 'running',
  },
};

test('an execution token lives 300 s by default and at most', async () => {
  await using server = await startExecutionApi();
  const claims = claimsOf((await server.startTry()).token);
  assert.equal(claims.exp - claims.iat, 300);
  await using greedy = await startExecutionApi({ AIRLOCK__EXECUTION_API__JWT_EXPIRATION_TIME: '600' });
  const shortened = claimsOf((await greedy.startTry()).token);
  assert.equal(shortened.exp - shortened.iat, 300);
});

test('64 processes exchange one bearer workload token: one gets an execution token, 63 get 409 and an audit row', async () => {
  await using server = await startExecutionApi({ AIRLOCK__WORKERS__COMMAND_QUEUES: 'plain' });
  const ti = await server.seedTask(await server.seedRun(), { queue: 'plain', runtime: 'python', needs: null });
  const worker = await server.joinWorker();
  const [workload] = await server.claim(worker);
  const answers = await Promise.all(
    Array.from({ length: 64 }, (_, pid) =>
      server.call('PATCH', `/task-instances/${ti.id}/run`, { token: workload!.token, json: server.runBody({ pid }) }),
    ),
  );
  assert.equal(answers.filter((each) => each.status === 200 && refreshed(each)).length, 1);
  const refused = answers.filter((each) => each.status === 409);
  assert.equal(refused.length, 63);
  for (const each of refused) assert.deepEqual([each.json(), refreshed(each)], [taken, null]);
  const audit = await server.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM event_log WHERE event = 'run_refused'`,
  );
  assert.equal(audit.n, 63);
});

test('64 repeats by the same process give one and the same token, and none after its first use', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const repeats = await Promise.all(Array.from({ length: 64 }, () => runAgain(server, ti, ti.workload.token)));
  assert.deepEqual(new Set(repeats.map((each) => each.status)), new Set([200]));
  assert.deepEqual(new Set(repeats.map(refreshed)), new Set([ti.token]));
  assert.equal((await beat(server, ti)).status, 204);
  const late = await Promise.all(Array.from({ length: 64 }, () => runAgain(server, ti, ti.workload.token)));
  for (const each of late) assert.deepEqual([each.status, each.json(), refreshed(each)], [409, taken, null]);
});

test('an exchange may be repeated for 60 s and not a second longer', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  server.advance(59);
  assert.equal((await runAgain(server, ti, ti.workload.token)).status, 200);
  server.advance(1);
  assert.equal((await runAgain(server, ti, ti.workload.token)).status, 409);
});

test('/run with the execution token is 200 for the same process without a new token, and 409 for another', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const same = await runAgain(server, ti, ti.token);
  assert.deepEqual([same.status, refreshed(same)], [200, null]);
  const other = await runAgain(server, ti, ti.token, { pid: 1 });
  assert.deepEqual([other.status, other.json()], [409, taken]);
  assert.equal((await beat(server, ti)).status, 204);
});

test('a workload token that is not the row’s is refused: never issued by a claim, or taken back', async () => {
  await using server = await startExecutionApi();
  const ti = await server.seedTask(await server.seedRun());
  const worker = await server.joinWorker();
  const [workload] = await server.claim(worker);
  const send = (token: string) =>
    server.call('PATCH', `/task-instances/${ti.id}/run`, { key: worker.key, token, json: server.runBody() });
  const strange = await server.minter.mint('workload', {
    sub: ti.id,
    jti: 'e'.repeat(32),
    ttlSeconds: 600,
    jkt: worker.key.jkt,
  });
  assert.equal((await send(strange)).status, 409);
  await server.db.query(
    sql`UPDATE task_instance SET supervisor_id = NULL, claimed_at = NULL, workload_jti = NULL WHERE id = ${ti.id}`,
  );
  assert.equal((await send(workload!.token)).status, 409);
  const [again] = await server.claim(worker);
  assert.equal((await send(workload!.token)).status, 409);
  assert.equal((await send(again!.token)).status, 200);
});

test('refresh comes in the last fifth, once per token, and repeats give the same successor', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  server.advance(239);
  assert.equal(refreshed(await beat(server, ti)), null);
  server.advance(1);
  const first = refreshed(await beat(server, ti));
  server.advance(5);
  const second = refreshed(await beat(server, ti));
  assert.ok(first);
  assert.equal(second, first);
  const [old, next] = [claimsOf(ti.token), claimsOf(first)];
  assert.notEqual(next.jti, old.jti);
  assert.deepEqual({ ...next, jti: 0, iat: 0, nbf: 0, exp: 0 }, { ...old, jti: 0, iat: 0, nbf: 0, exp: 0 });
  assert.equal(next.exp - next.iat, 300);
});

test('the predecessor works for 30 s after the successor’s first use, gets no third token, and is then refused and audited', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  server.advance(240);
  const successor = refreshed(await beat(server, ti))!;
  assert.equal((await beat(server, ti, successor)).status, 204);
  server.advance(29);
  const inOverlap = await beat(server, ti);
  assert.deepEqual([inOverlap.status, refreshed(inOverlap)], [204, null]);
  server.advance(1);
  const late = await beat(server, ti);
  assert.deepEqual([late.status, late.json(), refreshed(late)], [403, { detail: 'Invalid auth token' }, null]);
  assert.equal((await server.call('GET', '/variables/x', { key: ti.key, token: ti.token })).status, 403);
  const events = await server.db.query<{ event: string }>(
    sql`SELECT event FROM event_log WHERE event LIKE 'token_%' ORDER BY id`,
  );
  assert.deepEqual(
    events.map((each) => each.event),
    ['token_reuse_refused', 'token_reuse_refused'],
  );
  assert.equal((await beat(server, ti, successor)).status, 204);
});

test('a token before the predecessor is written down too, and ends nothing', async () => {
  // Tokens of 30 s are renewed from second 20 on; the wide leeway lets the first of three be seen by itself.
  const env = { AIRLOCK__EXECUTION_API__JWT_EXPIRATION_TIME: '30' };
  await using server = await startExecutionApi(env, { leewaySeconds: 600 });
  const ti = await server.startTry();
  let token = ti.token;
  for (let renewal = 0; renewal < 2; renewal++) {
    server.advance(20);
    token = refreshed(await beat(server, ti, token))!;
    assert.equal((await beat(server, ti, token)).status, 204);
  }
  assert.equal((await beat(server, ti)).status, 403);
  assert.deepEqual(await alarms(server), ['token_reuse_refused']);
  assert.equal((await beat(server, ti, token)).status, 204);
});

test('a try that is past its deadline, or has ended, raises no alarm', async () => {
  await using server = await startExecutionApi();
  const late = await server.startTry({ executionTimeoutSeconds: 1 });
  server.advance(125);
  assert.equal((await beat(server, late)).status, 403);
  const done = await server.startTry();
  await ends.success!(server, done);
  assert.equal((await beat(server, done)).status, 409);
  assert.deepEqual(await alarms(server), []);
});

test('a predecessor used more than 60 s after its overlap ends every token of the try', async () => {
  // With 300 s and 10 s of leeway a predecessor has expired by then; a wide leeway lets the rule be seen by itself.
  await using server = await startExecutionApi({}, { leewaySeconds: 600 });
  const ti = await server.startTry();
  server.advance(240);
  const successor = refreshed(await beat(server, ti))!;
  assert.equal((await beat(server, ti, successor)).status, 204);
  server.advance(91);
  assert.equal((await beat(server, ti)).status, 403);
  assert.equal((await beat(server, ti, successor)).status, 403);
  const event = await server.one<{ event: string }>(
    sql`SELECT event FROM event_log WHERE event LIKE 'token_%' ORDER BY id DESC LIMIT 1`,
  );
  assert.equal(event.event, 'token_family_ended');
});

test('an expired token is never refreshed, not even within the leeway', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  server.advance(305);
  const answer = await beat(server, ti);
  assert.deepEqual([answer.status, refreshed(answer)], [204, null]);
});

test('no token outlives the deadline: time limit plus 120 s from the start, and 24 h without one', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  const limited = await server.startTry({ taskId: 'limited', executionTimeoutSeconds: 60 }, run);
  assert.equal(claimsOf(limited.token).exp - claimsOf(limited.token).iat, 180);
  server.advance(170);
  const near = await beat(server, limited);
  assert.deepEqual([near.status, refreshed(near)], [204, null]);
  server.advance(10);
  assert.equal((await beat(server, limited)).status, 403);

  const free = await server.startTry({ taskId: 'free' }, run);
  const start = server.nowSeconds();
  let token = free.token;
  while (server.nowSeconds() - start < 86_400 - 250) {
    server.advance(250);
    token = refreshed(await beat(server, free, token)) ?? token;
  }
  assert.ok(claimsOf(token).exp <= start + 86_400);
  server.advance(86_400 - (server.nowSeconds() - start));
  assert.equal((await beat(server, free, token)).status, 403);
});

const ends: Record<string, (server: Server, ti: Try) => Promise<unknown>> = {
  success: (server, ti) => report(server, ti, { state: 'success', end_date: '2026-01-01T00:00:00Z' }),
  failed: (server, ti) => report(server, ti, { state: 'failed', end_date: '2026-01-01T00:00:00Z' }),
  skipped: (server, ti) => report(server, ti, { state: 'skipped', end_date: '2026-01-01T00:00:00Z' }),
  removed: (server, ti) => report(server, ti, { state: 'removed', end_date: '2026-01-01T00:00:00Z' }),
  up_for_retry: (server, ti) => report(server, ti, { state: 'up_for_retry', end_date: '2026-01-01T00:00:00Z' }),
  up_for_reschedule: (server, ti) =>
    report(server, ti, {
      state: 'up_for_reschedule',
      end_date: '2026-01-01T00:00:00Z',
      reschedule_date: '2026-01-01T00:01:00Z',
    }),
  'a dead process': (server, ti) =>
    server.call('POST', `/workloads/${ti.id}/exit`, {
      key: ti.key,
      token: ti.worker.tokens.worker!,
      json: {
        workload_jti: ti.workload.airlock!.workload_jti,
        outcome: 'died',
        exit_code: 1,
        signal: null,
        message: '',
      },
    }),
};
const report = (server: Server, ti: Try, json: object) =>
  server.call('PATCH', `/task-instances/${ti.id}/state`, { key: ti.key, token: ti.token, json });

for (const [name, end] of Object.entries(ends)) {
  test(`after ${name} every route answers 403 but the try’s own, which tell how it stands and change nothing`, async () => {
    await using server = await startExecutionApi();
    const ti = await server.startTry({ needs: { variables: ['v'] }, maxTries: 2 });
    const send = { key: ti.key, token: ti.token };
    assert.notEqual((await server.call('GET', '/variables/v', send)).status, 403); // the control: alive until here
    await end(server, ti);
    server.advance(250);
    const before = await server.one(sql`SELECT * FROM task_instance LIMIT 1`);
    for (const [method, at, json] of [
      ['GET', '/variables/v', undefined],
      ['PUT', '/variables/v', { val: 'x' }],
      ['GET', '/connections/c', undefined],
      ['GET', `/xcoms/${ti.run.dagId}/${ti.run.runId}/extract/k`, undefined],
      ['POST', `/xcoms/${ti.run.dagId}/${ti.run.runId}/extract/k`, 1],
      ['DELETE', `/xcoms/${ti.run.dagId}/${ti.run.runId}/extract/k`, undefined],
      ['HEAD', `/xcoms/${ti.run.dagId}/${ti.run.runId}/extract/k`, undefined],
      ['GET', `/task-instances/count?dag_id=${ti.run.dagId}&run_ids=${ti.run.runId}`, undefined],
      ['GET', `/task-instances/states?dag_id=${ti.run.dagId}&run_ids=${ti.run.runId}`, undefined],
      ['GET', `/task-instances/${ti.id}/previous-successful-dagrun`, undefined],
      ['GET', `/task-reschedules/${ti.id}/start_date`, undefined],
      ['GET', `/dag-modules/${ti.id}`, undefined],
      ['POST', `/task-instances/${ti.id}/logs?offset=0`, undefined],
    ] as const) {
      const answer = await server.call(method, at, { ...send, json });
      assert.deepEqual([answer.status, refreshed(answer)], [403, null], `${method} ${at}`);
    }
    for (const [method, route, json] of [
      ['PATCH', 'run', server.runBody()],
      ['PATCH', 'state', { state: 'upstream_failed', end_date: '2026-01-01T00:00:00Z' }],
      ['PUT', 'heartbeat', beatBody],
      ['PUT', 'rtif', { a: 1 }],
    ] as const) {
      const answer = await server.call(method, `/task-instances/${ti.id}/${route}`, { ...send, json });
      assert.ok([403, 404, 409, 410].includes(answer.status), `${route} ${answer.status}`);
      assert.equal(refreshed(answer), null);
    }
    assert.deepEqual(await server.one(sql`SELECT * FROM task_instance LIMIT 1`), before);
    const repeat = await end(server, ti);
    assert.ok([200, 204].includes((repeat as { status: number }).status));
    assert.deepEqual(await server.one(sql`SELECT * FROM task_instance LIMIT 1`), before);
  });
}

test('a token of an earlier stretch is refused while the next stretch of the same try runs', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ends.up_for_reschedule!(server, ti);
  await server.db.query(sql`UPDATE task_instance SET state = 'queued' WHERE id = ${ti.id}`);
  const [workload] = await server.claim(ti.worker);
  const next = await runAgain(server, ti, workload!.token);
  assert.equal(next.json<{ task_reschedule_count: number }>().task_reschedule_count, 1);
  assert.equal((await beat(server, ti)).status, 403);
  assert.equal((await report(server, ti, { state: 'success', end_date: '2026-01-01T00:00:00Z' })).status, 403);
  assert.equal((await runAgain(server, ti, ti.workload.token)).status, 409);
  assert.equal((await beat(server, ti, refreshed(next)!)).status, 204);
  assert.deepEqual(await alarms(server), ['token_reuse_refused', 'token_reuse_refused', 'run_refused']);
});

test('a late exit report of an earlier stretch does not touch the next one', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  await ends.up_for_reschedule!(server, ti);
  await server.db.query(sql`UPDATE task_instance SET state = 'queued' WHERE id = ${ti.id}`);
  const [workload] = await server.claim(ti.worker);
  const next = await runAgain(server, ti, workload!.token);
  await ends['a dead process']!(server, ti);
  assert.equal((await beat(server, ti, refreshed(next)!)).status, 204);
  await ends['a dead process']!(server, { ...ti, workload: workload! } as Try);
  assert.equal((await beat(server, ti, refreshed(next)!)).status, 409);
});

test('an unknown try is 404 on its own routes and 403 elsewhere', async () => {
  await using server = await startExecutionApi();
  const { key } = await server.joinWorker();
  const id = randomUUID();
  const token = await server.minter.mint('execution', { sub: id, jti: 'd'.repeat(32), ttlSeconds: 300, jkt: key.jkt });
  const workload = await server.minter.mint('workload', {
    sub: id,
    jti: 'd'.repeat(32),
    ttlSeconds: 300,
    jkt: key.jkt,
  });
  const missing = { detail: { reason: 'not_found', message: 'Task Instance not found' } };
  for (const [method, route, json, use] of [
    ['PATCH', 'run', server.runBody(), workload],
    ['PATCH', 'state', { state: 'failed', end_date: '2026-01-01T00:00:00Z' }, token],
    ['PUT', 'heartbeat', beatBody, token],
    ['PUT', 'rtif', {}, token],
  ] as const) {
    const answer = await server.call(method, `/task-instances/${id}/${route}`, { key, token: use, json });
    assert.deepEqual([answer.status, answer.json()], [404, missing], route);
  }
  assert.equal((await server.call('GET', '/variables/x', { key, token })).status, 403);
});
