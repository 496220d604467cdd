/**
 * Wall clocks and instants. A zone is an IANA name or a fixed offset in seconds.
 * A wall time that does not exist moves forward by the gap; one that exists twice means its second occurrence.
 * @see scheduling semantics 2.3
 */
import { AppError } from '@airlock/contract/errors';
import { FixedOffsetZone, IANAZone, type Zone as LuxonZone } from 'luxon';

export type Zone = {
  /** Wall-clock time of an instant, as "epoch ms as if UTC". */
  readonly toWall: (instantMs: number) => number;
  readonly toInstant: (wallMs: number) => number;
};

const DAY_MS = 86_400_000;
const cache = new Map<string | number, Zone>();

/** @throws DAG_INVALID for a name that the time zone database does not have */
export function zoneOf(name: string | number): Zone {
  if (typeof name === 'number' && !(Number.isInteger(name) && Math.abs(name) <= 86_400)) {
    throw new AppError('DAG_INVALID', { public: `There is no time zone ${name} seconds from UTC.` });
  }
  const known = cache.get(name);
  if (known) return known;
  const zone = typeof name === 'number' ? fixed(name) : /^utc$/i.test(name) ? fixed(0) : named(name);
  if (cache.size < 1000) cache.set(name, zone);
  return zone;
}

function fixed(offsetSeconds: number): Zone {
  const offsetMs = offsetSeconds * 1000;
  return { toWall: (ms) => ms + offsetMs, toInstant: (ms) => ms - offsetMs };
}

function named(name: string): Zone {
  const offset = FixedOffsetZone.parseSpecifier(name);
  const zone: LuxonZone = offset ?? IANAZone.create(name);
  if (!zone.isValid) {
    throw new AppError('DAG_INVALID', {
      public: `There is no time zone ${JSON.stringify(name)}.`,
      remedy: 'Use a name of the IANA time zone database, such as Europe/Stockholm.',
    });
  }
  const offsetMs = (ms: number): number => zone.offset(ms) * 60_000;
  return {
    toWall: (ms) => ms + offsetMs(ms),
    toInstant: (wallMs) => {
      // The two offsets that may hold around this wall time; transitions are never closer than a day to each other.
      const before = offsetMs(wallMs - DAY_MS);
      const after = offsetMs(wallMs + DAY_MS);
      const late = wallMs - Math.min(before, after);
      if (offsetMs(late) === Math.min(before, after)) return late;
      const early = wallMs - Math.max(before, after);
      if (offsetMs(early) === Math.max(before, after)) return early;
      return wallMs - before;
    },
  };
}
