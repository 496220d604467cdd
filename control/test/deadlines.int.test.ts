// When runs have to be over: rows made with the run, moved and dropped with it, and a callback for each one that passes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
import { AppError } from '@airlock/contract/errors';
import { sql } from '@airlock/store';
import { readDeadlines } from '../src/domain/deadlines.ts';
import { clearTaskInstances } from '../src/runs/index.ts';
import { makeWorld, type World } from './kit/world.ts';

const reference = (reference_type: string, more: object = {}) => ({ reference_type, ...more });
function deadline(from: object, seconds: number, over: object = {}) {
  return {
    name: 'late',
    reference: from,
    interval: { __classname__: 'datetime.timedelta', __version__: 2, __data__: seconds },
    callback: {
      __classname__: 'airflow.sdk.definitions.callback.AsyncCallback',
      __version__: 0,
      __data__: { path: 'alerts.tell', kwargs: { channel: '#ops' } },
    },
    ...over,
  };
}
/** As Airflow 3.3.2 writes it. */
const byVariable = (key: string) => ({
  __classname__: 'airflow.sdk.definitions.deadline.VariableInterval',
  __version__: 0,
  __data__: { key },
});
const QUEUED = reference('DagRunQueuedAtDeadline');

type Row = { position: number; due_at: string; missed: boolean; reference_type: string; callback_id: string | null };
const rows = (world: World) =>
  world.db.query<Row>(
    sql`SELECT position, due_at, missed, reference_type, callback_id FROM deadline ORDER BY position, due_at`,
  );
const due = async (world: World) =>
  (await rows(world)).map((row) => [row.position, (Date.parse(row.due_at) - world.clock.nowMs()) / 1000]);
const callbacks = (world: World) =>
  world.db.query<{ kind: string; event: string; target: { path: string; kwargs: object; asynchronous: boolean } }>(
    sql`SELECT kind, event, target FROM callback ORDER BY created_at, id`,
  );
const sweep = (world: World) =>
  world.core.sweep({
    availableSinceMs: 0,
    heartbeatTimeoutMs: 300_000,
    queueTimeoutMs: 600_000_000,
    supervisorTimeoutMs: 30_000_000,
    maxRetryDelaySeconds: 86_400,
  });

test('the definitions of Airflow’s own sample are read; its stored identifiers and what is no deadline are left out', () => {
  const sample = (name: string) =>
    JSON.parse(readFileSync(new URL(`data/serialized-dags/${name}.json`, import.meta.url), 'utf8')) as {
      dag: { deadline: unknown };
      stored: { deadline: unknown };
    };
  assert.deepEqual(
    readDeadlines(sample('dag_options').dag.deadline).map((one) => [
      one.position,
      one.name,
      one.reference,
      one.interval,
      one.callback.asynchronous,
    ]),
    [
      [0, 'late by an hour', { type: 'DagRunQueuedAtDeadline' }, 3600, true],
      [1, null, { type: 'AverageRuntimeDeadline', maxRuns: 5, minRuns: 2 }, 600, false],
      [2, null, { type: 'FixedDatetimeDeadline', atMs: 1_798_070_400_000 }, -300, false],
    ],
  );
  assert.deepEqual(readDeadlines(sample('stored_deadlines.dag_options').stored.deadline), []);
  assert.deepEqual(readDeadlines(null), []);
  const one = readDeadlines([
    deadline(reference('MyDeadline', { __class_path: 'my.Deadline' }), 60),
    deadline(QUEUED, 60, { interval: byVariable('') }),
    deadline(QUEUED, 60, { callback: null }),
    deadline(QUEUED, 61),
    deadline(QUEUED, 0, { interval: byVariable('k') }),
    deadline(QUEUED, 0, { interval: 62.5 }),
  ]);
  assert.deepEqual(
    one.map((each) => [each.position, each.interval]),
    [
      [0, 60],
      [3, 61],
      [4, { variable: 'k' }],
      [5, 62.5],
    ],
  );
});

test('each reference gives its instant, and one that does not exist gives no deadline', async () => {
  await using world = await makeWorld();
  const at = world.clock.nowMs() / 1000 + 500;
  await world.dag('d', [{ id: 't' }], {
    deadline: [
      deadline(QUEUED, 60),
      deadline(reference('DagRunLogicalDateDeadline'), 60),
      deadline(reference('FixedDatetimeDeadline', { datetime: at }), -100),
      deadline(reference('AverageRuntimeDeadline', { max_runs: 2, min_runs: 2 }), 5),
    ],
  });
  await world.trigger('d');
  assert.deepEqual(await due(world), [
    [0, 60],
    [2, 400],
  ]);
  const dated = new Date(world.clock.nowMs() - 20_000).toISOString();
  await world.trigger('d', { logicalDate: dated });
  assert.deepEqual(
    (await due(world)).filter(([position]) => position === 1),
    [[1, 40]],
  );
});

test('the average is that of the newest successful runs, once there are enough', async () => {
  await using world = await makeWorld();
  const average = reference('AverageRuntimeDeadline', { max_runs: 2, min_runs: 2 });
  await world.dag('d', [{ id: 't' }], { deadline: deadline(average, 5) });
  for (const seconds of [1000, 10, 20]) {
    await world.trigger('d');
    await world.settle();
    const [ti] = await world.take();
    world.clock.advance(seconds);
    await world.succeed(ti!);
    await world.settle();
    await world.db.query(sql`DELETE FROM deadline`);
    world.clock.advance(1);
  }
  await world.trigger('d');
  assert.deepEqual(await due(world), [[0, 20]]);
});

test('a deadline that passes is marked once, and its callback asked for once, with what the Dag says', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(QUEUED, 60)] });
  await world.trigger('d');
  await world.settle();
  world.clock.advance(59);
  await sweep(world);
  assert.deepEqual(await callbacks(world), [], 'it has not passed yet');
  world.clock.advance(2);
  await sweep(world);
  await sweep(world);
  const [row] = await rows(world);
  assert.equal(row?.missed, true);
  assert.notEqual(row?.callback_id, null);
  const found = await callbacks(world);
  assert.deepEqual(
    found.map(({ kind, event, target }) => [kind, event, target.path, target.kwargs, target.asynchronous]),
    [['deadline', 'missed', 'alerts.tell', { channel: '#ops' }, true]],
  );
});

test('a run that succeeds in time drops its deadlines; one that fails does not, and one that is late keeps the missed one', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(QUEUED, 60)] });
  const end = async (how: 'succeed' | 'fail', after: number) => {
    await world.trigger('d');
    await world.settle();
    world.clock.advance(after);
    await sweep(world);
    for (const ti of await world.take()) await world[how](ti);
    await world.settle();
    return (await rows(world)).map((row) => row.missed);
  };
  assert.deepEqual(await end('succeed', 10), []);
  assert.deepEqual(await end('succeed', 61), [true]);
  await world.db.query(sql`DELETE FROM deadline`);
  assert.deepEqual(await end('fail', 10), [false]);
  world.clock.advance(60);
  await sweep(world);
  assert.deepEqual(
    (await rows(world)).map((row) => row.missed),
    [true],
    'also after the run has ended',
  );
});

test('a run that is cleared gets its time anew from the queueing, and only there', async () => {
  await using world = await makeWorld();
  const fixed = reference('FixedDatetimeDeadline', { datetime: world.clock.nowMs() / 1000 + 1000 });
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(QUEUED, 60), deadline(fixed, 0)] });
  const run = await world.trigger('d');
  await world.settle();
  for (const ti of await world.take()) await world.fail(ti);
  await world.settle();
  world.clock.advance(30);
  await world.db.transaction((tx) =>
    clearTaskInstances(tx, { dagId: 'd', dagRunIds: [run.id], nowIso: world.clock.iso() }),
  );
  assert.deepEqual(await due(world), [
    [0, 60],
    [1, 970],
  ]);
});

test('two schedulers that look at once tell of a deadline once', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(QUEUED, 60)] });
  for (let i = 0; i < 5; i++) await world.trigger('d');
  world.clock.advance(61);
  const other = world.newCore();
  const options = {
    availableSinceMs: 0,
    heartbeatTimeoutMs: 300_000,
    queueTimeoutMs: 600_000_000,
    supervisorTimeoutMs: 30_000_000,
    maxRetryDelaySeconds: 86_400,
  };
  await Promise.all([sweep(world), other.sweep(options), sweep(world), other.sweep(options)]);
  await sweep(world);
  assert.equal((await callbacks(world)).length, 5);
});

const leftOut = (world: World) =>
  world.db.query<{ dag_id: string; extra: string }>(
    sql`SELECT dag_id, extra FROM event_log WHERE event = 'deadline left out' ORDER BY id`,
  );

test('an interval by a variable is that of the team at the making of the run, counts from there, and is told like any other', async () => {
  await using world = await makeWorld();
  const deadlines = [deadline(QUEUED, 0, { interval: byVariable('limit') }), deadline(QUEUED, 50)];
  await world.dag('d', [{ id: 't' }], { deadline: deadlines });
  world.variables.set('limit', ' 1_00 ').set('blue/limit', '7');
  await world.trigger('d');
  assert.deepEqual(await due(world), [[1, 50]], 'not known before the sweep');
  world.clock.advance(10);
  await sweep(world);
  assert.deepEqual(await due(world), [
    [0, 90],
    [1, 40],
  ]);
  world.variables.set('limit', '5');
  await sweep(world);
  assert.deepEqual((await due(world))[0], [0, 90], 'what is made stays');
  await world.db.query(sql`INSERT INTO team (name) VALUES ('blue')`);
  await world.db.query(sql`UPDATE dag SET team = 'blue' WHERE dag_id = 'd'`);
  await world.trigger('d');
  await sweep(world);
  assert.deepEqual(
    (await due(world)).filter(([position]) => position === 0).map(([, at]) => at),
    [7, 90],
  );
  world.clock.advance(8);
  await sweep(world);
  assert.equal((await callbacks(world)).length, 1);
  assert.deepEqual(await leftOut(world), []);
});

test('a variable that is missing, no whole number, or not to be read leaves its deadline out, says why without its value, and nothing else', async () => {
  await using world = await makeWorld();
  const why = async (value: string | Error | null) => {
    if (value === null) world.variables.delete('limit');
    else world.variables.set('limit', value);
    await world.db.query(sql`DELETE FROM event_log`);
    await world.db.query(sql`DELETE FROM deadline`);
    const run = await world.trigger('d');
    await sweep(world);
    await sweep(world);
    const said = await leftOut(world);
    assert.deepEqual(await due(world), [[1, 50]], 'the other one is there');
    assert.equal((await world.run(run)).state, 'queued');
    return said.map(({ extra }) => JSON.parse(extra).reason);
  };
  await world.dag('d', [{ id: 't' }], {
    deadline: [deadline(QUEUED, 0, { interval: byVariable('limit') }), deadline(QUEUED, 50)],
  });
  assert.deepEqual(await why(null), ["VariableInterval 'limit' not found"]);
  for (const text of ['secret', '1.5', '', '1__0', '0x10', 'NaN', '9'.repeat(30)])
    assert.deepEqual(await why(text), ["VariableInterval 'limit' must be an integer (seconds)"], text);
  const refused = new AppError('NOT_ENTITLED', { public: "VariableInterval 'limit' is not declared by the Dag" });
  assert.deepEqual(await why(refused), ["VariableInterval 'limit' is not declared by the Dag"]);
});

test('a reference of one’s own is left out, by whatever name, and the audit log says so; the others are made', async () => {
  await using world = await makeWorld();
  const own = reference('DagRunQueuedAtDeadline', { __class_path: 'my.DagRunQueuedAtDeadline' });
  const strange = reference('FromAnotherRelease');
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(own, 5), deadline(strange, 5), deadline(QUEUED, 50)] });
  await world.trigger('d');
  await sweep(world);
  await sweep(world);
  assert.deepEqual(await due(world), [[2, 50]]);
  const said = (await leftOut(world)).map(({ extra }) => JSON.parse(extra) as { deadline: number; reason: string });
  assert.deepEqual(
    said.map(({ deadline: position }) => position),
    [0, 1],
  );
  assert.match(
    said[0]!.reason,
    /my\.DagRunQueuedAtDeadline is a class of its own, which would need a session of the database/,
  );
});

test('a variable that can not be read now is asked for again, for an hour', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(QUEUED, 0, { interval: byVariable('limit') })] });
  world.variables.set('limit', new AppError('SECRETS_UNAVAILABLE', { public: 'the store is away' }));
  await world.trigger('d');
  await sweep(world);
  world.clock.advance(60);
  world.variables.set('limit', '100');
  await sweep(world);
  assert.deepEqual(await due(world), [[0, 40]], 'from the making of the run');
  world.variables.set('limit', new AppError('SECRETS_UNAVAILABLE', { public: 'the store is away' }));
  await world.trigger('d');
  world.clock.advance(3_601);
  await sweep(world);
  assert.match((await leftOut(world))[0]!.extra, /could not be read: .*the store is away/);
});

test('a run that has succeeded in time before its variable was read has met its deadline; one that was late has not', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { deadline: [deadline(QUEUED, 0, { interval: byVariable('limit') })] });
  world.variables.set('limit', '5');
  for (const seconds of [4, 6]) {
    await world.trigger('d');
    await world.settle();
    world.clock.advance(seconds);
    for (const ti of await world.take()) await world.succeed(ti);
    await world.settle();
    await sweep(world);
  }
  assert.deepEqual(
    (await rows(world)).map(({ missed }) => missed),
    [true],
  );
});
