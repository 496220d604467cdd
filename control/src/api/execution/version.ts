/** The date header that picks a version, and which routes a version has. @see execution API 1.3 */
import { AppError } from '@airlock/contract/errors';
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

/** The versions in which a route exists, both ends included; an open end = from the first, to the newest. */
export type ServedIn = { readonly since?: ApiVersion; readonly until?: ApiVersion };

export function isServedIn({ since, until }: ServedIn, version: ApiVersion): boolean {
  return (since === undefined || version >= since) && (until === undefined || version <= until);
}

/**
 * Makes the router pass over routes that the version asked for does not have, so that their paths are unknown to it, or are
 * taken by a route of another shape: `GET /variables/keys` was once the variable called `keys`.
 * A route names its versions as `constraints: { [VERSION_CONSTRAINT]: JSON of ServedIn }`.
 */
export const VERSION_CONSTRAINT = 'executionVersion';
export const versionConstraint = {
  name: VERSION_CONSTRAINT,
  mustMatchWhenDerived: false,
  /** An unusable date is refused by the hook of the API, which comes after the router. */
  deriveConstraint: (request: { readonly headers: Readonly<Record<string, unknown>> }): ApiVersion => {
    const asked = request.headers['airflow-api-version'];
    return (typeof asked === 'string' && API_VERSIONS.findLast((version) => version <= asked)) || NEWEST_VERSION;
  },
  /** What the router keeps for the ranges that one path has; ranges of one path and method do not overlap. */
  storage: <Kept>() => {
    const ranges = new Map<string, Kept>();
    return {
      get: (rangeOrVersion: string): Kept | null => {
        for (const [range, kept] of ranges) {
          if (range === rangeOrVersion) return kept;
          if (rangeOrVersion.startsWith('{')) continue;
          if (isServedIn(JSON.parse(range) as ServedIn, rangeOrVersion as ApiVersion)) return kept;
        }
        return null;
      },
      set: (range: string, kept: Kept): void => void ranges.set(range, kept),
    };
  },
};
