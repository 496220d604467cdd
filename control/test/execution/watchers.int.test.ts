// Triggers that watch for an asset belong to no task: the triggerer that runs one may make events of that asset, for the team
// whose unpaused Dags name it, and nothing else; it may read as that team where nothing has to be declared.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import test from 'node:test';
import { sql } from '@airlock/store';
import { sweepTriggers } from '@airlock/store/queries/trigger/resume';
import { ingestParseReport } from '../../src/runs/index.ts';
import { DEFAULTS, dagDocument, reportOf } from '../kit/dags.ts';
import { type Server, startExecutionApi } from './kit.ts';
import { as, joinTriggerer, sync, type Triggerer } from './triggerers.ts';

const watcher = (name: string, kwargs: object = { queue: 'q' }, classpath = 'own.Watch') => ({
  name,
  trigger: { classpath, kwargs },
});
const asset = (name: string, watchers?: unknown) => ({
  __type: 'asset',
  name,
  uri: `x://${name}`,
  group: 'asset',
  extra: {},
  ...(watchers === undefined ? {} : { watchers }),
});

/** Takes a Dag in that waits for these assets, in its own file of a bundle. @returns its import error */
async function dag(server: Server, dagId: string, assets: readonly object[], bundle = 'dags-folder') {
  const asset_condition = { __type: 'asset_all', objects: assets };
  const timetable = { __type: 'airflow.timetables.simple.AssetTriggeredTimetable', __var: { asset_condition } };
  const document = dagDocument(dagId, [{ id: 't' }], { timetable });
  const nowIso = new Date(server.nowMs()).toISOString();
  return await server.db.transaction(async (tx) => {
    const report = reportOf(`${dagId}.py`, [document]);
    return (await ingestParseReport(tx, { bundleName: bundle, report, nowIso, defaults: DEFAULTS })).import_error;
  });
}
async function withBundles(server: Server, teams: readonly (string | null)[]) {
  for (const team of teams) {
    if (team !== null) await server.db.query(sql`INSERT INTO team (name) VALUES (${team})`);
    const name = team === null ? 'dags-folder' : `bundle-${team}`;
    await server.db.query(sql`INSERT INTO dag_bundle (name, kind, path, team) VALUES (${name}, 'local', ${`/${name}`}, ${team})
      ON CONFLICT (name) DO NOTHING`);
  }
}
async function start(teams: readonly (string | null)[] = [null], env: Record<string, string> = {}) {
  const server = await startExecutionApi(env);
  await withBundles(server, teams);
  return server;
}
const tell = (server: Server, who: Triggerer, id: number, json: unknown) =>
  server.call('POST', `/triggers/${id}/events`, { ...as(who), json });
const accepted = async (server: Server, who: Triggerer, id: number, payload: unknown, eventId = randomUUID()) => {
  const answer = await tell(server, who, id, { event_id: eventId, payload: JSON.stringify(payload) });
  assert.equal(answer.status, 200, answer.text);
  return answer.json<{ accepted: boolean }>().accepted;
};
const events = (server: Server) =>
  server.db.query<{ name: string; extra: unknown; source_dag_id: string | null }>(
    sql`SELECT a.name, e.extra, e.source_dag_id FROM asset_event e JOIN asset a ON a.id = e.asset_id ORDER BY e.id`,
  );
const queued = async (server: Server) =>
  (await server.db.query<{ dag_id: string }>(sql`SELECT dag_id FROM asset_queued ORDER BY dag_id`)).map(
    (r) => r.dag_id,
  );
const pause = (server: Server, dagId: string, paused: boolean) =>
  server.db.query(sql`UPDATE dag SET is_paused = ${paused} WHERE dag_id = ${dagId}`);

test('what a Dag watches is handed to one triggerer; each of its events is one of the asset, and feeds the Dag', async () => {
  await using server = await start();
  assert.equal(await dag(server, 'd', [asset('a', [watcher('w')]), asset('plain')]), null);
  const triggerer = await joinTriggerer(server);
  const { run } = await sync(server, triggerer);
  assert.deepEqual(
    run.map(({ id: _, ...rest }) => rest),
    [
      {
        classpath: 'own.Watch',
        kwargs: '{"queue":"q"}',
        runtime: 'python',
        team: null,
        bundle_name: 'dags-folder',
        bundle_path: '/dags-folder',
        timeout_after: null,
        log_offset: 0,
        ti: null,
        assets: [{ name: 'a', uri: 'x://a' }],
      },
    ],
  );
  const { id } = run[0]!;
  assert.deepEqual((await sync(server, await joinTriggerer(server))).run, [], 'another is given nothing');
  const first = randomUUID();
  assert.equal(await accepted(server, triggerer, id, { n: 1 }, first), true);
  assert.equal(await accepted(server, triggerer, id, { n: 1 }, first), true, 'its answer was lost');
  assert.equal(await accepted(server, triggerer, id, [2]), true, 'it goes on watching');
  assert.deepEqual(await events(server), [
    { name: 'a', extra: { from_trigger: true, payload: { n: 1 } }, source_dag_id: null },
    { name: 'a', extra: { from_trigger: true, payload: [2] }, source_dag_id: null },
  ]);
  assert.deepEqual(await queued(server), ['d']);
  const said = await server.db.query(sql`SELECT owner, extra FROM event_log WHERE event = 'watcher_event'`);
  assert.equal(said.length, 2, 'each is written down, once');
});

test('nobody speaks for an asset but the triggerer that runs its trigger, with its own token, while it lives', async () => {
  await using server = await start();
  await dag(server, 'd', [asset('a', [watcher('w')])]);
  const triggerer = await joinTriggerer(server);
  const { id } = (await sync(server, triggerer)).run[0]!;
  const [stranger, worker, parser] = [
    await joinTriggerer(server),
    await server.joinWorker(),
    await server.joinWorker(['parse']),
  ];
  assert.equal(await accepted(server, stranger, id, 1), false);
  assert.equal(await accepted(server, triggerer, id + 1, 1), false, 'no such trigger');
  const ti = await server.startTry();
  const json = { event_id: randomUUID(), payload: '1' };
  const statusOf = async (send: object) =>
    (await server.call('POST', `/triggers/${id}/events`, { ...send, json })).status;
  assert.equal(await statusOf({ key: worker.key, token: worker.tokens.worker! }), 403);
  assert.equal(await statusOf({ key: parser.key, token: parser.tokens.parse! }), 403);
  assert.equal(await statusOf({ key: ti.key, token: ti.token }), 403);
  assert.equal(await statusOf({ key: stranger.key, token: triggerer.tokens.trigger! }), 403, 'a token without its key');
  assert.equal(await statusOf({}), 401);
  await server.db.query(sql`UPDATE supervisor SET ended_at = last_seen_at WHERE id = ${triggerer.id}`);
  assert.equal(await statusOf(as(triggerer)), 403, 'put out');
  await server.db.query(sql`UPDATE supervisor SET ended_at = NULL WHERE id = ${triggerer.id}`);
  assert.deepEqual(await events(server), []);
  assert.equal(await accepted(server, triggerer, id, 1), true, 'the control');
});

test('the trigger of a task makes no event of an asset, and that of an asset ends no task', async () => {
  await using server = await start();
  await dag(server, 'd', [asset('a', [watcher('w')])]);
  const triggerer = await joinTriggerer(server);
  const ti = await server.startTry();
  const deferred = { state: 'deferred', classpath: 'my.Trigger', next_method: 'm' };
  await server.call('PATCH', `/task-instances/${ti.id}/state`, { key: ti.key, token: ti.token, json: deferred });
  const { run } = await sync(server, triggerer);
  const [ofTask, ofAsset] = [run.find((one) => one.ti !== null)!, run.find((one) => one.ti === null)!];
  assert.equal(run[0]!.id, ofTask.id, 'tasks come first');
  assert.equal(await accepted(server, triggerer, ofTask.id, 1), false);
  const outcome = await server.call('POST', `/triggers/${ofAsset.id}/outcome`, {
    ...as(triggerer),
    json: { kind: 'end', state: 'success', xcoms: { return_value: '1' } },
  });
  assert.deepEqual(outcome.json(), { accepted: false });
  assert.deepEqual(await events(server), []);
  const [row] = await server.db.query<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${ti.id}`);
  assert.equal(row!.state, 'deferred');
});

test('paused, gone, changed or stale: it is cancelled, says nothing any more, and comes again when it is wanted', async () => {
  await using server = await start();
  await dag(server, 'd', [asset('a', [watcher('w')])]);
  const triggerer = await joinTriggerer(server);
  const { id } = (await sync(server, triggerer)).run[0]!;
  const cancelled = async () => (await sync(server, triggerer, [id])).cancel;
  assert.deepEqual(await cancelled(), [], 'the control: it is wanted');

  await pause(server, 'd', true);
  assert.deepEqual(await cancelled(), [{ id, ended: true }]);
  assert.equal(await accepted(server, triggerer, id, 1), false);
  assert.equal(await sweepTriggers(server.db, 100), 0, 'it is named still');
  await pause(server, 'd', false);
  assert.equal((await sync(server, triggerer)).run[0]?.id, id, 'and comes again');

  await server.db.query(sql`UPDATE dag SET is_stale = true`);
  assert.deepEqual(await cancelled(), [{ id, ended: true }]);
  assert.equal(await accepted(server, triggerer, id, 1), false);

  await dag(server, 'd', [asset('a', [watcher('w', { queue: 'another' })])]);
  assert.deepEqual(await cancelled(), [{ id, ended: true }]);
  assert.equal(await accepted(server, triggerer, id, 1), false, 'the file names another');
  const next = (await sync(server, triggerer)).run[0]!;
  assert.notEqual(next.id, id);
  assert.equal(await sweepTriggers(server.db, 100), 1);

  await dag(server, 'd', [asset('a')]);
  assert.deepEqual((await sync(server, triggerer, [next.id])).cancel, [{ id: next.id, ended: true }]);
  assert.equal(await accepted(server, triggerer, next.id, 1), false);
  assert.equal(await sweepTriggers(server.db, 100), 1);
  assert.deepEqual(await events(server), []);
});

test('Dags that name the same one share it; names and the order of arguments make no difference, arguments do', async () => {
  await using server = await start();
  await dag(server, 'd1', [asset('a', [watcher('one', { x: 1, y: 2 })])]);
  await dag(server, 'd2', [asset('a', [watcher('two', { y: 2, x: 1 })])]);
  const triggerer = await joinTriggerer(server);
  const [shared, ...others] = (await sync(server, triggerer)).run;
  assert.deepEqual(others, []);
  await dag(server, 'd3', [asset('a', [watcher('one', { x: 2, y: 2 })])]);
  assert.equal((await sync(server, triggerer, [shared!.id])).run.length, 1, 'other arguments');
  await pause(server, 'd1', true);
  assert.deepEqual((await sync(server, triggerer, [shared!.id])).cancel, [], 'the other Dag wants it');
  assert.equal(await accepted(server, triggerer, shared!.id, 1), true);
  assert.deepEqual(await queued(server), ['d2', 'd3'], 'one event for all that wait for the asset');
  await pause(server, 'd2', true);
  assert.deepEqual((await sync(server, triggerer, [shared!.id])).cancel, [{ id: shared!.id, ended: true }]);
});

test('one that is named for several assets runs once, and what it takes is an event of each that is wanted', async () => {
  await using server = await start();
  await dag(server, 'd1', [asset('a', [watcher('one')]), asset('b', [watcher('two')])]);
  await dag(server, 'd2', [asset('c', [watcher('three')])]);
  const triggerer = await joinTriggerer(server);
  const { run } = await sync(server, triggerer);
  assert.deepEqual(
    run.map(({ assets }) => assets?.map(({ name }) => name)),
    [['a', 'b', 'c']],
  );
  const { id } = run[0]!;
  const told = async (eventId = randomUUID()) => {
    const before = (await events(server)).length;
    assert.equal(await accepted(server, triggerer, id, 1, eventId), true);
    return (await events(server)).slice(before).map(({ name }) => name);
  };
  const first = randomUUID();
  assert.deepEqual(await told(first), ['a', 'b', 'c']);
  assert.deepEqual(await told(first), [], 'said again');
  await pause(server, 'd2', true);
  assert.deepEqual(await told(), ['a', 'b'], 'no unpaused Dag wants c');
  await dag(server, 'd1', [asset('a', [watcher('one')]), asset('b')]);
  assert.deepEqual((await sync(server, triggerer, [id])).cancel, [], 'it goes on for a');
  assert.deepEqual(await told(), ['a']);
  await pause(server, 'd2', false);
  await pause(server, 'd1', true);
  assert.deepEqual(await told(), ['c']);
  await pause(server, 'd2', true);
  assert.equal(await accepted(server, triggerer, id, 1), false);
});

test('it keeps things of its own assets alone, while it runs it and somebody wants its events', async () => {
  const multi = { AIRLOCK__CORE__MULTI_TEAM: 'True', AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'strict' };
  await using server = await start(['a', 'b'], multi);
  await dag(server, 'd_a', [asset('mine', [watcher('w')]), asset('plain')], 'bundle-a');
  await dag(server, 'd_b', [asset('theirs', [watcher('w', { queue: 'b' })])], 'bundle-b');
  const triggerer = await joinTriggerer(server);
  const { run } = await sync(server, triggerer);
  const { id } = run.find(({ team }) => team === 'a')!;
  const place = (name: string, of: number | string = id, key: string | null = 'k') =>
    `/triggers/${of}/store/asset/by-name/value?name=${name}${key === null ? '' : `&key=${key}`}`;
  const call = (method: string, path: string, who: object = as(triggerer), json: unknown = { value: 1 }) =>
    server.call(method, path, { ...who, ...(method === 'PUT' ? { json } : {}) });
  const body = '{"value":12345678901234567890}';
  const put = await server.call('PUT', place('mine'), {
    ...as(triggerer),
    headers: { 'content-type': 'application/json' },
    body,
  });
  assert.equal(put.status, 204, put.text);
  assert.equal((await call('GET', place('mine'))).text, body, 'numbers have all their digits');
  assert.equal((await call('GET', place('mine', id, 'absent'))).status, 404);
  const rows = () =>
    server.db.query(sql`SELECT a.name, s.key, s.by_watcher, s.writer_dag_id FROM asset_state s
    JOIN asset a ON a.id = s.asset_id`);
  const only = [{ name: 'mine', key: 'k', by_watcher: true, writer_dag_id: null }];
  assert.deepEqual(await rows(), only);

  const stranger = await joinTriggerer(server);
  const ti = await server.startTry();
  for (const method of ['GET', 'PUT', 'DELETE']) {
    // Another team's, one of its team that it does not watch for, and one that is not there: one answer.
    const answers = [];
    for (const name of ['theirs', 'plain', 'absent']) {
      const { status, text } = await call(method, place(name));
      answers.push([status, text.replaceAll(name, 'NAME')]);
    }
    assert.equal(answers[0]![0], 403);
    assert.deepEqual(answers, [answers[0], answers[0], answers[0]], method);
    assert.equal((await call(method, place('mine'), as(stranger))).status, 403, 'who does not run it');
    assert.equal((await call(method, place('mine', id + 1000))).status, 403, 'no such trigger');
    assert.equal((await call(method, place('mine'), { key: ti.key, token: ti.token })).status, 403, 'a task');
    assert.equal((await call(method, place('mine'), {})).status, 401);
    for (const bad of [place('mine', id, null), place('mine', id, ''), place('', id), place('mine', 'x')])
      assert.equal((await call(method, bad)).status, 422, bad);
    await pause(server, 'd_a', true);
    assert.equal((await call(method, place('mine'))).status, 403, 'nobody wants its events');
    await pause(server, 'd_a', false);
  }
  for (const json of [{ value: null }, {}, [], { value: 1, more: 1 }])
    assert.equal((await call('PUT', place('mine'), as(triggerer), json)).status, 422, JSON.stringify(json));
  assert.deepEqual(await rows(), only, 'none of those changed anything');

  assert.equal((await call('DELETE', place('mine'))).status, 204);
  assert.deepEqual(await rows(), []);
  await call('PUT', place('mine', id, 'x'));
  await call('PUT', place('mine', id, 'y'));
  const clear = `/triggers/${id}/store/asset/by-name/clear?name=`;
  assert.equal((await call('DELETE', `${clear}theirs`)).status, 403);
  assert.equal((await rows()).length, 2);
  assert.equal((await call('DELETE', `${clear}mine`)).status, 204);
  assert.deepEqual(await rows(), []);
  const log = await server.db.query<{ event: string; extra: string }>(
    sql`SELECT event, extra FROM event_log WHERE event LIKE '%_asset_state_store' ORDER BY id`,
  );
  assert.deepEqual(
    log.map(({ event }) => event.split('_')[0]),
    ['set', 'delete', 'set', 'set', 'clear'],
  );
  assert.ok(!JSON.stringify(log).includes('12345678901234567890'), 'never the value');
});

test('with teams, each team has its own, in its own bundle, and its events feed no other team', async () => {
  await using server = await start(['a', 'b'], { AIRLOCK__CORE__MULTI_TEAM: 'True' });
  for (const team of ['a', 'b']) await dag(server, `d_${team}`, [asset('shared', [watcher('w')])], `bundle-${team}`);
  const triggerer = await joinTriggerer(server);
  const { run } = await sync(server, triggerer);
  assert.deepEqual(
    run.map((one) => [one.team, one.bundle_name]),
    [
      ['a', 'bundle-a'],
      ['b', 'bundle-b'],
    ],
  );
  assert.equal(await accepted(server, triggerer, run[0]!.id, 1), true);
  assert.deepEqual(await queued(server), ['d_a']);
  // The bundle moves to another team: what the former team watched is nobody's.
  await server.db.query(sql`UPDATE dag SET team = 'b' WHERE dag_id = 'd_a'`);
  assert.equal(await accepted(server, triggerer, run[0]!.id, 2), false);
  assert.equal(await accepted(server, triggerer, run[1]!.id, 2), true, 'the control');
});

test('it has one owner: handed on when that one is dead or silent, never while it lives', async () => {
  await using server = await start();
  await dag(server, 'd', [asset('a', [watcher('w')])]);
  const [first, second] = [await joinTriggerer(server), await joinTriggerer(server)];
  const { id } = (await sync(server, first)).run[0]!;
  assert.deepEqual((await sync(server, second)).run, []);
  const silentSince = new Date(server.nowMs() - 31_000).toISOString();
  await server.db.query(sql`UPDATE supervisor SET last_seen_at = ${silentSince} WHERE id = ${first.id}`);
  assert.equal((await sync(server, second)).run[0]?.id, id, '31 s of silence');
  assert.deepEqual((await sync(server, first, [id])).cancel, [{ id, ended: false }]);
  assert.equal(await accepted(server, first, id, 1), false, 'no longer its own');
  assert.equal(await accepted(server, second, id, 1), true, 'the control');
});

test('slots bound what watches as they bound what tasks wait for, and triggerers of queues have none of it', async () => {
  await using server = await start([null], { AIRLOCK__TRIGGERER__QUEUES_ENABLED: 'True' });
  await dag(server, 'd', [
    asset(
      'a',
      ['1', '2', '3'].map((n) => watcher(n, { n })),
    ),
  ]);
  const triggerer = await joinTriggerer(server);
  assert.deepEqual((await sync(server, triggerer, [], { slots: 0 })).run, []);
  assert.deepEqual((await sync(server, triggerer, [], { queues: ['gpu'] })).run, []);
  const two = (await sync(server, triggerer, [], { slots: 2 })).run;
  assert.equal(two.length, 2);
  const held = two.map((one) => one.id);
  assert.equal((await sync(server, triggerer, held, { slots: 2 })).run.length, 1);
});

test('it reads variables and connections of its team, of nobody else, only while it is wanted and nothing must be declared', async () => {
  const multi = { AIRLOCK__CORE__MULTI_TEAM: 'True' };
  await using server = await start(['a', 'b'], multi);
  await dag(server, 'd_a', [asset('x', [watcher('w')])], 'bundle-a');
  for (const team of ['a', 'b']) {
    await server.db.query(sql`INSERT INTO variable (team, key, val) VALUES (${team}, ${`of_${team}`}, 'canary')`);
    await server.db.query(
      sql`INSERT INTO connection (team, conn_id, conn_type) VALUES (${team}, ${`of_${team}`}, 'http')`,
    );
  }
  const triggerer = await joinTriggerer(server);
  const { id } = (await sync(server, triggerer)).run[0]!;
  const read = async (who: Triggerer, path: string) => (await server.call('GET', `/triggers/${path}`, as(who))).status;
  const stranger = await joinTriggerer(server);
  for (const kind of ['variables', 'connections']) {
    assert.equal(await read(triggerer, `${id}/${kind}/of_b`), 404, "another team's is as one that is not there");
    assert.equal(await read(triggerer, `${id}/${kind}/absent`), 404);
    assert.equal(await read(stranger, `${id}/${kind}/of_a`), 403);
    assert.equal(await read(triggerer, `${id + 1}/${kind}/of_a`), 403);
    assert.equal(await read(triggerer, `x/${kind}/of_a`), 422);
    assert.equal(await read(triggerer, `${id}/${kind}/of_a`), 200, 'the control');
    await pause(server, 'd_a', true);
    assert.equal(await read(triggerer, `${id}/${kind}/of_a`), 403, 'nobody wants its events');
    await pause(server, 'd_a', false);
  }
  const ti = await server.startTry();
  for (const send of [{ key: ti.key, token: ti.token }, {}])
    assert.ok([401, 403].includes((await server.call('GET', `/triggers/${id}/variables/of_a`, send)).status));
  const log = await server.db.query(
    sql`SELECT 1 FROM event_log WHERE event IN ('watcher_read_variable', 'watcher_read_connection')`,
  );
  assert.ok(log.length >= 4, 'each read is written down');
});

test('where needs must be declared it reads nothing, and watches all the same', async () => {
  await using server = await start([null], { AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'strict' });
  await dag(server, 'd', [asset('a', [watcher('w')])]);
  await server.db.query(sql`INSERT INTO variable (key, val) VALUES ('v', 'canary')`);
  const triggerer = await joinTriggerer(server);
  const { id } = (await sync(server, triggerer)).run[0]!;
  for (const name of ['v', 'absent'])
    assert.equal((await server.call('GET', `/triggers/${id}/variables/${name}`, as(triggerer))).status, 403);
  assert.equal(await accepted(server, triggerer, id, 1), true, 'the control');
});

test('what is no event, or too large, is refused without harm; so is what is no watcher', async () => {
  await using server = await start();
  await dag(server, 'd', [asset('a', [watcher('w')])]);
  const triggerer = await joinTriggerer(server);
  const { id } = (await sync(server, triggerer)).run[0]!;
  const event_id = randomUUID();
  for (const body of [
    {},
    [],
    { event_id, payload: {} },
    { event_id, payload: '{' },
    { payload: '1' },
    { event_id: 'x', payload: '1' },
    { event_id, payload: '1', more: 1 },
  ])
    assert.equal((await tell(server, triggerer, id, body)).status, 422, JSON.stringify(body));
  assert.equal(
    (await tell(server, triggerer, id, { event_id, payload: JSON.stringify('x'.repeat(1 << 20)) })).status,
    413,
  );
  for (const path of ['0', '-1', 'x', '1.5', '99999999999999999999'])
    assert.equal(
      (await server.call('POST', `/triggers/${path}/events`, { ...as(triggerer), json: { event_id, payload: '1' } }))
        .status,
      422,
    );
  assert.equal((await tell(server, triggerer, id, { event_id, payload: JSON.stringify('a\0b') })).status, 422);
  assert.equal(await accepted(server, triggerer, id, null, event_id), true, 'none of those was taken');

  const bad = [
    {},
    { name: 'w' },
    5,
    { ...watcher('w'), name: '' },
    { ...watcher('w'), trigger: {} },
    watcher('w', {}, 'a\0'),
  ];
  for (const one of bad)
    assert.match((await dag(server, 'e', [asset('b', [one])])) ?? '', /watcher|NUL/, JSON.stringify(one));
  assert.equal(await dag(server, 'e', [asset('b', [watcher('w')])]), null, 'the control');
});
