// A task that waits for a trigger gives its place and its tokens up. One triggerer runs the trigger, with the rights of that
// task; what the trigger came to counts once, and the task goes on in the same try.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { TRIGGER_TRY_HEADER } from '@airlock/contract/supervisor-api';
import { sql } from '@airlock/store';
import { sweepTriggers } from '@airlock/store/queries/trigger/resume';
import { resumeOverdue } from '../../src/runs/index.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';
import { as, joinTriggerer, sync, type Triggerer } from './triggerers.ts';

const defer = (server: Server, ti: Try, over: object = {}) =>
  server.call('PATCH', `/task-instances/${ti.id}/state`, {
    key: ti.key,
    token: ti.token,
    json: {
      state: 'deferred',
      classpath: 'my.Trigger',
      trigger_kwargs: { secret: 'canary-kwargs' },
      next_method: 'resumed',
      next_kwargs: { word: 'bonjour' },
      trigger_timeout: 'PT1M',
      ...over,
    },
  });
const say = async (server: Server, triggerer: Triggerer, id: number, outcome: object) =>
  await server.call('POST', `/triggers/${id}/outcome`, { ...as(triggerer), json: outcome });
const accepted = async (...of: Parameters<typeof say>) => (await say(...of)).json<{ accepted: boolean }>().accepted;
const read = (server: Server, triggerer: Triggerer, tiId: string | null, name: string) =>
  server.call('GET', `/variables/${name}`, {
    ...as(triggerer),
    headers: tiId === null ? {} : { [TRIGGER_TRY_HEADER]: tiId },
  });
type Row = {
  state: string;
  try_number: number;
  next_method: string | null;
  next_kwargs: unknown;
  trigger_id: number | null;
  trigger_timeout: string | null;
  execution_jti: string | null;
};
const rowOf = async (server: Server, id: string): Promise<Row | undefined> =>
  (
    await server.db.query<Row>(sql`SELECT state, try_number, next_method, next_kwargs, trigger_id, trigger_timeout,
      execution_jti FROM task_instance WHERE id = ${id}`)
  )[0];
const triggers = (server: Server) => server.db.query<{ id: number }>(sql`SELECT id FROM trigger`);
/** A deferred try and its trigger, which `triggerer` runs. */
async function waiting(server: Server, over: object = {}, task: Parameters<Server['startTry']>[0] = {}) {
  const ti = await server.startTry(task);
  assert.equal((await defer(server, ti, over)).status, 204);
  const triggerer = await joinTriggerer(server);
  const { run } = await sync(server, triggerer);
  const workload = run.find((each) => each.ti?.id === ti.id);
  assert.ok(workload, 'it was handed out');
  return { ti, triggerer, workload };
}

test('a deferred try waits with its time-out, loses its tokens, and saying so again changes nothing', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  assert.equal((await defer(server, ti)).status, 204);
  const row = (await rowOf(server, ti.id))!;
  assert.deepEqual(
    [row.state, row.try_number, row.next_method, row.next_kwargs, row.execution_jti],
    ['deferred', 1, 'resumed', { word: 'bonjour' }, null],
  );
  assert.ok(Math.abs(Date.parse(row.trigger_timeout!) - server.nowMs() - 60_000) < 5000);
  assert.equal((await defer(server, ti)).status, 200, 'the same report again');
  assert.equal((await triggers(server)).length, 1, 'and one trigger');
  const own = { key: ti.key, token: ti.token };
  assert.equal((await server.call('GET', '/variables/x', own)).status, 403);
  const late = { state: 'success', end_date: '2026-01-01T00:00:00Z', task_outlets: [], outlet_events: [] };
  assert.equal((await server.call('PATCH', `/task-instances/${ti.id}/state`, { ...own, json: late })).status, 409);
});

test('the arguments of a trigger lie sealed, and only who runs it gets them', async () => {
  await using server = await startExecutionApi();
  const { workload } = await waiting(server);
  const dump = JSON.stringify(await server.db.query(sql`SELECT * FROM trigger`));
  assert.ok(!dump.includes('canary-kwargs'));
  assert.deepEqual(JSON.parse(workload.kwargs), { secret: 'canary-kwargs' }, 'the control: its triggerer');
  assert.equal(workload.classpath, 'my.Trigger');
});

test('an event resumes the try once, in the same try, however often and by whomever it is said', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer, workload } = await waiting(server);
  const stranger = await joinTriggerer(server);
  const event = { kind: 'event', payload: JSON.stringify({ rows: [1, null] }) };
  assert.equal(await accepted(server, stranger, workload.id, event), false, 'it runs on another');
  assert.equal((await rowOf(server, ti.id))!.state, 'deferred');
  const words = await Promise.all(Array.from({ length: 16 }, () => accepted(server, triggerer, workload.id, event)));
  assert.equal(words.filter(Boolean).length, 1, 'of 16 at once one counts');
  const row = (await rowOf(server, ti.id))!;
  assert.deepEqual(
    [row.state, row.try_number, row.next_method, row.next_kwargs, row.trigger_id, row.trigger_timeout],
    ['scheduled', 1, 'resumed', { word: 'bonjour', event: { rows: [1, null] } }, null, null],
  );
  assert.deepEqual(await triggers(server), []);
  assert.deepEqual((await sync(server, triggerer, [workload.id])).cancel, [{ id: workload.id, ended: true }]);
});

test('a trigger that fails sends its task to a worker, to fail', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer, workload } = await waiting(server);
  assert.equal(await accepted(server, triggerer, workload.id, { kind: 'failure', traceback: ['ValueError'] }), true);
  const row = (await rowOf(server, ti.id))!;
  assert.deepEqual(
    [row.state, row.next_method, row.next_kwargs],
    ['scheduled', '__fail__', { error: 'Trigger failure', traceback: ['ValueError'] }],
  );
});

test('a trigger may end its task without a worker, with values; a failure asks for the retries', async () => {
  await using server = await startExecutionApi();
  const done = await waiting(server);
  const end = { kind: 'end', state: 'success', xcoms: { return_value: '[7]' } };
  assert.equal(await accepted(server, done.triggerer, done.workload.id, end), true);
  assert.equal((await rowOf(server, done.ti.id))!.state, 'success');
  assert.deepEqual(await server.db.query(sql`SELECT key, value FROM xcom WHERE dag_run_id = ${done.ti.run.dagRunId}`), [
    { key: 'return_value', value: [7] },
  ]);
  const failed = await waiting(server, {}, { maxTries: 1 });
  assert.equal(await accepted(server, failed.triggerer, failed.workload.id, { ...end, state: 'failed' }), true);
  assert.equal(await rowOf(server, failed.ti.id), undefined, 'its id is archived');
  const [again] = await server.db.query<{ state: string; trigger_id: number | null }>(
    sql`SELECT state, trigger_id FROM task_instance WHERE dag_run_id = ${failed.ti.run.dagRunId}`,
  );
  assert.deepEqual(again, { state: 'up_for_retry', trigger_id: null });
});

test('past its time the try goes on to fail, and a later event finds nobody', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer, workload } = await waiting(server);
  const at = (seconds: number) =>
    server.db.transaction((tx) => resumeOverdue(tx, new Date(server.nowMs() + seconds * 1000).toISOString()));
  assert.equal(await at(50), 0, 'ten seconds are left');
  assert.equal(await at(61), 1);
  const row = (await rowOf(server, ti.id))!;
  assert.deepEqual(
    [row.state, row.next_method, row.next_kwargs],
    ['scheduled', '__fail__', { error: 'Trigger timeout' }],
  );
  assert.equal(await accepted(server, triggerer, workload.id, { kind: 'event', payload: '1' }), false);
});

test('a trigger has one owner: handed on when that one is dead or silent, never while it lives', async () => {
  await using server = await startExecutionApi();
  const { triggerer, workload } = await waiting(server);
  const second = await joinTriggerer(server);
  assert.deepEqual((await sync(server, second)).run, [], 'the first one lives');
  assert.deepEqual((await sync(server, triggerer, [workload.id])).run, [], 'and holds it');
  assert.equal((await sync(server, triggerer)).run[0]?.id, workload.id, 'the answer that gave it was lost');
  const silentSince = new Date(server.nowMs() - 31_000).toISOString();
  await server.db.query(sql`UPDATE supervisor SET last_seen_at = ${silentSince} WHERE id = ${triggerer.id}`);
  assert.equal((await sync(server, second)).run[0]?.id, workload.id, '31 s of silence');
  assert.deepEqual((await sync(server, triggerer, [workload.id])).cancel, [{ id: workload.id, ended: false }]);
  assert.equal(
    await accepted(server, triggerer, workload.id, { kind: 'event', payload: '1' }),
    false,
    'no longer its own',
  );
  const third = await joinTriggerer(server);
  await server.db.query(sql`UPDATE supervisor SET ended_at = last_seen_at WHERE id = ${second.id}`);
  assert.equal((await sync(server, third)).run[0]?.id, workload.id, 'one that ended');
});

test('of many triggers that many ask for at once each is given out once', async () => {
  // A row that another triggerer takes while this one looks must not count as free by what was joined to it before.
  await using server = await startExecutionApi();
  const triggerers = await Promise.all(Array.from({ length: 4 }, () => joinTriggerer(server)));
  for (let round = 0; round < 5; round++) {
    const tries = await server.startMany(20);
    await Promise.all(tries.map((ti) => defer(server, ti)));
    const given = await Promise.all(
      Array.from({ length: 3 }, () => triggerers)
        .flat()
        .map(async (each) => ({ each, run: (await sync(server, each, [], { slots: 1000 })).run })),
    );
    const owners = new Map<number, Set<Triggerer>>();
    for (const { each, run } of given)
      for (const { id } of run) owners.set(id, (owners.get(id) ?? new Set()).add(each));
    assert.deepEqual(
      [...owners.values()].map((set) => set.size).filter((size) => size !== 1),
      [],
      'each has one owner, who may be told of it twice',
    );
    assert.ok(owners.size >= 20);
  }
});

test('with queues, a triggerer runs those of its queues and no others', async () => {
  await using server = await startExecutionApi({ AIRLOCK__TRIGGERER__QUEUES_ENABLED: 'True' });
  const ti = await server.startTry();
  await defer(server, ti, { queue: 'gpu' });
  const triggerer = await joinTriggerer(server);
  assert.deepEqual((await sync(server, triggerer)).run, []);
  assert.deepEqual((await sync(server, triggerer, [], { queues: ['cpu'] })).run, []);
  assert.equal((await sync(server, triggerer, [], { queues: ['cpu', 'gpu'] })).run[0]?.ti?.id, ti.id, 'the control');
});

test('a triggerer uses what the waiting task declared, for that task alone, and only while it waits', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer, workload } = await waiting(server, {}, { needs: { variables: ['mine'] } });
  const other = await server.startTry({ needs: { variables: ['theirs'] } });
  for (const key of ['mine', 'theirs'])
    await server.db.query(sql`INSERT INTO variable (key, val) VALUES (${key}, ${`value of ${key}`})`);
  const statuses = async (...asked: Array<[Triggerer, string | null, string]>) =>
    await Promise.all(asked.map(async ([who, id, name]) => (await read(server, who, id, name)).status));
  const stranger = await joinTriggerer(server);
  assert.deepEqual(
    await statuses(
      [triggerer, ti.id, 'theirs'], // not declared
      [triggerer, ti.id, 'absent'], // nor this one, and nobody learns that it is not there
      [triggerer, other.id, 'theirs'], // a task that waits for no trigger of its
      [triggerer, null, 'mine'], // no task named
      [triggerer, randomUUID(), 'mine'],
      [triggerer, 'x', 'mine'],
      [stranger, ti.id, 'mine'], // another triggerer
    ),
    [403, 403, 403, 403, 403, 403, 403],
  );
  assert.equal((await read(server, triggerer, ti.id, 'mine')).json<{ value: string }>().value, 'value of mine');
  // A worker's host, and the task's own token with the header, are no triggerers.
  const asTask = { key: other.key, token: other.token, headers: { [TRIGGER_TRY_HEADER]: ti.id } };
  assert.equal((await server.call('GET', '/variables/mine', asTask)).status, 403);
  await server.db.query(sql`UPDATE supervisor SET ended_at = last_seen_at WHERE id = ${triggerer.id}`);
  assert.deepEqual(await statuses([triggerer, ti.id, 'mine']), [403], 'put out');
  await server.db.query(sql`UPDATE supervisor SET ended_at = NULL WHERE id = ${triggerer.id}`);
  assert.deepEqual(await statuses([triggerer, ti.id, 'mine']), [200], 'the control');
  await accepted(server, triggerer, workload.id, { kind: 'event', payload: '1' });
  assert.deepEqual(await statuses([triggerer, ti.id, 'mine']), [403], 'it waits no more');
});

test('what a wait of TypeScript looks at is what its task declared: its Dags and inlets, and no other', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer } = await waiting(server, {}, { needs: { dags: ['declared'] } });
  const status = async (path: string, who = triggerer) =>
    (await server.call('GET', path, { ...as(who), headers: { [TRIGGER_TRY_HEADER]: ti.id } })).status;
  const stranger = await joinTriggerer(server);
  for (const [path, dagId] of [
    ['/dag-runs/count?states=success&run_ids=r&dag_id=', 'declared'],
    ['/dag-runs/count?states=success&logical_dates=2026-01-01T00:00:00.000Z&dag_id=', 'declared'],
  ] as const) {
    assert.equal(await status(`${path}other`), 403, path);
    assert.equal(await status(`${path}absent`), 403, path);
    assert.equal(await status(path + dagId, stranger), 403, path);
    assert.equal(await status(path + dagId), 200, `the control: ${path}`);
  }
  const events = '/asset-events/by-asset?name=other&uri=&after=2026-01-01T00:00:00.000Z&ascending=true&limit=1';
  assert.equal(await status(events), 403);
  const undeclared = await waiting(server, {}, { needs: null });
  const answer = await server.call('GET', events, {
    ...as(undeclared.triggerer),
    headers: { [TRIGGER_TRY_HEADER]: undeclared.ti.id },
  });
  assert.deepEqual(
    [answer.status, answer.json()],
    [200, { asset_events: [] }],
    'the control: a task that declares nothing',
  );
});

test('a triggerer can do nothing that only a running task does', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer } = await waiting(server);
  const send = { ...as(triggerer), headers: { [TRIGGER_TRY_HEADER]: ti.id } };
  const tries: Array<[string, string, object?]> = [
    ['PATCH', `/task-instances/${ti.id}/state`, { state: 'success', end_date: '2026-01-01T00:00:00Z' }],
    ['PATCH', `/task-instances/${ti.id}/run`, server.runBody()],
    ['PUT', `/task-instances/${ti.id}/heartbeat`, { hostname: 'worker-1', pid: 4242 }],
    ['PUT', `/task-instances/${ti.id}/rtif`, {}],
    ['PATCH', `/task-instances/${ti.id}/skip-downstream`, { tasks: [] }],
    ['POST', `/dag-runs/${ti.run.dagId}/x`, {}],
    ['POST', `/hitlDetails/${ti.id}`, { ti_id: ti.id, options: ['a'], subject: 's' }],
    ['GET', `/dag-modules/${ti.id}`],
    ['POST', '/workloads/claim', { slots: 1, queues: ['*'], wait_seconds: 0 }],
  ];
  for (const [method, path, json] of tries)
    assert.equal(
      (await server.call(method, path, { ...send, ...(json ? { json } : {}) })).status,
      403,
      `${method} ${path}`,
    );
  const log = await server.call('POST', `/task-instances/${ti.id}/logs?offset=0`, {
    ...as(triggerer),
    headers: { [TRIGGER_TRY_HEADER]: ti.id, 'content-type': 'application/x-ndjson' },
    body: '{}\n',
  });
  assert.equal(log.status, 200, 'the control: the log of the task that waits');
});

test('a task that a person cleared or marked waits for no trigger any more', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer, workload } = await waiting(server);
  const kept = await waiting(server);
  await server.db.query(sql`UPDATE task_instance SET state = 'failed', trigger_id = NULL WHERE id = ${ti.id}`);
  assert.deepEqual((await sync(server, triggerer, [workload.id])).cancel, [{ id: workload.id, ended: true }]);
  assert.equal(await accepted(server, triggerer, workload.id, { kind: 'event', payload: '1' }), false);
  assert.equal((await rowOf(server, ti.id))!.state, 'failed');
  assert.equal(await sweepTriggers(server.db, 100), 1);
  assert.deepEqual(await triggers(server), [{ id: kept.workload.id }], 'the control: one that is waited for');
});

test('what is no outcome, or of no trigger, is refused without harm', async () => {
  await using server = await startExecutionApi();
  const { ti, triggerer, workload } = await waiting(server);
  const refused = [
    {},
    [],
    { kind: 'event', payload: '1', more: 1 },
    { kind: 'event', payload: { no: 'text' } },
    { kind: 'event', payload: 'no JSON' },
    { kind: 'event', payload: '[NaN]' },
    { kind: 'event', payload: '['.repeat(100) + ']'.repeat(100) },
    { kind: 'end', state: 'running', xcoms: {} },
    { kind: 'end', state: 'success', xcoms: { a: 'no JSON' } },
  ];
  for (const outcome of refused) assert.equal((await say(server, triggerer, workload.id, outcome)).status, 422);
  for (const id of ['0', '-1', 'x', '1.5', '99999999999999999999'])
    assert.equal(
      (
        await server.call('POST', `/triggers/${id}/outcome`, {
          ...as(triggerer),
          json: { kind: 'event', payload: '1' },
        })
      ).status,
      422,
      id,
    );
  for (const body of [
    { trigger_kwargs: 'a\0b' },
    { classpath: '\0' },
    { trigger_timeout: 'x' },
    { next_kwargs: null },
    { queue: 5 },
  ]) {
    const fresh = await server.startTry();
    assert.equal((await defer(server, fresh, body)).status, 422, JSON.stringify(body));
  }
  assert.equal((await rowOf(server, ti.id))!.state, 'deferred');
  assert.equal(await accepted(server, triggerer, workload.id, { kind: 'event', payload: '1' }), true, 'the control');
});

test('arguments that no key opens fail their own task, and hold up no other', async () => {
  await using server = await startExecutionApi();
  const [lost, fine] = [await server.startTry(), await server.startTry()];
  await defer(server, lost);
  await defer(server, fine);
  await server.db.query(sql`UPDATE trigger SET kwargs = 'a1.gone.AAAA.AAAA' WHERE ti_id = ${lost.id}`);
  const { run } = await sync(server, await joinTriggerer(server));
  assert.deepEqual(
    run.map(({ ti }) => ti?.id),
    [fine.id],
  );
  assert.equal((await rowOf(server, lost.id))!.next_method, '__fail__');
});
