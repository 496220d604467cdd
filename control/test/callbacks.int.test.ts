// Which callbacks the server starts, and when: those that a Dag or a task declares, in the transaction of what they are about.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { failTry } from '../src/runs/index.ts';
import { makeWorld, type World } from './kit/world.ts';

type Row = {
  kind: string;
  event: string;
  reason: string | null;
  needs: string | null;
  queue: string;
  state: string;
  ti: { task_id: string; try_number: number; id: string } | null;
};
const rows = (world: World) =>
  world.db.query<Row>(sql`SELECT kind, event, reason, needs, queue, state, ti FROM callback ORDER BY created_at, id`);
const shown = async (world: World) =>
  (await rows(world)).map(({ kind, event, reason, ti }) => [kind, event, reason, ti?.task_id ?? null]);
const BOTH = { has_on_success_callback: true, has_on_failure_callback: true };
const NO_NEEDS = '{"assets":[],"connections":[],"dags":[],"variables":[],"xcoms":[]}';

async function failOne(world: World, over: Partial<Parameters<typeof failTry>[1]> = {}): Promise<void> {
  const [ti] = await world.take();
  await world.db.transaction((tx) =>
    failTry(tx, { id: ti!.id, reason: 'The host has died.', nowIso: world.clock.iso(), from: ['running'], ...over }),
  );
}

test('the end of a run starts the callback that its Dag declares for it, once, about the task that decided', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 'first' }, { id: 'second', after: ['first'] }], BOTH);
  await world.trigger('d');
  for (const _ of ['first', 'second']) {
    await world.settle();
    for (const ti of await world.take()) await world.succeed(ti);
    world.clock.advance(1);
  }
  await world.settle();
  assert.deepEqual(await shown(world), [['dag', 'success', 'success', 'second']]);
  await world.settle();
  assert.equal((await rows(world)).length, 1);

  world.clock.advance(1);
  await world.trigger('d');
  await world.settle();
  await failOne(world);
  await world.settle();
  const [, failure] = await rows(world);
  assert.deepEqual(
    [failure?.kind, failure?.event, failure?.reason, failure?.ti?.task_id, failure?.queue, failure?.state],
    ['dag', 'failure', 'task_failure', 'first', 'typescript', 'pending'],
  );
  assert.equal(failure?.needs, NO_NEEDS, 'a Dag that declares needs gives its callbacks no more than they declare');
});

test('a Dag without the callback gets none, whatever became of its run', async () => {
  await using world = await makeWorld();
  await world.dag('plain', [{ id: 't' }]);
  await world.dag('failure_only', [{ id: 't' }], { has_on_failure_callback: true });
  await world.trigger('plain');
  await world.trigger('failure_only');
  await world.work();
  await world.settle();
  assert.deepEqual(await shown(world), []);
});

test('a run that lasts too long is told to its Dag as timed_out, and only where the Dag asks', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], { ...BOTH, dagrun_timeout: 60 });
  await world.dag('silent', [{ id: 't' }], { dagrun_timeout: 60 });
  await world.trigger('d');
  await world.trigger('silent');
  await world.settle();
  await world.take();
  world.clock.advance(61);
  await world.settle();
  assert.deepEqual(await shown(world), [['dag', 'failure', 'timed_out', 't']]);
});

test('the task instance of a callback is the one that Airflow gives it: of success, of failure, of a time-out', async () => {
  await using world = await makeWorld();
  const about = async () => (await shown(world)).map(([, , reason, task]) => `${reason} ${task}`).at(-1);
  const put = async (
    run: { id: number },
    taskId: string,
    state: string | null,
    start: number | null,
    end: number | null,
  ) => {
    const at = (seconds: number | null) =>
      seconds === null ? null : new Date(world.clock.nowMs() + seconds * 1000).toISOString();
    await world.db.query(sql`UPDATE task_instance SET state = ${state}, start_date = ${at(start)}::timestamptz, end_date = ${at(end)}::timestamptz
      WHERE dag_run_id = ${run.id} AND task_id = ${taskId}`);
  };
  const tasks = [{ id: 'a' }, { id: 'b' }, { id: 'c' }];
  await world.dag('d', tasks, BOTH);
  const ended = async (states: ReadonlyArray<readonly [string, string, number, number]>) => {
    world.clock.advance(1);
    const run = await world.trigger('d');
    await world.settle();
    for (const [id, state, start, end] of states) await put(run, id, state, start, end);
    await world.settle();
    return await about();
  };
  const success = [['a', 'success', -9, -5], ['b', 'success', -9, -6]] as const; // biome-ignore format: a table
  assert.equal(
    await ended([...success, ['c', 'skipped', -9, -1]]),
    'success a',
    'what was skipped last has not succeeded',
  );
  const skipped = (id: string) => [id, 'skipped', -9, -1] as const;
  assert.equal(await ended([skipped('a'), skipped('b'), skipped('c')]), 'success null');
  const failures = [['a', 'failed', -9, -3], ['b', 'failed', -9, -6]] as const; // biome-ignore format: a table
  assert.equal(await ended([...failures, ['c', 'success', -9, -1]]), 'task_failure a');
  assert.equal(await ended([...success, ['c', 'upstream_failed', -9, -1]]), 'task_failure null');

  await world.dag('slow', tasks, { ...BOTH, dagrun_timeout: 60 });
  const slow = await world.trigger('slow');
  await world.settle();
  await put(slow, 'a', 'failed', -9, -1);
  await put(slow, 'b', 'running', 5, null);
  await put(slow, 'c', 'running', 4, null);
  world.clock.advance(61);
  await world.settle();
  assert.equal(await about(), 'timed_out b', 'the last that was cut short, though another had failed');
});

test('what a Dag’s callbacks declare is what they may read, and a text that is none is refused', async () => {
  await using world = await makeWorld();
  const needs = '{"assets":[],"connections":["hook"],"dags":[],"variables":[],"xcoms":[]}';
  const default_args = { __type: 'dict', __var: { __airlock_callback_needs: needs } };
  await world.dag('d', [{ id: 't' }], { ...BOTH, default_args });
  await world.trigger('d');
  await world.work();
  await world.settle();
  assert.equal((await rows(world))[0]?.needs, needs);
  const broken = { __type: 'dict', __var: { __airlock_callback_needs: '{"connections":' } };
  await assert.rejects(world.dag('e', [{ id: 't' }], { ...BOTH, default_args: broken }), /its needs can't be read/);
});

test('a try that the server ended starts the callback of its task: retry while tries are left, then failure', async () => {
  await using world = await makeWorld();
  const marks = { has_on_failure_callback: true, has_on_retry_callback: true };
  await world.dag('d', [{ id: 't', retries: 1, retry_delay: 1, ...marks }]);
  const run = await world.trigger('d');
  await world.settle();
  const [first] = await world.tis(run);
  await failOne(world);
  world.clock.advance(2);
  await world.settle();
  await failOne(world);
  const found = await rows(world);
  assert.deepEqual(await shown(world), [
    ['task', 'retry', 'The host has died.', 't'],
    ['task', 'failure', 'The host has died.', 't'],
  ]);
  assert.deepEqual(
    found.map((row) => row.ti?.try_number),
    [1, 2],
  );
  assert.equal(found[0]?.ti?.id, first?.id, 'about the try that ended, not the one that follows');
});

test('a failure that the worker reported starts none: the task’s own process has called it', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't', has_on_failure_callback: true, has_on_retry_callback: true }]);
  await world.dag('unmarked', [{ id: 't' }]);
  await world.trigger('d');
  await world.settle();
  await failOne(world, { reportedState: 'failed' });
  await world.trigger('unmarked');
  await world.settle();
  await failOne(world);
  await world.settle();
  assert.deepEqual(await shown(world), []);
});

test('the sweep gives back what no worker began, and ends what no worker will end; a begun one is never begun again', async () => {
  await using world = await makeWorld();
  await world.dag('d', [{ id: 't' }], BOTH);
  for (let i = 0; i < 4; i++) await world.trigger('d');
  await world.work();
  await world.settle();
  const ids = (await world.db.query<{ id: string }>(sql`SELECT id FROM callback ORDER BY id`)).map((row) => row.id);
  const supervisor = '0190f5e3-0000-7000-8000-00000000000a';
  const now = () => world.clock.iso();
  await world.db.query(sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
    VALUES (${supervisor}, 'k', '{}', 'h', 'u', 1, '{worker}', 'user', '0', ${now()}, ${now()})`);
  const put = (id: string, state: string, deadline: number | null) =>
    world.db.query(sql`UPDATE callback SET state = ${state}, supervisor_id = ${supervisor}, claimed_at = ${now()}::timestamptz,
      deadline_at = ${deadline === null ? null : new Date(world.clock.nowMs() + deadline * 1000).toISOString()}::timestamptz WHERE id = ${id}`);
  await put(ids[0]!, 'claimed', null);
  await put(ids[1]!, 'running', 100);
  await put(ids[2]!, 'running', 3600);
  const states = async () =>
    (await world.db.query<{ state: string }>(sql`SELECT state FROM callback ORDER BY id`)).map((row) => row.state);
  const sweep = () =>
    world.core.sweep({
      availableSinceMs: 0,
      heartbeatTimeoutMs: 300_000,
      queueTimeoutMs: 600_000,
      supervisorTimeoutMs: 30_000_000,
      maxRetryDelaySeconds: 86_400,
    });
  await sweep();
  assert.deepEqual(await states(), ['claimed', 'running', 'running', 'pending'], 'nothing is overdue yet');
  world.clock.advance(31);
  await sweep();
  assert.deepEqual(await states(), ['pending', 'running', 'running', 'pending'], 'the claim was not begun in time');
  world.clock.advance(70);
  await sweep();
  assert.deepEqual(await states(), ['pending', 'failed', 'running', 'pending'], 'past its limit');
  await world.db.query(sql`UPDATE supervisor SET ended_at = ${now()}::timestamptz WHERE id = ${supervisor}`);
  await sweep();
  assert.deepEqual(await states(), ['pending', 'failed', 'failed', 'pending'], 'its worker is gone');
  world.clock.advance(86_401);
  await sweep();
  assert.deepEqual(await states(), ['failed', 'failed', 'failed', 'failed'], 'nobody took it within a day');
});
