/**
 * Random Dags and random histories on a real database, in which schedulers die between two of their statements, workers and
 * triggerers die with all that they hold, and the dead speak afterwards. What must hold is read from the database after each step.
 */
import { equal, ok } from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from '@airlock/store';
import fc from 'fast-check';
import { scaled, seededRandom } from '../../tests/kit/seed.ts';
import { makeActors } from './kit/actors/index.ts';
import { History, isByHand, orderlyHistory, type Step, wildHistory } from './kit/histories.ts';
import { outcomesOf, type Setting, settings, tasksOf } from './kit/random-dags.ts';
import { shrinkFor } from './kit/shrink.ts';
import { watchTransitions } from './kit/transitions.ts';
import { makeWorld, type World } from './kit/world.ts';

/** Histories: a fortieth of them without `npm run soak`. */
const WILD = scaled(200, 1, 40);
const REPLAYED = scaled(80, 1, 40);
const SHRINK_MS = 60_000;
/** A history takes about a second of processor time. */
const LIMITS = { timeout: 3_600_000 };

async function makeDags(world: World, { pools, dags, family }: Setting): Promise<void> {
  for (const [i, { slots, includeDeferred }] of pools.entries())
    await world.db.query(
      sql`INSERT INTO slot_pool (name, slots, include_deferred) VALUES (${`pool${i + 1}`}, ${slots}, ${includeDeferred})`,
    );
  for (const [i, dag] of dags.entries())
    await world.dag(`d${i}`, tasksOf(dag, family), {
      max_active_runs: dag.maxActiveRuns,
      max_active_tasks: dag.maxActiveTasks,
      ...(dag.timeout && family === 'mixed' ? { dagrun_timeout: 600 } : {}),
    });
}

const seen = { histories: 0, steps: 0, moves: 0, schedulers: 0, workers: 0, triggerers: 0, reports: 0, refused: 0 };

/**
 * Performs one history on a database of its own.
 * @param traced the states after each step are told too
 * @returns what it came to, as text
 */
async function perform(
  setting: Setting,
  steps: readonly Step[],
  traced = false,
): Promise<{ trace: string[]; end: string }> {
  await using world = await makeWorld();
  await makeDags(world, setting);
  await using watch = await watchTransitions(world.ownerUrl, setting.parallelism);
  const mixed = setting.family === 'mixed';
  await using actors = await makeActors(world, {
    parallelism: setting.parallelism,
    outcomes: outcomesOf(setting),
    queueTimeoutMs: mixed ? 600_000 : 1e12,
    triggerSeconds: mixed ? 300 : null,
  });
  const history = new History(world, actors, setting.dags.length);
  const check = async (byHand = false) => {
    await watch.check(byHand);
    if (world.errors.length > 0) throw (world.errors[0] as { err?: unknown }).err;
  };
  const trace: string[] = [];
  for (const step of steps) {
    await history.step(step);
    await check(isByHand(step));
    if (traced) trace.push(`${JSON.stringify(step)}\n${await history.all()}`);
  }
  await history.finish(check);
  seen.histories++;
  seen.steps += steps.length;
  seen.moves += watch.moves();
  seen.schedulers += actors.schedulers.deaths;
  seen.workers += actors.workers.counts.deaths;
  seen.triggerers += actors.triggerers.deaths;
  seen.reports += actors.workers.counts.accepted;
  seen.refused += actors.workers.counts.refused;
  return { trace, end: await history.all() };
}

test(
  'whoever dies and whatever people do, limits hold, a task has one running try, no word counts twice, and every run ends',
  LIMITS,
  async () => {
    const { seed } = seededRandom('histories');
    await fc.assert(
      fc.asyncProperty(
        settings(['mixed', 'mixed', 'fails']),
        wildHistory,
        shrinkFor(SHRINK_MS, async (setting: Setting, steps: Step[]) => {
          await perform(setting, steps);
        }),
      ),
      { seed, numRuns: WILD, unbiased: true },
    );
    if (WILD > 100) for (const count of Object.values(seen)) ok(count > 0);
  },
);

test(
  'the same seed gives the same states after every step, and where no scheduler dies the runs come to the same ends',
  LIMITS,
  async () => {
    const { seed } = seededRandom('replay');
    await fc.assert(
      fc.asyncProperty(
        settings(['fails', 'skips']),
        orderlyHistory,
        shrinkFor(SHRINK_MS, async (setting: Setting, steps: Step[]) => {
          const first = await perform(setting, steps, true);
          const again = await perform(setting, steps, true);
          for (const [i, states] of again.trace.entries()) equal(states, first.trace[i]);
          equal(again.end, first.end);
          // The same runs, and everything else as soon as it can be.
          const smooth = steps.filter(({ kind }) => kind === 'trigger');
          equal((await perform(setting, smooth)).end, first.end);
        }),
      ),
      { seed, numRuns: REPLAYED, unbiased: true },
    );
    process.stdout.write(
      `${seen.histories} histories, ${seen.steps} steps, ${seen.moves} changes of state; ${seen.schedulers} schedulers, ${seen.workers} workers and ${seen.triggerers} triggerers died; ${seen.reports} reports accepted, ${seen.refused} refused\n`,
    );
  },
);
