/** Decision 27: no Dag and no team keeps another from the queue for ever, nor at the workers. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import { claimQueued } from '@airlock/store/queries/task-instance/claim';
import { claimTriggers } from '@airlock/store/queries/trigger/sync';
import type { SchedulerCore } from '../src/scheduler/core.ts';
import { PLACES_PER_TURN } from '../src/scheduler/decide/queue.ts';
import { makeWorld, type World } from './kit/world.ts';

/** A Dag of so many tasks that are ready at once. */
const wide = (n: number, more: object = {}) => Array.from({ length: n }, (_, i) => ({ id: `t${i}`, ...more }));

async function ofTeam(world: World, dagId: string, team: string): Promise<void> {
  await world.db.query(sql`INSERT INTO team (name) VALUES (${team}) ON CONFLICT DO NOTHING`);
  await world.db.query(sql`UPDATE dag SET team = ${team} WHERE dag_id = ${dagId}`);
}

const queuedOf = async (world: World): Promise<Record<string, number>> =>
  Object.fromEntries(
    (
      await world.db.query<{ dag_id: string; n: number }>(
        sql`SELECT dag_id, count(*)::integer AS n FROM task_instance WHERE state IN ('queued', 'running') GROUP BY dag_id ORDER BY dag_id`,
      )
    ).map((row) => [row.dag_id, row.n]),
  );

async function supervisor(world: World): Promise<string> {
  const id = randomUUID();
  await world.db.query(
    sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
      VALUES (${id}, ${id}, '{}', 'host', 'user', 1, '{worker,trigger}', 'namespaces', '1', ${world.clock.iso()}, ${world.clock.iso()})`,
  );
  return id;
}

/** The Dags of the next places, where the deployment has room for one. @param next called after each */
async function placesOf(world: World, core: SchedulerCore, count: number): Promise<string[]> {
  const places: string[] = [];
  await core.resync();
  for (let i = 0; i < count; i++) {
    world.clock.advance(1);
    core.agenda.wantStart();
    await core.settle();
    const taken = await world.take();
    equal(taken.length, 1);
    await world.succeed(taken[0]!);
    places.push(taken[0]!.dag_id);
  }
  return places;
}

test('a Dag that floods the queue with heavy tasks leaves every sixteenth place to the others', async () => {
  await using world = await makeWorld();
  const core = world.newCore({ parallelism: 1, maxQueued: 8 });
  await world.dag('flood', wide(60, { priority_weight: 1000 }));
  await world.dag('small', wide(2));
  await world.dag('other', wide(1));
  await world.trigger('flood');
  world.clock.advance(5);
  await world.trigger('small');
  await world.trigger('other');
  // Eight heavy ones are all that a look at the best shows: the others are found all the same.
  const places = await placesOf(world, core, 3 * PLACES_PER_TURN);
  deepEqual(
    places.flatMap((dag, at) => (dag === 'flood' ? [] : [`${at} ${dag}`])),
    ['15 small', '31 other', '47 small'],
  );
});

test('Dags of one weight share what there is, though one of them was there first', async () => {
  await using world = await makeWorld();
  const core = world.newCore({ parallelism: 10 });
  await world.dag('flood', wide(40), { max_active_tasks: 100 });
  await world.dag('small', wide(5));
  await world.trigger('flood');
  await core.resync();
  await core.settle();
  deepEqual(await queuedOf(world), { flood: 10 });
  await world.trigger('small');
  const running = await world.take();
  for (const ti of running.slice(0, 3)) await world.succeed(ti);
  await core.resync();
  await core.settle();
  deepEqual(await queuedOf(world), { flood: 7, small: 3 });
});

test('weights order the Dags of a team, and count for nothing between teams', async () => {
  await using world = await makeWorld();
  for (const [dag, team, weight] of [
    ['a-heavy', 'a', 100_000],
    ['a-light', 'a', 1],
    ['b-light', 'b', 1],
  ] as const) {
    await world.dag(dag, wide(20, { priority_weight: weight }), { max_active_tasks: 100 });
    await ofTeam(world, dag, team);
    await world.trigger(dag);
  }
  const core = world.newCore({ parallelism: 12 });
  await core.resync();
  await core.settle();
  deepEqual(await queuedOf(world), { 'a-heavy': 6, 'b-light': 6 });
  // The control: all of one team.
  await using alone = await makeWorld();
  for (const [dag, weight] of [
    ['a-heavy', 100_000],
    ['b-light', 1],
  ] as const) {
    await alone.dag(dag, wide(20, { priority_weight: weight }), { max_active_tasks: 100 });
    await alone.trigger(dag);
  }
  const other = alone.newCore({ parallelism: 12 });
  await other.resync();
  await other.settle();
  deepEqual(await queuedOf(alone), { 'a-heavy': 12 });
});

test('where there is one place at a time, teams take it in turn, whatever their weights', async () => {
  await using world = await makeWorld();
  for (const [team, weight] of [
    ['a', 1000],
    ['b', 1],
    ['c', 10],
  ] as const) {
    await world.dag(`${team}-dag`, wide(10, { priority_weight: weight }));
    await ofTeam(world, `${team}-dag`, team);
    await world.trigger(`${team}-dag`);
  }
  const places = await placesOf(world, world.newCore({ parallelism: 1 }), 9);
  for (const team of ['a', 'b', 'c']) equal(places.filter((dag) => dag === `${team}-dag`).length, 3, places.join(' '));
});

test('at the workers weights order what a team has queued, and teams take turns', async () => {
  await using world = await makeWorld();
  await world.dag('a-heavy', wide(6, { priority_weight: 1000 }));
  await world.dag('a-light', wide(2));
  await world.dag('b-light', wide(6));
  for (const dag of ['a-heavy', 'a-light', 'b-light']) {
    await ofTeam(world, dag, dag[0]!);
    await world.trigger(dag);
  }
  await world.settle();
  const supervisorId = await supervisor(world);
  const claim = async (n: number) =>
    (
      await claimQueued(world.db, {
        supervisorId,
        queues: null,
        jtis: Array.from({ length: n }, () => randomBytes(16).toString('hex')),
        nowIso: world.clock.iso(),
      })
    ).map((row) => row.dag_id);
  deepEqual((await claim(4)).sort(), ['a-heavy', 'a-heavy', 'b-light', 'b-light']);
  // What has been queued for more than a minute comes before any weight: the light ones were queued with the heavy ones.
  await world.db.query(
    sql`UPDATE task_instance SET queued_at = queued_at - interval '1 second' WHERE dag_id = 'a-light'`,
  );
  deepEqual((await claim(2)).sort(), ['a-heavy', 'b-light']);
  world.clock.advance(61);
  ok((await claim(2)).includes('a-light'));
});

test('at the triggerers a team that has little there is next, whatever the others weigh', async () => {
  await using world = await makeWorld();
  const START = {
    start_from_trigger: true,
    start_trigger_args: {
      __type: 'START_TRIGGER_ARGS',
      trigger_cls: 'own.Trigger',
      trigger_kwargs: null,
      next_method: 'resumed',
      next_kwargs: null,
      timeout: null,
    },
  };
  const claim = async (supervisorId: string, holds: readonly number[], limit: number) =>
    await claimTriggers(world.db, {
      supervisorId,
      holds,
      limit,
      queues: null,
      seenBeforeIso: new Date(world.clock.nowMs() - 30_000).toISOString(),
      nowIso: world.clock.iso(),
    });
  const dagsOf = (rows: ReadonlyArray<{ dag_id: string }>) => rows.map((row) => row.dag_id).sort();
  for (const [dag, weight] of [
    ['a-heavy', 1000],
    ['a-light', 1],
    ['b-light', 1],
  ] as const) {
    await world.dag(dag, wide(8, { ...START, priority_weight: weight }));
    await ofTeam(world, dag, dag[0]!);
    if (dag !== 'b-light') await world.trigger(dag);
  }
  await world.settle();
  const first = await supervisor(world);
  const held = await claim(first, [], 4);
  deepEqual(dagsOf(held), ['a-heavy', 'a-heavy', 'a-heavy', 'a-heavy']);
  await world.trigger('b-light');
  await world.settle();
  const ids = held.map((row) => row.id);
  const more = await claim(first, ids, 6);
  deepEqual(dagsOf(more), ['a-heavy', 'b-light', 'b-light', 'b-light', 'b-light', 'b-light']);
  // Nothing is given twice, also where the other one asks first for all.
  const rest = await claim(await supervisor(world), [], 100);
  equal(rest.length, 24 - 10);
  equal(new Set([...ids, ...more.map((row) => row.id), ...rest.map((row) => row.id)]).size, 24);
});

test('a Dag that changes its team while it runs has no candidate twice', async () => {
  await using world = await makeWorld();
  await world.dag('moving', wide(20), { max_active_tasks: 100 });
  const run = await world.trigger('moving');
  const settle = async (parallelism: number) => {
    const core = world.newCore({ parallelism });
    await core.resync();
    await core.settle();
  };
  await settle(4);
  await ofTeam(world, 'moving', 'a');
  await world.db.query(
    sql`UPDATE task_instance SET team = 'a' WHERE dag_run_id = ${run.id} AND (state = 'scheduled' OR task_id IN ('t0', 't1'))`,
  );
  await settle(9);
  deepEqual(await queuedOf(world), { moving: 9 });
});
