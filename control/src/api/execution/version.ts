/** The date header that picks a version, and what older clients must be given instead. @see execution API 1.3, 8.1 */
import { AppError } from '@airlock/contract/errors';
import type { TaskRunContext } from '@airlock/contract/execution/run-context';
import { validationError } from '../http/validation.ts';

export const API_VERSIONS = [
  '2025-04-11',
  '2025-04-28',
  '2025-05-20',
  '2025-08-10',
  '2025-09-23',
  '2025-10-27',
  '2025-11-05',
  '2026-04-06',
  '2026-06-30',
] as const;
export type ApiVersion = (typeof API_VERSIONS)[number];
export const NEWEST_VERSION: ApiVersion = '2026-06-30';

export const VERSION_HEADER = 'Airflow-API-Version';

/**
 * The version to serve: the newest that is not later than the date asked for.
 * @throws NOT_FOUND older than the oldest · VALIDATION not a date
 */
export function negotiateVersion(asked: string | undefined): ApiVersion {
  if (asked === undefined) return NEWEST_VERSION;
  if (asked !== '' && !isDate(asked)) {
    const error = asked.length < 10 ? 'input is too short' : 'invalid date separator, expected `-`';
    throw validationError([
      {
        type: 'date_from_datetime_parsing',
        loc: ['header', VERSION_HEADER],
        msg: `Input should be a valid date or datetime, ${error}`,
        input: asked,
        ctx: { error },
      },
    ]);
  }
  const served = API_VERSIONS.findLast((version) => version <= asked);
  if (!served) throw new AppError('NOT_FOUND', { public: 'Not Found', detail: 'Not Found' });
  return served;
}

function isDate(text: string): boolean {
  return /^\d{4}-\d{2}-\d{2}$/.test(text) && !Number.isNaN(Date.parse(`${text}T00:00:00Z`));
}

/** The run context as a client of `version` reads it; rules are applied newest first. */
export function migrateRunContext(context: TaskRunContext, version: ApiVersion): Record<string, unknown> {
  const answer: Record<string, unknown> = { ...context };
  const run: Record<string, unknown> = { ...context.dag_run };
  const drop = (...keys: string[]) => {
    for (const key of keys) delete run[key];
  };
  if (version < '2026-06-30') drop('team_name', 'partition_date');
  if (version < '2026-04-06') {
    drop('partition_key', 'note');
    run.start_date ??= run.run_after;
    delete answer.start_date;
    answer.upstream_map_indexes = null;
    if (answer.next_kwargs !== undefined) answer.next_kwargs = legacyEncoding(answer.next_kwargs);
  }
  if (version < '2025-11-05') drop('triggering_user_name');
  if (version < '2025-10-27') run.conf ??= {};
  if (version < '2025-08-10') drop('state');
  return { ...answer, dag_run: run };
}

type Typed = { readonly __classname__: string; readonly __data__?: unknown };

/**
 * The older encoding of a resumed task's arguments: `{__type, __var}` for maps, instants and durations.
 * @throws INTERNAL a class that the older encoding has no form for
 */
export function legacyEncoding(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(legacyEncoding);
  if (typeof value !== 'object' || value === null) return value;
  if (isTyped(value)) return legacyTyped(value);
  const inner = Object.fromEntries(Object.entries(value).map(([key, item]) => [key, legacyEncoding(item)]));
  return { __type: 'dict', __var: inner };
}

function isTyped(value: object): value is Typed {
  return typeof (value as Partial<Typed>).__classname__ === 'string';
}

function legacyTyped({ __classname__: name, __data__: data }: Typed): unknown {
  if (name === 'datetime.datetime' || name === 'pendulum.datetime.DateTime') {
    const timestamp = (data as { timestamp?: unknown } | undefined)?.timestamp;
    if (typeof timestamp === 'number') return { __type: 'datetime', __var: timestamp };
  }
  if (name === 'datetime.timedelta' && typeof data === 'number') return { __type: 'timedelta', __var: data };
  if (name === 'builtins.tuple' && Array.isArray(data)) return { __type: 'tuple', __var: data.map(legacyEncoding) };
  throw new AppError('INTERNAL', {
    public: 'The arguments of this task have no form that this client version reads.',
    internal: { classname: name },
    remedy: 'Use a worker with Task SDK 1.2 or newer.',
  });
}
