/**
 * From the partition of an event to those of the Dags that listen: a closed table of mappers by class path. Pure.
 * @see serialized Dag 4.4; scheduling semantics 3.4
 */
import { AppError } from '@airlock/contract/errors';
import { strftime, strptime } from '../python-dates.ts';
import { zoneOf } from '../timetables/zone.ts';
import { isObject } from '../values.ts';
import { buildWindow, type Decoded, type Window } from './windows.ts';

export type PartitionMapper = {
  /** Keys of the listening Dag. @throws RangeError for a key that it does not take */
  readonly keysOf: (key: string) => readonly string[];
  /** Most keys of one event; null = `[scheduler] partition_mapper_max_downstream_keys`. */
  readonly maxKeys: number | null;
  /** The instant that a key of the listening Dag stands for; null = none. @throws RangeError */
  readonly dateOf: (key: string) => number | null;
  /** The date of the run that made the event is that of the run which it makes. */
  readonly carriesDate: boolean;
  /** Which keys of events one key of the listening Dag waits for, and how many of them are enough; null = any one is. */
  readonly rollup: {
    /** @throws RangeError */
    readonly expected: (key: string) => ReadonlySet<string>;
    readonly enough: (came: number, expected: number) => boolean;
  } | null;
  readonly reads: 'time' | 'text';
  readonly decode: (key: string) => Decoded;
  /** A member of a window as a key of the event, and as one of the listening Dag. */
  readonly encode: (member: Decoded) => string;
  readonly format: (member: Decoded) => string;
};

type Fields = Readonly<Record<string, unknown>>;
const PREFIX = 'airflow.partition_mappers.';
const MAX_TEXT = 1000;
const MAX_ITEMS = 10_000;
const MAX_DEPTH = 20;
/** Most keys that any mapper makes of one, whatever its author allows: the product of nested ones has no other bound. */
const MAX_KEYS = 10_000;

function bad(text: string): AppError {
  return new AppError('DAG_INVALID', {
    public: `A partition mapper ${text}.`,
    remedy: 'Use the mappers of airflow.partition_mappers; those of plugins are not among them.',
  });
}

function textOf(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string' || value === '' || value.length > MAX_TEXT) throw bad(`needs the text ${name}`);
  return value;
}

/** Keys pass unread. */
const PLAIN: PartitionMapper = {
  keysOf: (key) => [key],
  maxKeys: null,
  dateOf: () => null,
  carriesDate: false,
  rollup: null,
  reads: 'text',
  decode: (key) => key,
  encode: String,
  format: (member) => (typeof member === 'number' ? new Date(member).toISOString().slice(0, 19) : member),
};

const single = (keys: readonly string[]): string => {
  if (keys.length !== 1) throw new RangeError('a mapper within another one must give one key');
  return keys[0]!;
};

function timeOf(member: Decoded): number {
  if (typeof member !== 'number') throw new RangeError('a time is needed');
  return member;
}

function wallStart(unit: string): (wallMs: number) => number {
  return (wallMs) => {
    const date = new Date(wallMs);
    const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
    const at = (y: number, m: number, d: number, h = 0) => {
      const start = new Date(Date.UTC(2000, m, d, h));
      return start.setUTCFullYear(y, m, d);
    };
    switch (unit) {
      case 'Hour':
        return at(year, month, day, date.getUTCHours());
      case 'Day':
        return at(year, month, day);
      case 'Week':
        return at(year, month, day - ((date.getUTCDay() + 6) % 7));
      case 'Month':
        return at(year, month, 1);
      case 'Quarter':
        return at(year, month - (month % 3), 1);
      default:
        return at(year, 0, 1);
    }
  };
}

function temporal(unit: string, fields: Fields): PartitionMapper {
  const input = textOf(fields, 'input_format');
  const output = textOf(fields, 'output_format');
  const name = fields.timezone ?? 'UTC';
  if (typeof name !== 'string' && typeof name !== 'number') throw bad('needs a time zone');
  const zone = zoneOf(name);
  const startOf = wallStart(unit);
  const write = (wallMs: number, offsetMs: number | null): string => {
    const text = strftime(output, wallMs, offsetMs);
    if (unit !== 'Quarter') return text;
    const done = text.replaceAll('{quarter}', String(Math.floor(new Date(wallMs).getUTCMonth() / 3) + 1));
    if (/[{}]/.test(done)) throw new RangeError(`the format ${output} has a place that nothing fills`);
    return done;
  };
  // What the key of a week or quarter says beside its start, such as the number of the week, is not read back.
  const decode = (key: string): number => {
    const { wallMs, offsetMs } = strptime(output, key);
    const read = offsetMs === null ? wallMs : zone.toWall(wallMs - offsetMs);
    return unit === 'Week' || unit === 'Quarter' ? wallStart('Day')(read) : read;
  };
  return {
    ...PLAIN,
    keysOf: (key) => {
      const { wallMs, offsetMs } = strptime(input, key);
      const instant = offsetMs === null ? zone.toInstant(wallMs) : wallMs - offsetMs;
      const start = startOf(zone.toWall(instant));
      return [write(start, start - zone.toInstant(start))];
    },
    dateOf: (key) => zone.toInstant(startOf(decode(key))),
    reads: 'time',
    decode,
    encode: (member) => {
      const instant = zone.toInstant(timeOf(member));
      const wallMs = zone.toWall(instant);
      return strftime(input, wallMs, wallMs - instant);
    },
    format: (member) => write(timeOf(member), null),
  };
}

function chain(mappers: readonly PartitionMapper[]): PartitionMapper {
  return {
    ...PLAIN,
    keysOf: (key) => {
      let keys: readonly string[] = [key];
      for (const mapper of mappers) {
        const next: string[] = [];
        for (const each of keys) {
          next.push(...mapper.keysOf(each));
          if (next.length > MAX_KEYS) throw new RangeError(`one key becomes more than ${MAX_KEYS}`);
        }
        keys = next;
      }
      return keys;
    },
    dateOf: (key) => mappers.at(-1)!.dateOf(key),
  };
}

function product(mappers: readonly PartitionMapper[], delimiter: string): PartitionMapper {
  return {
    ...PLAIN,
    keysOf: (key) => {
      const segments = key.split(delimiter);
      if (segments.length !== mappers.length)
        throw new RangeError(`${mappers.length} segments are needed, and there are ${segments.length}`);
      return [mappers.map((mapper, n) => single(mapper.keysOf(segments[n]!))).join(delimiter)];
    },
    // At most one part of a key is its time; of two, neither is.
    dateOf: (key) => {
      const segments = key.split(delimiter);
      if (segments.length !== mappers.length) return null;
      const dates = mappers.map((mapper, n) => mapper.dateOf(segments[n]!)).filter((ms) => ms !== null);
      return dates.length === 1 ? dates[0]! : null;
    },
  };
}

type Enough = (came: number, expected: number) => boolean;

function rollup(inner: PartitionMapper, window: Window, enough: Enough): PartitionMapper {
  if (inner.reads !== window.of) throw bad('and its window do not fit each other');
  return {
    ...PLAIN,
    keysOf: inner.keysOf,
    dateOf: inner.dateOf,
    rollup: { expected: (key) => new Set(window.members(inner.decode(key)).map(inner.encode)), enough },
  };
}

function fanOut(inner: PartitionMapper, window: Window, outer: PartitionMapper): PartitionMapper {
  return {
    ...PLAIN,
    keysOf: (key) => window.members(inner.decode(single(inner.keysOf(key)))).map(outer.format),
    dateOf: outer.dateOf,
  };
}

function waitPolicy(value: unknown): Enough {
  if (value === undefined || value === null) return (came, expected) => came === expected;
  const { name, fields } = tagged(value, 'wait_policy.');
  if (name === 'WaitForAll') return (came, expected) => came === expected;
  const n = fields.n;
  if (name !== 'MinimumCount' || typeof n !== 'number' || !Number.isInteger(n) || n === 0)
    throw bad('has a wait policy that is not known here');
  return (came, expected) => came >= (n > 0 ? n : Math.max(0, expected + n));
}

function tagged(value: unknown, under: string): { name: string; fields: Fields } {
  if (!isObject(value) || typeof value.__type !== 'string' || !isObject(value.__var))
    throw bad('has a part of the wrong form');
  const path = PREFIX + under;
  if (!value.__type.startsWith(path)) throw bad(`${JSON.stringify(value.__type.slice(0, MAX_TEXT))} is not known here`);
  return { name: value.__type.slice(path.length), fields: value.__var };
}

function mappersOf(fields: Fields, depth: number): PartitionMapper[] {
  const { mappers } = fields;
  if (!Array.isArray(mappers) || mappers.length < 1 || mappers.length > 100) throw bad('needs a list of mappers');
  return mappers.map((mapper) => buildMapper(mapper, depth + 1));
}

const windowOf = (fields: Fields): Window => {
  const { name, fields: inner } = tagged(fields.window, 'window.');
  return buildWindow(name, inner);
};

const BUILDERS: Readonly<Record<string, (fields: Fields, depth: number) => PartitionMapper>> = {
  'identity.IdentityMapper': () => ({ ...PLAIN, carriesDate: true }),
  'fixed_key.FixedKeyMapper': (fields) => {
    const key = textOf(fields, 'downstream_key');
    return { ...PLAIN, keysOf: () => [key] };
  },
  'allowed_key.AllowedKeyMapper': (fields) => {
    const allowed = fields.allowed_keys;
    if (!Array.isArray(allowed) || allowed.length > MAX_ITEMS) throw bad('needs a list of allowed keys');
    return {
      ...PLAIN,
      keysOf: (key) => {
        if (!allowed.includes(key)) throw new RangeError(`${JSON.stringify(key)} is not among the allowed keys`);
        return [key];
      },
    };
  },
  'chain.ChainMapper': (fields, depth) => chain(mappersOf(fields, depth)),
  'product.ProductMapper': (fields, depth) =>
    product(mappersOf(fields, depth), fields.delimiter === undefined ? '|' : textOf(fields, 'delimiter')),
  'base.RollupMapper': (fields, depth) =>
    rollup(buildMapper(fields.upstream_mapper, depth + 1), windowOf(fields), waitPolicy(fields.wait_policy)),
  'temporal.FanOutMapper': (fields, depth) =>
    fanOut(
      buildMapper(fields.upstream_mapper, depth + 1),
      windowOf(fields),
      buildMapper(fields.downstream_mapper, depth + 1),
    ),
  ...Object.fromEntries(
    ['Hour', 'Day', 'Week', 'Month', 'Quarter', 'Year'].map((unit) => [
      `temporal.StartOf${unit}Mapper`,
      (fields: Fields) => temporal(unit, fields),
    ]),
  ),
};

/** Whether the keys of events that came suffice for one of the listening Dag. @throws RangeError */
export function suffices({ rollup: wanted }: PartitionMapper, key: string, came: ReadonlySet<string>): boolean {
  if (!wanted) return came.size > 0;
  const expected = wanted.expected(key);
  return wanted.enough([...expected].filter((each) => came.has(each)).length, expected.size);
}

/** @throws DAG_INVALID for an unknown class, a missing field, a zone that does not exist, too deep a nesting */
export function buildMapper(value: unknown, depth = 0): PartitionMapper {
  if (depth > MAX_DEPTH) throw bad('is nested too deeply');
  const { name, fields } = tagged(value, '');
  const build = Object.hasOwn(BUILDERS, name) ? BUILDERS[name] : undefined;
  if (!build) throw bad(`${JSON.stringify(PREFIX + name).slice(0, MAX_TEXT)} is not known here`);
  const most = fields.max_downstream_keys ?? null;
  if (most !== null && (typeof most !== 'number' || !Number.isInteger(most) || most < 1))
    throw bad('needs a positive number as max_downstream_keys');
  return { ...build(fields, depth), maxKeys: most === null ? null : Math.min(most, MAX_KEYS) };
}
