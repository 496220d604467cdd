/** Opaque positions in a list: the sort-key values of a border row. Backward ones begin with `~`. @see rest-api 1.6 */
import { AppError } from '@airlock/contract/errors';
import type { ColumnType, CursorPage, CursorValues, SortKey } from '@airlock/store/queries/rest-list/compose';

export const CURSOR_COUNT_LIMIT = 50_000;
const MAX_TOKEN = 4_000;
const FITS: Readonly<Record<ColumnType, RegExp>> = {
  text: /^[^\0]*$/s,
  timestamptz: /^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}(?:\.\d{1,6})?[+-]\d{2}(?::\d{2}){0,2}$/,
  int8: /^-?\d{1,18}$/,
  float8: /^-?\d+(?:\.\d+)?(?:e[+-]?\d{1,3})?$/,
  uuid: /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/,
  bool: /^(?:true|false|t|f)$/,
};

export type Cursor = { readonly values: CursorValues; readonly direction: 'after' | 'before' };

export function encodeCursor(values: CursorValues, direction: 'after' | 'before'): string {
  return (direction === 'before' ? '~' : '') + Buffer.from(JSON.stringify(values)).toString('base64url');
}

/** Null for the empty token: the first page. @throws BAD_REQUEST */
export function decodeCursor(token: string, keys: readonly SortKey[]): Cursor | null {
  if (token === '') return null;
  const refuse = (text: string): never => {
    throw new AppError('BAD_REQUEST', { public: text });
  };
  const direction = token.startsWith('~') ? 'before' : 'after';
  const text = token.replace(/^~/, '');
  if (token.length > MAX_TOKEN || !/^[A-Za-z0-9_-]+$/.test(text)) refuse('Invalid cursor token');
  let values: unknown;
  try {
    values = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
  } catch {
    refuse('Invalid cursor token');
  }
  if (!Array.isArray(values)) return refuse('Invalid cursor token structure');
  if (values.length !== keys.length) refuse('Cursor token does not match current query shape');
  const fits = values.every((value, i) => {
    return value === null || (typeof value === 'string' && FITS[keys[i]!.column.type].test(value));
  });
  if (!fits) refuse('Invalid cursor token structure');
  return { values: values as CursorValues, direction };
}

/** The four members that a cursor answer adds. */
export function cursorMembers(
  page: CursorPage<unknown> & { total: number },
  from: Cursor | null,
): Record<string, unknown> {
  const backward = from?.direction === 'before';
  const hasNext = backward || page.more;
  const hasPrevious = backward ? page.more : from !== null;
  return {
    total_entries: page.total,
    total_entries_limit: CURSOR_COUNT_LIMIT,
    next_cursor: hasNext && page.last ? encodeCursor(page.last, 'after') : null,
    previous_cursor: hasPrevious && page.first ? encodeCursor(page.first, 'before') : null,
  };
}

/** The same members in offset mode. */
export function offsetMembers(total: number): Record<string, unknown> {
  return { total_entries: total, total_entries_limit: null, next_cursor: null, previous_cursor: null };
}
