/** Random choices that can be repeated: the seed is printed, and `AIRLOCK_SEED` (or the run's `SEED`) replays them. */
import { createHash, randomInt } from 'node:crypto';

export type Random = {
  readonly seed: number;
  /** A whole number from 0 to `end` - 1. */
  readonly below: (end: number) => number;
  readonly pick: <T>(items: readonly T[]) => T;
  readonly shuffle: <T>(items: readonly T[]) => T[];
};

/** @param name of the test: two tests with one seed do not make the same choices */
export function seededRandom(name: string): Random {
  const seed = Number(process.env.AIRLOCK_SEED ?? process.env.SEED ?? randomInt(1_000_000));
  process.stdout.write(`${name}: seed ${seed}; repeat with AIRLOCK_SEED=${seed}\n`);
  let drawn = 0;
  const below = (end: number) => {
    const bytes = createHash('sha256').update(`${name} ${seed} ${drawn++}`).digest();
    return Math.floor((bytes.readUIntBE(0, 6) / 2 ** 48) * end);
  };
  return {
    seed,
    below,
    pick: (items) => items[below(items.length)]!,
    shuffle: (items) => {
      const left = [...items];
      return items.map(() => left.splice(below(left.length), 1)[0]!);
    },
  };
}

/** Whole with `npm run soak`, else a `share`-th, but at least `least`. */
export function scaled(whole: number, least = 1, share = 10): number {
  return process.env.AIRLOCK_SOAK ? whole : Math.max(least, Math.round(whole / share));
}
