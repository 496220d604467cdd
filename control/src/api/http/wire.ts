/**
 * Field types of requests as Airflow's framework reads them: texts that hold numbers count as numbers, words as booleans,
 * and every refusal is worded as there. Usable in bodies and, through `query`, in query strings.
 */
import { z } from '@airlock/contract/schema';
import { parseInstant } from './instant.ts';
import { oneOf, type WireIssue, wireIssue } from './validation.ts';

const MISSING: WireIssue = { type: 'missing', msg: 'Field required' };

const isDay = (text: string): boolean =>
  !Number.isNaN(Date.parse(text)) && new Date(text).toISOString().startsWith(text);

type JsonSchema = Readonly<Record<string, unknown>>;

/** @param shown what the OpenAPI document says of it */
function field<T>(shown: JsonSchema, read: (value: unknown, refuse: (issue: WireIssue) => never) => T): z.ZodType<T> {
  const schema = z.unknown().transform((value, ctx): T => {
    let refused: WireIssue | undefined;
    const refuse = (issue: WireIssue): never => {
      refused = issue;
      throw refused;
    };
    try {
      return value === undefined ? refuse(MISSING) : read(value, refuse);
    } catch (thrown) {
      if (thrown === refused && refused) return wireIssue(ctx, refused);
      throw thrown;
    }
  });
  return schema.meta(shown) as unknown as z.ZodType<T>;
}

const boundsShown = ({ ge, gt, le }: Bounds): JsonSchema => ({
  ...(ge === undefined ? {} : { minimum: ge }),
  ...(gt === undefined ? {} : { exclusiveMinimum: gt }),
  ...(le === undefined ? {} : { maximum: le }),
});

type Bounds = { readonly ge?: number; readonly gt?: number; readonly le?: number };

function inBounds(value: number, bounds: Bounds, refuse: (issue: WireIssue) => never): number {
  if (bounds.ge !== undefined && value < bounds.ge) {
    refuse({
      type: 'greater_than_equal',
      msg: `Input should be greater than or equal to ${bounds.ge}`,
      ctx: { ge: bounds.ge },
    });
  }
  if (bounds.gt !== undefined && value <= bounds.gt) {
    refuse({ type: 'greater_than', msg: `Input should be greater than ${bounds.gt}`, ctx: { gt: bounds.gt } });
  }
  if (bounds.le !== undefined && value > bounds.le) {
    refuse({
      type: 'less_than_equal',
      msg: `Input should be less than or equal to ${bounds.le}`,
      ctx: { le: bounds.le },
    });
  }
  return value;
}

/** Largest number that the database's `integer` holds; what is above is refused here rather than there. */
export const INT4_MAX = 2_147_483_647;

/** Three decades: beyond it an instant that is counted from now means nothing. */
const MAX_DURATION_SECONDS = 1e9;
const ISO_DURATION =
  /^([+-])?P(?!$)(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?!$)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,9}(?:\.\d{1,9})?)S)?)?$/;

function isoSeconds(text: string): number | null {
  const match = ISO_DURATION.exec(text);
  if (!match) return null;
  const [, sign, ...parts] = match;
  const scale = [604_800, 86_400, 3600, 60, 1];
  const seconds = parts.reduce((sum, part, index) => sum + Number(part ?? 0) * scale[index]!, 0);
  return sign === '-' ? -seconds : seconds;
}

type TextBounds = { min?: number; max?: number; pattern?: RegExp; shownPattern?: string };

const textShown = ({ min, max, pattern }: TextBounds): JsonSchema => ({
  type: 'string',
  ...(min === undefined ? {} : { minLength: min }),
  ...(max === undefined ? {} : { maxLength: max }),
  ...(pattern === undefined ? {} : { pattern: pattern.source }),
});

/** Of one term that a list is searched by. */
const MAX_TERM_CHARACTERS = 2000;
const MAX_TERM_PARTS = 32;

const TRUE = new Set(['true', '1', 'yes', 'on', 't', 'y']);
const FALSE = new Set(['false', '0', 'no', 'off', 'f', 'n']);

export const wire = {
  /** A whole number; a text of digits counts. Bounded by the database's integer unless told otherwise. */
  int: (bounds: Bounds = {}) =>
    field<number>({ type: 'integer', ...boundsShown(bounds) }, (value, refuse) => {
      let number: number;
      if (typeof value === 'number') number = value;
      else if (typeof value === 'string') {
        if (!/^\s*[+-]?\d+(?:\.0*)?\s*$/.test(value)) {
          refuse({ type: 'int_parsing', msg: 'Input should be a valid integer, unable to parse string as an integer' });
        }
        number = Number(value);
      } else if (typeof value === 'boolean') number = Number(value);
      else return refuse({ type: 'int_type', msg: 'Input should be a valid integer' });
      if (!Number.isInteger(number)) {
        refuse({ type: 'int_from_float', msg: 'Input should be a valid integer, got a number with a fractional part' });
      }
      return inBounds(number, { le: INT4_MAX, ...bounds, ge: bounds.ge ?? -INT4_MAX }, refuse);
    }),
  float: (bounds: Bounds = {}) =>
    field<number>({ type: 'number', ...boundsShown(bounds) }, (value, refuse) => {
      const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value;
      if (typeof number !== 'number' || !Number.isFinite(number)) {
        return typeof value === 'string'
          ? refuse({ type: 'float_parsing', msg: 'Input should be a valid number, unable to parse string as a number' })
          : refuse({ type: 'float_type', msg: 'Input should be a valid number' });
      }
      return inBounds(number, bounds, refuse);
    }),
  /** Seconds: a number, or ISO 8601 of weeks to seconds; at most `MAX_DURATION_SECONDS` either way. */
  duration: () =>
    field<number>({ anyOf: [{ type: 'number' }, { type: 'string', format: 'duration' }] }, (value, refuse) => {
      const seconds = typeof value === 'string' ? isoSeconds(value) : value;
      if (typeof value !== 'string' && typeof value !== 'number')
        return refuse({ type: 'time_delta_type', msg: 'Input should be a valid timedelta' });
      if (typeof seconds !== 'number' || !(Math.abs(seconds) <= MAX_DURATION_SECONDS))
        return refuse({
          type: 'time_delta_parsing',
          msg: 'Input should be a valid timedelta, invalid digit in duration',
        });
      return seconds;
    }),
  bool: () =>
    field<boolean>({ type: 'boolean' }, (value, refuse) => {
      if (typeof value === 'boolean') return value;
      const word = String(value).toLowerCase();
      if ((typeof value === 'string' || typeof value === 'number') && TRUE.has(word)) return true;
      if ((typeof value === 'string' || typeof value === 'number') && FALSE.has(word)) return false;
      if (typeof value === 'string' || typeof value === 'number') {
        refuse({ type: 'bool_parsing', msg: 'Input should be a valid boolean, unable to interpret input' });
      }
      return refuse({ type: 'bool_type', msg: 'Input should be a valid boolean' });
    }),
  /** A text; lengths count characters, not code units. */
  text: (bounds: TextBounds = {}) =>
    field<string>(textShown(bounds), (value, refuse) => {
      if (typeof value !== 'string') return refuse({ type: 'string_type', msg: 'Input should be a valid string' });
      const { min, max, pattern } = bounds;
      if (min !== undefined && [...value].length < min) {
        const msg = `String should have at least ${min} character${min === 1 ? '' : 's'}`;
        refuse({ type: 'string_too_short', msg, ctx: { min_length: min } });
      }
      if (max !== undefined && value.length > max && [...value].length > max) {
        const msg = `String should have at most ${max} character${max === 1 ? '' : 's'}`;
        refuse({ type: 'string_too_long', msg, ctx: { max_length: max } });
      }
      if (pattern && !pattern.test(value)) {
        const shown = bounds.shownPattern ?? pattern.source;
        refuse({
          type: 'string_pattern_mismatch',
          msg: `String should match pattern '${shown}'`,
          ctx: { pattern: shown },
        });
      }
      return value;
    }),
  /** What a list is searched by: a text, with a bound on the alternatives (`|`) and the runs (`%`) that each row is held against. */
  searchTerm: () =>
    field<string>(textShown({ max: MAX_TERM_CHARACTERS }), (value, refuse) => {
      if (typeof value !== 'string') return refuse({ type: 'string_type', msg: 'Input should be a valid string' });
      if (value.length > MAX_TERM_CHARACTERS)
        refuse({
          type: 'string_too_long',
          msg: `String should have at most ${MAX_TERM_CHARACTERS} characters`,
          ctx: { max_length: MAX_TERM_CHARACTERS },
        });
      for (const [what, mark] of [
        ['alternatives', '|'],
        ['wildcards', '%'],
      ] as const)
        if (value.split(mark).length > MAX_TERM_PARTS)
          refuse({
            type: 'pattern_too_complex',
            msg: `Pattern should have at most ${MAX_TERM_PARTS} ${what}`,
            ctx: { [`max_${what}`]: MAX_TERM_PARTS },
          });
      return value;
    }),
  /** One of some words. */
  word: <const W extends readonly string[]>(words: W) =>
    field<W[number]>({ type: 'string', enum: [...words] }, (value, refuse) => {
      if (typeof value === 'string' && words.includes(value)) return value as W[number];
      const expected = oneOf(words);
      return refuse({
        type: words.length > 1 ? 'enum' : 'literal_error',
        msg: `Input should be ${expected}`,
        ctx: { expected },
      });
    }),
  /** An instant with an offset; gives RFC 3339 in UTC. */
  instant: () =>
    field<string>({ type: 'string', format: 'date-time' }, (value, refuse) => {
      const parsed = parseInstant(value);
      return parsed.ok ? parsed.iso : refuse(parsed.issue);
    }),
  /** What a clock on a wall showed, as `YYYY-MM-DDTHH:MM:SS[.ffffff]`; an offset, if one is given, is left out. */
  wallClock: () =>
    field<string>({ type: 'string', format: 'date-time' }, (value, refuse) => {
      const bare =
        typeof value === 'string' ? value.trim().replace(/(?<=:\d{2}.*)\s?(?:[Zz]|[+-]\d{2}(?::?\d{2})?)$/, '') : value;
      const parsed = parseInstant(typeof bare === 'string' ? `${bare}${bare.includes(':') ? '' : 'T00:00:00'}Z` : bare);
      return parsed.ok ? parsed.iso.replace(/Z$/, '') : refuse(parsed.issue);
    }),
  /** A day of the calendar, `2026-06-10`. */
  day: () =>
    field<string>({ type: 'string', format: 'date' }, (value, refuse) => {
      const fine = typeof value === 'string' && /^\d{4}-\d{2}-\d{2}$/.test(value) && isDay(value);
      if (fine) return value;
      return refuse({
        type: 'date_from_datetime_parsing',
        msg: 'Input should be a valid date or datetime',
        ctx: { error: 'it is no day of the calendar' },
      });
    }),
  /** A JSON object, kept as it is. */
  object: () =>
    field<Record<string, unknown>>({ type: 'object', additionalProperties: true }, (value, refuse) => {
      if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
      return refuse({ type: 'dict_type', msg: 'Input should be a valid dictionary' });
    }),
  /** Any JSON value; only its absence is refused. */
  json: () => field<unknown>({}, (value) => value),
};

/** A query parameter with one value; of a repeated one the last counts. */
export function one<T extends z.ZodType>(inner: T) {
  return z.preprocess((value) => (Array.isArray(value) ? value.at(-1) : value), inner);
}

/** A query parameter that may be repeated; absent gives an empty list. */
export function many<T extends z.ZodType>(inner: T) {
  return z.preprocess(
    (value) => (value === undefined ? [] : Array.isArray(value) ? value : [value]),
    z.array(inner).max(1000),
  );
}
