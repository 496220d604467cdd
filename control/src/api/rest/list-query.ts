/** What list routes have in common: page, order and the pieces of their query schemas. @see rest-api 1.5 to 1.8 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Column, Range, SortKey } from '@airlock/store/queries/rest-list/compose';
import { many, one, wire } from '../http/wire.ts';
import { pythonRepr } from './python-json.ts';
import type { RestContext } from './route.ts';

const MAX_ORDER_KEYS = 10;

/** `limit`, `offset`, `order_by`. */
export const pageQuery = {
  limit: optionalOne(wire.int({ ge: 0 })),
  offset: optionalOne(wire.int({ ge: 0 })),
  order_by: many(wire.text()),
};

/** A query parameter that may be absent; of a repeated one the last counts. */
export function optionalOne<T>(inner: z.ZodType<T>): z.ZodOptional<z.ZodType<T>> {
  return one(inner).optional() as unknown as z.ZodOptional<z.ZodType<T>>;
}

const optionalInstant = () => optionalOne(wire.instant());
const optionalNumber = () => optionalOne(wire.float());

/** `NAME_gte`, `NAME_gt`, `NAME_lte`, `NAME_lt` of instants. */
export function instantRange<const N extends string>(name: N) {
  return {
    [`${name}_gte`]: optionalInstant(),
    [`${name}_gt`]: optionalInstant(),
    [`${name}_lte`]: optionalInstant(),
    [`${name}_lt`]: optionalInstant(),
  } as Record<`${N}_${'gte' | 'gt' | 'lte' | 'lt'}`, z.ZodOptional<z.ZodType<string>>>;
}

export function numberRange<const N extends string>(name: N) {
  return {
    [`${name}_gte`]: optionalNumber(),
    [`${name}_gt`]: optionalNumber(),
    [`${name}_lte`]: optionalNumber(),
    [`${name}_lt`]: optionalNumber(),
  } as Record<`${N}_${'gte' | 'gt' | 'lte' | 'lt'}`, z.ZodOptional<z.ZodType<number>>>;
}

/** The bounds of one range out of the parsed query. A numeric bound of zero filters nothing, as in the reference. */
export function rangeOf<T extends string | number>(query: Record<string, unknown>, name: string): Range<T> {
  const bound = (suffix: string): T | undefined => {
    const value = query[`${name}_${suffix}`] as T | null | undefined;
    return value === 0 || value === null ? undefined : value;
  };
  return { gte: bound('gte'), gt: bound('gt'), lte: bound('lte'), lt: bound('lt') };
}

/** `NAME_pattern` and `NAME_prefix_pattern`. */
export function patterns<const N extends string>(name: N) {
  return {
    [`${name}_pattern`]: optionalOne(wire.searchTerm()),
    [`${name}_prefix_pattern`]: optionalOne(wire.searchTerm()),
  } as Record<`${N}_pattern` | `${N}_prefix_pattern`, z.ZodOptional<z.ZodType<string>>>;
}

/** The page that was asked for, within what is allowed. */
export function pageOf(
  context: RestContext,
  query: { limit?: number; offset?: number },
): { limit: number; offset: number } {
  const { maximum_page_limit: most, fallback_page_limit: usual } = context.deps.config.api;
  return { limit: Math.min(query.limit ?? usual, most), offset: query.offset ?? 0 };
}

/**
 * Sort keys of a request, with the primary key last in the direction of the first.
 * @throws BAD_REQUEST more than ten, or a name that is not offered
 */
export function sortKeys(
  asked: readonly string[],
  offered: Readonly<Record<string, Column>>,
  primary: Column,
  fallback: readonly string[],
): SortKey[] {
  if (asked.length > MAX_ORDER_KEYS) {
    const given = pythonRepr([...asked]);
    throw new AppError('BAD_REQUEST', {
      public: `Ordering with more than ${MAX_ORDER_KEYS} parameters is not allowed. Provided: ${given}`,
    });
  }
  const keys = (asked.length > 0 ? asked : fallback).map((term): SortKey => {
    const name = term.replace(/^-/, '');
    const column = Object.hasOwn(offered, name) ? offered[name] : undefined;
    if (!column) {
      throw new AppError('BAD_REQUEST', {
        public: `Ordering with '${name}' is disallowed or the attribute does not exist on the model`,
      });
    }
    return { column, descending: term.startsWith('-') };
  });
  return [...keys, { column: primary, descending: keys[0]?.descending ?? false }];
}

/** `update_mask`. */
export const maskQuery = z.object({ update_mask: many(wire.text()) });

/** Body fields that a PATCH touches: those that were sent, narrowed by the mask when there is one. */
export function fieldsToUpdate(body: Readonly<Record<string, unknown>>, mask: readonly string[]): Set<string> {
  const sent = Object.keys(body).filter((name) => body[name] !== undefined);
  return new Set(mask.length > 0 ? sent.filter((name) => mask.includes(name)) : sent);
}
