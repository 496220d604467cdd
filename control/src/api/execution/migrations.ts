/**
 * What older clients must be given instead of the newest answers: one table, from which every answer of a named shape is
 * made, newest change first. Refusals are the same in every version. @see execution API 8.1
 */
import { AppError } from '@airlock/contract/errors';
import { isRawNumber } from '@airlock/contract/exact-json';
import type { ApiVersion } from './version.ts';

/** Answers that differ between versions; `null` is a run that there is none of. */
export type AnswerShape = 'runContext' | 'dagRun' | 'assetEvents';

type Json = Record<string, unknown>;
type Change = {
  /** Clients of an earlier version get this change. */
  readonly before: ApiVersion;
  readonly context?: (context: Json) => void;
  /** A run, on its own and within a context. */
  readonly run?: (run: Json) => void;
  /** An event that a run has consumed. */
  readonly consumed?: (event: Json) => void;
  /** An event of a list, and a run that it made. */
  readonly event?: (event: Json) => void;
  readonly created?: (run: Json) => void;
};

const without =
  (...names: string[]) =>
  (value: Json): void => {
    for (const name of names) delete value[name];
  };

/** Newest first. */
const CHANGES: readonly Change[] = [
  { before: '2026-06-30', run: without('team_name', 'partition_date'), consumed: without('partition_key') },
  {
    before: '2026-04-06',
    context: (context) => {
      delete context.start_date;
      context.upstream_map_indexes = null;
      if (context.next_kwargs !== undefined) context.next_kwargs = legacyEncoding(context.next_kwargs);
    },
    run: (run) => {
      without('partition_key', 'note')(run);
      run.start_date ??= run.run_after;
    },
    event: without('partition_key'),
    created: without('partition_key'),
  },
  { before: '2025-11-05', run: without('triggering_user_name') },
  {
    before: '2025-10-27',
    run: (run) => {
      run.conf ??= {};
    },
  },
  { before: '2025-08-10', run: without('state') },
];

/** The newest form of an answer, as a client of `version` reads it. */
export function migrateAnswer(shape: AnswerShape, body: unknown, version: ApiVersion): unknown {
  const changes = CHANGES.filter((change) => version < change.before);
  if (changes.length === 0 || body === null) return body;
  const changed = (value: unknown, kind: Exclude<keyof Change, 'before'>): Json => {
    const copy = { ...(value as Json) };
    for (const change of changes) change[kind]?.(copy);
    return copy;
  };
  const eachOf = (list: unknown, kind: Exclude<keyof Change, 'before'>): Json[] =>
    (list as unknown[]).map((item) => changed(item, kind));
  const run = (value: unknown): Json => {
    const copy = changed(value, 'run');
    return { ...copy, consumed_asset_events: eachOf(copy.consumed_asset_events, 'consumed') };
  };
  switch (shape) {
    case 'dagRun':
      return run(body);
    case 'runContext': {
      const context = changed(body, 'context');
      return { ...context, dag_run: run(context.dag_run) };
    }
    case 'assetEvents': {
      const { asset_events: events } = body as { asset_events: unknown[] };
      return {
        asset_events: eachOf(events, 'event').map((event) => ({
          ...event,
          created_dagruns: eachOf(event.created_dagruns, 'created'),
        })),
      };
    }
  }
}

type Typed = { readonly __classname__: string; readonly __data__?: unknown };

/**
 * The older encoding of a resumed task's arguments: `{__type, __var}` for maps, instants and durations.
 * @throws INTERNAL a class that the older encoding has no form for
 */
export function legacyEncoding(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(legacyEncoding);
  if (typeof value !== 'object' || value === null || isRawNumber(value)) return value;
  if (isTyped(value)) return legacyTyped(value);
  const inner = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, legacyEncoding(item)]));
  return { __type: 'dict', __var: inner };
}

const isNumber = (value: unknown): boolean => typeof value === 'number' || isRawNumber(value);

function isTyped(value: object): value is Typed {
  return typeof (value as Partial<Typed>).__classname__ === 'string';
}

function legacyTyped({ __classname__: name, __data__: data }: Typed): unknown {
  if (name === 'datetime.datetime' || name === 'pendulum.datetime.DateTime') {
    const timestamp = (data as { timestamp?: unknown } | undefined)?.timestamp;
    if (isNumber(timestamp)) return { __type: 'datetime', __var: timestamp };
  }
  if (name === 'datetime.timedelta' && isNumber(data)) return { __type: 'timedelta', __var: data };
  if (name === 'builtins.tuple' && Array.isArray(data)) return { __type: 'tuple', __var: data.map(legacyEncoding) };
  throw new AppError('INTERNAL', {
    public: 'The arguments of this task have no form that this client version reads.',
    internal: { classname: name },
    remedy: 'Use a worker with Task SDK 1.2 or newer.',
  });
}
