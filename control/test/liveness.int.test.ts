import { deepEqual, equal, notEqual } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { type Database, type Db, sql } from '@airlock/store';
import { clearTaskInstances, endRestart, reapMissingTries, releaseTriesOf } from '../src/runs/index.ts';
import { makeWorld, type Ti, type World } from './kit/world.ts';

/** All limits as by default, and a scheduler that has been there for long. */
const SWEEP = {
  availableSinceMs: 0,
  heartbeatTimeoutMs: 300_000,
  queueTimeoutMs: 600_000,
  supervisorTimeoutMs: 30_000,
  maxRetryDelaySeconds: 86_400,
};
const sweep = (world: World, over: { availableSinceMs?: number } = {}) => world.core.sweep({ ...SWEEP, ...over });

async function addSupervisor(world: World): Promise<string> {
  const id = randomUUID();
  await world.db.query(
    sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
      VALUES (${id}, ${id}, '{}', 'h', 'u', 1, '{worker}', 'none', '0', ${world.clock.iso()}::timestamptz, ${world.clock.iso()}::timestamptz)`,
  );
  return id;
}
const seen = (world: World, id: string) =>
  world.db.query(sql`UPDATE supervisor SET last_seen_at = ${world.clock.iso()}::timestamptz WHERE id = ${id}`);
const claim = (world: World, ti: { id: string }, supervisorId: string) =>
  world.db.query(
    sql`UPDATE task_instance SET supervisor_id = ${supervisorId}, claimed_at = ${world.clock.iso()}::timestamptz, workload_jti = 'j' WHERE id = ${ti.id}`,
  );
const only = async (world: World, run: { id: number }) =>
  (await world.tis(run))[0]! as Ti & {
    supervisor_id: string | null;
    workload_jti: string | null;
    queue_attempts: number;
  };

async function running(world: World, retries = 1): Promise<{ run: { id: number; runId: string }; ti: Ti }> {
  await world.dag('a', [{ id: 't', retries, retry_delay: 0 }]);
  const run = await world.trigger('a');
  await world.settle();
  const [ti] = await world.take();
  return { run, ti: ti! };
}

test('a try that is silent beyond the time-out is ended; one that beats is not', async () => {
  await using world = await makeWorld();
  const { run, ti } = await running(world);
  world.clock.advance(299);
  await sweep(world);
  equal((await only(world, run)).state, 'running');
  world.clock.advance(2);
  await sweep(world);
  const after = await only(world, run);
  deepEqual([after.state, after.try_number], ['up_for_retry', 1]);
  notEqual(after.id, ti.id);
});

test('silence while there was no server proves nothing', async () => {
  await using world = await makeWorld();
  const { run } = await running(world);
  world.clock.advance(400);
  await sweep(world, { availableSinceMs: world.clock.nowMs() - 100_000 });
  equal((await only(world, run)).state, 'running');
  await sweep(world, { availableSinceMs: world.clock.nowMs() - 301_000 });
  equal((await only(world, run)).state, 'up_for_retry');
});

test('without budget the silent try fails, and its run with it', async () => {
  await using world = await makeWorld();
  const { run } = await running(world, 0);
  world.clock.advance(301);
  await sweep(world);
  await world.settle();
  equal((await only(world, run)).state, 'failed');
  equal((await world.run(run)).state, 'failed');
});

test('a claim without a start within 30 s goes back to the queue: same id, same try', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't' }]);
  const run = await world.trigger('a');
  await world.settle();
  const queued = await only(world, run);
  const host = await addSupervisor(world);
  await claim(world, queued, host);
  world.clock.advance(29);
  await seen(world, host);
  await sweep(world);
  equal((await only(world, run)).supervisor_id, host);
  world.clock.advance(2);
  await seen(world, host);
  await sweep(world);
  const back = await only(world, run);
  deepEqual(
    [back.id, back.state, back.try_number, back.supervisor_id, back.workload_jti],
    [queued.id, 'queued', 1, null, null],
  );
});

test('what a host held is taken back or ended as soon as it has ended, or is silent too long', async () => {
  await using world = await makeWorld();
  const { run, ti } = await running(world);
  const host = await addSupervisor(world);
  await claim(world, ti, host);
  world.clock.advance(20);
  await sweep(world);
  equal((await only(world, run)).state, 'running');
  await world.db.query(sql`UPDATE supervisor SET ended_at = ${world.clock.iso()}::timestamptz`);
  await sweep(world);
  equal((await only(world, run)).state, 'up_for_retry');

  await world.settle();
  const [second] = await world.take();
  const silent = await addSupervisor(world);
  await claim(world, second!, silent);
  world.clock.advance(31);
  await sweep(world);
  await world.settle();
  const after = await only(world, run);
  deepEqual([after.state, after.try_number], ['failed', 2]);
});

test('a try in the queue for too long returns twice, and then its retries decide', async () => {
  await using world = await makeWorld();
  await world.dag('a', [{ id: 't', retries: 1, retry_delay: 0 }]);
  const run = await world.trigger('a');
  await world.settle();
  for (const attempts of [1, 2]) {
    world.clock.advance(601);
    await sweep(world);
    const row = await only(world, run);
    deepEqual([row.state, row.try_number, row.queue_attempts], ['scheduled', 1, attempts]);
    await world.settle();
    equal((await only(world, run)).state, 'queued');
  }
  world.clock.advance(601);
  await sweep(world);
  const retried = await only(world, run);
  deepEqual([retried.state, retried.queue_attempts], ['up_for_retry', 0]);
});

test('a try past its deadline is ended', async () => {
  await using world = await makeWorld();
  const { run, ti } = await running(world);
  await world.db.query(
    sql`UPDATE task_instance SET deadline_at = ${world.clock.iso()}::timestamptz WHERE id = ${ti.id}`,
  );
  world.clock.advance(9);
  await sweep(world);
  equal((await only(world, run)).state, 'running');
  world.clock.advance(2);
  await sweep(world);
  equal((await only(world, run)).state, 'up_for_retry');
});

test('a try that its supervisor no longer lists is ended; one just handed out, and listed ones, are not', async () => {
  await using world = await makeWorld();
  const { run, ti } = await running(world);
  const host = await addSupervisor(world);
  await claim(world, ti, host);
  const reap = (holds: string[]) =>
    reapMissingTries(world.db, { supervisorId: host, holds, nowIso: world.clock.iso() });
  deepEqual(await reap([]), []);
  world.clock.advance(11);
  deepEqual(await reap([ti.id]), []);
  equal((await only(world, run)).state, 'running');
  deepEqual(await reap([]), [ti.id]);
  equal((await only(world, run)).state, 'up_for_retry');
});

test('a cleared try goes on when its old host says that the process is gone, and only then, or after a minute', async () => {
  await using world = await makeWorld();
  const { run, ti } = await running(world);
  const host = await addSupervisor(world);
  await claim(world, ti, host);
  const clear = () =>
    world.db.transaction((tx) =>
      clearTaskInstances(tx, { dagId: 'a', dagRunIds: [run.id], nowIso: world.clock.iso() }),
    );
  const gone = (supervisorId: string) =>
    world.db.transaction((tx) => endRestart(tx, { oldTryId: ti.id, supervisorId, nowIso: world.clock.iso() }));
  await clear();
  await gone(randomUUID());
  equal((await only(world, run)).state, 'restarting');
  await gone(host);
  equal((await only(world, run)).state, null);
  await world.settle();
  const [next] = await world.take();
  equal(next?.try_number, 2);

  await clear();
  world.clock.advance(59);
  await sweep(world);
  equal((await only(world, run)).state, 'restarting');
  world.clock.advance(2);
  await sweep(world);
  equal((await only(world, run)).state, null);
});

test('two schedulers that sweep at once end a try once', async () => {
  await using world = await makeWorld();
  const { run } = await running(world);
  world.clock.advance(301);
  const other = world.newCore();
  const options = {
    availableSinceMs: 0,
    heartbeatTimeoutMs: 300_000,
    queueTimeoutMs: 600_000,
    supervisorTimeoutMs: 30_000,
    maxRetryDelaySeconds: 86_400,
  };
  await Promise.all([world.core.sweep(options), other.sweep(options), world.core.sweep(options)]);
  equal((await world.db.query(sql`SELECT 1 FROM task_instance_history`)).length, 1);
  equal((await only(world, run)).try_number, 1);
});

/** A transaction in which, right after the named statement, something happens on another connection. */
function withMeanwhile(tx: Db, name: string, meanwhile: () => Promise<unknown>): Db {
  return {
    query: async (statement, asked) => {
      const rows = await tx.query<never>(statement, asked);
      if (asked === name) await meanwhile();
      return rows;
    },
  };
}
for (const beganAnew of [true, false])
  test(`what ${beganAnew ? 'has begun anew on another worker' : 'runs'} between the look and the lock is ${beganAnew ? 'left alone by what judged the stretch before' : 'ended'}`, async () => {
    for (const by of ['sweep', 'release'] as const) {
      await using world = await makeWorld();
      const { run, ti } = await running(world);
      const [dead, other] = [await addSupervisor(world), await addSupervisor(world)];
      await claim(world, ti, dead);
      // Reported as waiting, resumed, queued, claimed and started: the same try under the same id.
      const meanwhile = () =>
        world.db.query(
          beganAnew
            ? sql`UPDATE task_instance SET supervisor_id = ${other}, workload_jti = 'another' WHERE id = ${ti.id}`
            : sql`SELECT 1`,
        );
      if (by === 'sweep') {
        world.clock.advance(400);
        await seen(world, other);
        const db: Database = {
          ...world.db,
          transaction: (work) => world.db.transaction((tx) => work(withMeanwhile(tx, 'sweep_dead', meanwhile))),
        };
        await world.newCore({ db }).sweep(SWEEP);
      } else {
        const options = { supervisorId: dead, nowIso: world.clock.iso() };
        await world.db.transaction((tx) => releaseTriesOf(withMeanwhile(tx, 'ti_missing', meanwhile), options));
      }
      equal((await only(world, run)).state, beganAnew ? 'running' : 'up_for_retry', by);
    }
  });
