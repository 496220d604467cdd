// When runs have to be over: rows made with the run, moved and dropped with it, and a callback for each one that passes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import test from 'node:test';
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

test('the definitions of Airflow’s own sample are read; its stored identifiers and what can not be evaluated are left out', () => {
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
      one.intervalSeconds,
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
  const variable = { __classname__: 'airflow.sdk.VariableInterval', __version__: 1, __data__: { key: 'k' } };
  const one = readDeadlines([
    deadline(reference('MyDeadline', { __class_path: 'my.Deadline' }), 60),
    deadline(QUEUED, 60, { interval: variable }),
    deadline(QUEUED, 60, { callback: null }),
    deadline(QUEUED, 61),
  ]);
  assert.deepEqual(
    one.map((each) => [each.position, each.intervalSeconds]),
    [[3, 61]],
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
