/** Random histories on a real database: what must hold after every step, whoever did what in which order. */
import { deepEqual, equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import fc from 'fast-check';
import { scaled } from '../../tests/kit/seed.ts';
import { clearTaskInstances } from '../src/runs/index.ts';
import { mappedOver } from './kit/dags.ts';
import { makeWorld, type World } from './kit/world.ts';

const SLOTS = 3;
const PARALLELISM = 5;

type Step =
  | { readonly kind: 'trigger'; readonly dag: number }
  | { readonly kind: 'settle' | 'settleTwo' | 'take' | 'crash' | 'sweep' }
  | { readonly kind: 'succeed' | 'fail' | 'clear'; readonly which: number }
  | { readonly kind: 'pause' | 'unpause'; readonly dag: number }
  | { readonly kind: 'wait'; readonly seconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('trigger' as const), dag: fc.nat(2) }) },
  {
    weight: 6,
    arbitrary: fc.record({ kind: fc.constantFrom('settle' as const, 'settleTwo' as const, 'take' as const) }),
  },
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('succeed' as const), which: fc.nat(20) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('fail' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('clear' as const), which: fc.nat(20) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('crash' as const, 'sweep' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'unpause' as const), dag: fc.nat(2) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('wait' as const), seconds: fc.constantFrom(1, 70, 400) }) },
);

async function makeDags(world: World): Promise<void> {
  await world.db.query(sql`INSERT INTO slot_pool (name, slots) VALUES ('few', ${SLOTS})`);
  const pool = { pool: 'few', retries: 1, retry_delay: 60 };
  await world.dag('d0', [
    { id: 'a', ...pool },
    { id: 'b', after: ['a'], ...pool, pool_slots: 2 },
    { id: 'c', after: ['a'], ...pool },
  ]);
  await world.dag(
    'd1',
    [
      { id: 'l', ...pool },
      { id: 'm', after: ['l'], ...mappedOver('l'), partial_kwargs: { pool: 'few', max_active_tis_per_dagrun: 2 } },
      { id: 'z', after: ['m'], trigger_rule: 'all_done' },
    ],
    { max_active_runs: 2 },
  );
  await world.dag(
    'd2',
    Array.from({ length: 4 }, (_, i) => ({ id: `t${i}` })),
    { max_active_tasks: 2 },
  );
}

/** What each step leaves must obey this. `tries` remembers the highest try seen of each task instance. */
async function checkInvariants(world: World, tries: Map<string, number>): Promise<void> {
  const [use] = await world.db.query<{ slots: number; active: number }>(
    sql`SELECT COALESCE(sum(pool_slots) FILTER (WHERE pool = 'few'), 0)::integer AS slots, count(*)::integer AS active
      FROM task_instance WHERE state IN ('queued', 'running')`,
  );
  ok(use!.slots <= SLOTS, `${use!.slots} slots of ${SLOTS} are taken`);
  ok(use!.active <= PARALLELISM, `${use!.active} tries are active`);
  const perRun = await world.db.query<{ dag_id: string; task_id: string; n: number }>(
    sql`SELECT dag_id, CASE WHEN dag_id = 'd2' THEN '' ELSE task_id END AS task_id, count(*)::integer AS n FROM task_instance
      WHERE state IN ('queued', 'running') AND (dag_id = 'd2' OR task_id = 'm') GROUP BY dag_run_id, 1, 2`,
  );
  for (const row of perRun) ok(row.n <= 2, `${row.n} of ${row.dag_id} ${row.task_id} at once`);
  const runs = await world.db.query<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM dag_run WHERE dag_id = 'd1' AND state = 'running'`,
  );
  ok(runs[0]!.n <= 2, 'more runs than the Dag allows');
  const rows = await world.db.query<{ key: string; try_number: number; max: number | null; both: number }>(
    sql`SELECT t.dag_run_id || ' ' || t.task_id || ' ' || t.map_index AS key, t.try_number,
        (SELECT max(h.try_number) FROM task_instance_history h WHERE h.dag_run_id = t.dag_run_id AND h.task_id = t.task_id
          AND h.map_index = t.map_index) AS max,
        (SELECT count(*)::integer FROM task_instance_history h WHERE h.id = t.id) AS both
      FROM task_instance t`,
  );
  for (const row of rows) {
    ok(row.try_number >= (tries.get(row.key) ?? 0), `the try number of ${row.key} fell`);
    ok(row.max === null || row.max <= row.try_number, `${row.key} has a later try in its history`);
    equal(row.both, 0, 'one id names a live and an ended try');
    tries.set(row.key, row.try_number);
  }
}

async function perform(world: World, steps: readonly Step[]): Promise<void> {
  let cores = [world.newCore({ parallelism: PARALLELISM }), world.newCore({ parallelism: PARALLELISM })];
  const settle = async (core = cores[0]!) => {
    await core.resync();
    await core.lookForOverdue();
    await core.settle();
  };
  const running = () =>
    world.db.query<never>(
      sql`SELECT * FROM task_instance WHERE state = 'running' ORDER BY dag_run_id, task_id, map_index`,
    );
  const tries = new Map<string, number>();
  for (const s of steps) {
    if (s.kind === 'trigger') await world.trigger(`d${s.dag}`);
    else if (s.kind === 'settle') await settle();
    else if (s.kind === 'settleTwo') await Promise.all(cores.map(settle));
    else if (s.kind === 'take') await world.take(2);
    else if (s.kind === 'succeed' || s.kind === 'fail') {
      const rows = await running();
      const ti = rows[s.which % Math.max(1, rows.length)] as { task_id: string } | undefined;
      if (!ti) continue;
      if (s.kind === 'fail') await world.fail(ti as never);
      else await world.succeed(ti as never, ti.task_id === 'l' ? s.which % 4 : undefined);
    } else if (s.kind === 'clear') {
      const runs = await world.db.query<{ id: number; dag_id: string }>(
        sql`SELECT id, dag_id FROM dag_run ORDER BY id`,
      );
      const run = runs[s.which % Math.max(1, runs.length)];
      if (!run) continue;
      await world.db.transaction((tx) =>
        clearTaskInstances(tx, { dagId: run.dag_id, dagRunIds: [run.id], nowIso: world.clock.iso() }),
      );
    } else if (s.kind === 'pause' || s.kind === 'unpause') {
      await world.db.query(sql`UPDATE dag SET is_paused = ${s.kind === 'pause'} WHERE dag_id = ${`d${s.dag}`}`);
    } else if (s.kind === 'wait') world.clock.advance(s.seconds);
    else if (s.kind === 'crash')
      cores = [world.newCore({ parallelism: PARALLELISM }), world.newCore({ parallelism: PARALLELISM })];
    else {
      await cores[0]!.sweep({
        availableSinceMs: 0,
        heartbeatTimeoutMs: 300_000,
        queueTimeoutMs: 600_000,
        supervisorTimeoutMs: 30_000,
        maxRetryDelaySeconds: 100,
      });
    }
    await checkInvariants(world, tries);
  }
  // From here on everything goes well: then every run must end.
  await world.db.query(sql`UPDATE dag SET is_paused = false`);
  for (let i = 0; i < 200; i++) {
    world.clock.advance(61);
    await settle();
    await cores[0]!.sweep({
      availableSinceMs: Number.POSITIVE_INFINITY,
      heartbeatTimeoutMs: 1e12,
      queueTimeoutMs: 1e11,
      supervisorTimeoutMs: 1e12,
      maxRetryDelaySeconds: 100,
    });
    await world.take();
    for (const ti of await running())
      await world.succeed(ti, (ti as { task_id: string }).task_id === 'l' ? 2 : undefined);
    await checkInvariants(world, tries);
    const left = await world.db.query(sql`SELECT 1 FROM dag_run WHERE state IN ('queued', 'running') LIMIT 1`);
    if (left.length === 0) break;
  }
  const open = await world.db.query(sql`SELECT dag_id, state FROM dag_run WHERE state IN ('queued', 'running')`);
  deepEqual(open, []);
  if (world.errors.length > 0) throw (world.errors[0] as { err?: unknown }).err;
}

test('limits hold, tries only grow, no id names two tries, and every run can end, whatever happens', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 20, maxLength: 60 }), async (steps) => {
      await using world = await makeWorld();
      await makeDags(world);
      await perform(world, steps);
    }),
    { numRuns: scaled(100, 8), endOnFailure: true },
  );
});
