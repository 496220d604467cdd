/**
 * The processes of an installation in one thread, on a real database and a clock of the test. Each may die at any moment, and
 * what it held may still be reported afterwards.
 */
import type { World } from '../world.ts';
import type { ActorOptions } from './common.ts';
import { Schedulers } from './schedulers.ts';
import { Triggerers } from './triggerers.ts';
import { Workers } from './workers.ts';

export type Actors = AsyncDisposable & {
  readonly schedulers: Schedulers;
  readonly workers: Workers;
  readonly triggerers: Triggerers;
  /** The living say that they live. */
  readonly beat: () => Promise<void>;
  /** Everything that can be done at this instant is done. */
  readonly workThrough: () => Promise<void>;
};

export async function makeActors(world: World, options: ActorOptions): Promise<Actors> {
  const schedulers = new Schedulers(world, options);
  const workers = new Workers(world, options);
  const triggerers = new Triggerers(world, options);
  await schedulers.listen();
  await workers.join();
  await triggerers.join();
  const beat = async () => {
    await workers.beat();
    await triggerers.beat();
  };
  return {
    schedulers,
    workers,
    triggerers,
    beat,
    workThrough: async () => {
      await beat();
      for (const n of [0, 1]) {
        await schedulers.work(n, 'sweep');
        await schedulers.work(n, 'look');
        await triggerers.sync(n);
        await workers.claim(n);
        await workers.start(n);
      }
      while (triggerers.isBusy()) await triggerers.fire(0);
      while (workers.isBusy()) await workers.report(0);
    },
    [Symbol.asyncDispose]: () => schedulers[Symbol.asyncDispose](),
  };
}
