/** Tasks that begin with a wait: no worker before it, the try counted, the time-out set, again at each retry. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { endTrigger, resumeOverdue } from '../src/runs/index.ts';
import type { TaskSpec } from './kit/dags.ts';
import { makeWorld, type World } from './kit/world.ts';

const START = {
  start_from_trigger: true,
  start_trigger_args: {
    __type: 'START_TRIGGER_ARGS',
    trigger_cls: 'own.Trigger',
    trigger_kwargs: { __type: 'dict', __var: { moment: '{{ ds }}', every: { __type: 'timedelta', __var: 2 } } },
    next_method: 'resumed',
    next_kwargs: {
      __type: 'dict',
      __var: { lag: { __type: 'timedelta', __var: 1.5 }, pair: { __type: 'tuple', __var: [1, 2] } },
    },
    timeout: 60,
  },
};
const waits = (id: string, over: object = {}): TaskSpec => ({ id, ...START, ...over }) as TaskSpec;

type Row = {
  state: string | null;
  try_number: number;
  next_method: string | null;
  next_kwargs: { event?: unknown };
  classpath: string | null;
  kwargs: string | null;
  seconds: number | null;
  start_date: string | null;
  trigger: number | null;
};
const rowsOf = (world: World, run: { id: number }) =>
  world.db.query<Row>(sql`SELECT t.state, t.try_number, t.next_method, t.next_kwargs, t.start_date, t.trigger_id AS trigger, g.classpath,
      g.kwargs, EXTRACT(EPOCH FROM t.trigger_timeout - ${world.clock.iso()}::timestamptz)::integer AS seconds
    FROM task_instance t LEFT JOIN trigger g ON g.id = t.trigger_id AND g.ti_id = t.id
    WHERE t.dag_run_id = ${run.id} ORDER BY t.task_id, t.map_index`);
/** A triggerer that has every trigger. */
async function triggerer(world: World): Promise<string> {
  const id = randomUUID();
  await world.db.query(sql`UPDATE trigger SET supervisor_id = ${id}`);
  return id;
}
const end = (world: World, triggerId: number, supervisorId: string, payload: unknown) =>
  world.db.transaction((tx) =>
    endTrigger(tx, {
      triggerId,
      supervisorId,
      outcome: { kind: 'event', payload: JSON.stringify(payload) },
      nowIso: world.clock.iso(),
      maxRetryDelaySeconds: 86_400,
    }),
  );

test('such a task is deferred by the scheduler, with the arguments of its document, and no worker sees it', async () => {
  await using world = await makeWorld();
  await world.dag('d', [waits('a'), { id: 'b' }]);
  const run = await world.trigger('d');
  await world.settle();
  const [a, b] = await rowsOf(world, run);
  assert.deepEqual(
    [a!.state, a!.try_number, a!.next_method, a!.classpath, a!.seconds],
    ['deferred', 1, 'resumed', 'own.Trigger', 60],
  );
  assert.deepEqual(JSON.parse(a!.kwargs!), START.start_trigger_args.trigger_kwargs);
  assert.deepEqual(a!.next_kwargs, {
    lag: { __classname__: 'datetime.timedelta', __version__: 2, __data__: 1.5 },
    pair: { __classname__: 'builtins.tuple', __version__: 1, __data__: [1, 2] },
  });
  assert.ok(a!.start_date, 'its time runs');
  assert.deepEqual([b!.state, b!.trigger], ['queued', null], 'the control: one without');
});

test('what could start in a trigger, and does not say so, goes to a worker', async () => {
  await using world = await makeWorld();
  await world.dag('d', [
    waits('a', { start_from_trigger: false }),
    waits('b', { start_from_trigger: undefined }),
    waits('c', { start_trigger_args: undefined }),
    waits('d', { start_trigger_args: null }),
    waits('e', { start_from_trigger: true }),
  ]);
  const run = await world.trigger('d');
  await world.settle();
  assert.deepEqual(await world.states(run), { a: 'queued', b: 'queued', c: 'queued', d: 'queued', e: 'deferred' });
});

test('arguments of another form are refused when the file is read', async () => {
  await using world = await makeWorld();
  const args = START.start_trigger_args;
  for (const bad of [
    [],
    'x',
    {},
    { ...args, trigger_cls: '' },
    { ...args, next_method: 5 },
    { ...args, timeout: 'soon' },
  ])
    await assert.rejects(world.dag('d', [waits('a', { start_trigger_args: bad })]), /start_trigger_args/);
  await assert.rejects(world.dag('d', [waits('a', { start_from_trigger: 'yes' })]), /start_from_trigger/);
  await world.dag('d', [waits('a')]);
});

test('an event brings it to a worker in the same try; a retry waits anew; what nobody runs changes nothing', async () => {
  await using world = await makeWorld();
  await world.dag('d', [waits('a', { retries: 1, retry_delay: 10 })]);
  const run = await world.trigger('d');
  await world.settle();
  const first = (await rowsOf(world, run))[0]!.trigger!;
  const owner = await triggerer(world);
  assert.equal(await end(world, first, randomUUID(), 'forged'), false);
  assert.equal(await end(world, first, owner, 'came'), true);
  await world.settle();
  const [ti] = await world.take();
  assert.ok(ti, 'it is queued');
  const row = (await rowsOf(world, run))[0]!;
  assert.deepEqual([row.try_number, row.next_method, row.next_kwargs.event], [1, 'resumed', 'came']);
  await world.fail(ti);
  world.clock.advance(11);
  await world.settle();
  const again = (await rowsOf(world, run))[0]!;
  assert.deepEqual([again.state, again.try_number, again.next_kwargs.event], ['deferred', 2, undefined]);
  assert.notEqual(again.trigger, first);
  assert.equal(await end(world, first, owner, 'late'), false, 'the former wait is over');
});

test("the task's own limit counts when it is shorter, and past it the task goes on to fail", async () => {
  await using world = await makeWorld();
  await world.dag('d', [
    waits('a', { execution_timeout: 20 }),
    waits('b', { execution_timeout: 600 }),
    waits('c', { start_trigger_args: { ...START.start_trigger_args, timeout: null } }),
  ]);
  const run = await world.trigger('d');
  await world.settle();
  assert.deepEqual(
    (await rowsOf(world, run)).map((row) => row.seconds),
    [20, 60, null],
  );
  world.clock.advance(21);
  assert.equal(await world.db.transaction((tx) => resumeOverdue(tx, world.clock.iso())), 1);
  assert.deepEqual(
    (await rowsOf(world, run)).map((row) => row.next_method),
    ['__fail__', 'resumed', 'resumed'],
  );
});

test('each index of a mapped task waits, with the arguments of the class; a paused Dag begins none', async () => {
  await using world = await makeWorld();
  const mapped = {
    _is_mapped: true,
    _expand_input_attr: 'expand_input',
    expand_input: { type: 'dict-of-lists', value: { __type: 'dict', __var: { x: [1, 2, 3] } } },
    partial_kwargs: {},
  };
  await world.dag('d', [waits('a', mapped)]);
  const run = await world.trigger('d');
  await world.db.query(sql`UPDATE dag SET is_paused = true`);
  await world.settle();
  assert.deepEqual(Object.values(await world.states(run)), [null, null, null]);
  await world.db.query(sql`UPDATE dag SET is_paused = false`);
  await world.settle();
  const rows = await rowsOf(world, run);
  assert.deepEqual(
    rows.map((row) => row.state),
    ['deferred', 'deferred', 'deferred'],
  );
  assert.equal(new Set(rows.map((row) => row.trigger)).size, 3);
  assert.equal(new Set(rows.map((row) => row.kwargs)).size, 1);
});
