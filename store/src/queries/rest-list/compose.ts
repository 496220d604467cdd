/**
 * How list routes are put together: conditions and sort keys are pieces of SQL with their values as parameters, so that
 * nothing a caller sends ever becomes text of a statement.
 */
import { createHash } from 'node:crypto';
import { type Db, join, raw, type Sql, sql } from '../../database.ts';

/** Type of a sort key, for the casts of cursors. */
export type ColumnType = 'text' | 'timestamptz' | 'int8' | 'float8' | 'uuid' | 'bool';
export type Column = { readonly expr: Sql; readonly type: ColumnType };
export type SortKey = { readonly column: Column; readonly descending: boolean };

export type ListParts = {
  readonly select: Sql;
  readonly from: Sql;
  readonly where: readonly Sql[];
  readonly order: readonly SortKey[];
  readonly limit: number;
  readonly offset: number;
  /** FROM of the count, where the page's own joins add nothing to it. */
  readonly countFrom?: Sql;
};

const names = new Map<string, string>();
/** Enough for every route with its usual filters; rarer shapes are planned each time. */
const MAX_NAMES = 200;

/** A name under which this statement is prepared, or none when too many shapes are in use already. */
export function statementName(statement: Sql): string | undefined {
  const text = statement.text;
  const known = names.get(text);
  if (known) return known;
  if (names.size >= MAX_NAMES) return undefined;
  const name = `list_${createHash('sha256').update(text).digest('hex').slice(0, 24)}`;
  names.set(text, name);
  return name;
}

/** The condition of a filter, where one was given. */
export function given<T>(value: T | null | undefined, make: (value: T) => Sql): Sql[] {
  return value === undefined || value === null ? [] : [make(value)];
}

/** `a AND b`, or true. */
export function all(conditions: readonly Sql[]): Sql {
  return conditions.length === 0 ? sql`true` : join([...conditions], ' AND ');
}

export function orderBy(keys: readonly SortKey[]): Sql {
  return join(
    keys.map((key) => (key.descending ? sql`${key.column.expr} DESC` : sql`${key.column.expr} ASC`)),
    ', ',
  );
}

/** One page, and the number of rows that the filters leave. Locks nothing. */
export async function listPage<Row>(db: Db, parts: ListParts): Promise<{ rows: Row[]; total: number }> {
  const where = all(parts.where);
  const page = sql`SELECT ${parts.select} FROM ${parts.from} WHERE ${where} ORDER BY ${orderBy(parts.order)}
    LIMIT ${parts.limit} OFFSET ${parts.offset}`;
  const rows = parts.limit === 0 ? [] : await db.query<Row>(page, statementName(page));
  // A page that is not full has shown the end: the count is known without asking.
  if (parts.limit > 0 && rows.length < parts.limit && (rows.length > 0 || parts.offset === 0)) {
    return { rows, total: parts.offset + rows.length };
  }
  return { rows, total: await countRows(db, { from: parts.countFrom ?? parts.from, where }) };
}

/** Rows that match, at most `most` of them when given. */
export async function countRows(db: Db, parts: { from: Sql; where: Sql; most?: number }): Promise<number> {
  const count =
    parts.most === undefined
      ? sql`SELECT count(*)::int8 AS n FROM ${parts.from} WHERE ${parts.where}`
      : sql`SELECT count(*)::int8 AS n FROM (SELECT 1 FROM ${parts.from} WHERE ${parts.where} LIMIT ${parts.most}) capped`;
  const rows = await db.query<{ n: number }>(count, statementName(count));
  return rows[0]!.n;
}

/** Like-pattern of a term whose `%` and `_` are wild and whose backslashes are not escapes. */
function like(term: string): string {
  return `%${term.replaceAll('\\', '\\\\')}%`;
}

function alternatives(term: string): string[] {
  return term
    .split('|')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

/**
 * Contains, any case, `%` and `_` wild, `|` for or, `~` for everything. Without wildcards it is a plain search for text, which
 * PostgreSQL does in a tenth of the time that LIKE takes over long texts of few letters. @see rest-api 1.8
 */
export function contains(column: Sql, term: string, options: { or?: boolean } = {}): Sql {
  if (term === '~') return sql`true`;
  const terms = options.or === false ? [term] : alternatives(term);
  if (terms.length === 0) return sql`true`;
  return sql`(${join(
    terms.map((each) => (/[%_]/.test(each) ? sql`${column} ILIKE ${like(each)}` : containsText(column, each))),
    ' OR ',
  )})`;
}

/** Contains, any case, nothing wild. */
export function containsText(column: Sql, term: string): Sql {
  return sql`position(lower(${term}) IN lower(${column})) > 0`;
}

/** Starts with, same case; trailing punctuation of the term is dropped; `|` for or, `~` for every non-null. */
export function startsWith(column: Sql, term: string, options: { or?: boolean } = {}): Sql {
  if (term === '~') return sql`${column} IS NOT NULL`;
  const terms = (options.or === false ? [term] : alternatives(term)).map((each) =>
    each.replace(/[^\p{L}\p{N}]+$/u, ''),
  );
  if (terms.length === 0) return sql`true`;
  return sql`(${join(
    terms.map((each) => sql`starts_with(${column}, ${each})`),
    ' OR ',
  )})`;
}

export type Range<T> = { readonly gte?: T; readonly gt?: T; readonly lte?: T; readonly lt?: T };

/** Bounds on a column; a NULL never matches. */
export function inRange<T>(column: Sql, range: Range<T>): Sql[] {
  return [
    ...(range.gte === undefined ? [] : [sql`${column} >= ${range.gte}`]),
    ...(range.gt === undefined ? [] : [sql`${column} > ${range.gt}`]),
    ...(range.lte === undefined ? [] : [sql`${column} <= ${range.lte}`]),
    ...(range.lt === undefined ? [] : [sql`${column} < ${range.lt}`]),
  ];
}

/** Bounds on an instant whose NULL means "still open, now". */
export function inOpenRange(column: Sql, range: Range<string>, nowIso: string): Sql[] {
  const orOpen = (condition: Sql, admits: boolean) => (admits ? sql`(${column} IS NULL OR ${condition})` : condition);
  const later = (bound: string) => Date.parse(bound) >= Date.parse(nowIso);
  return [
    ...(range.gte === undefined ? [] : [orOpen(sql`${column} >= ${range.gte}`, true)]),
    ...(range.gt === undefined ? [] : [orOpen(sql`${column} > ${range.gt}`, true)]),
    ...(range.lte === undefined ? [] : [orOpen(sql`${column} <= ${range.lte}`, later(range.lte))]),
    ...(range.lt === undefined ? [] : [orOpen(sql`${column} < ${range.lt}`, later(range.lt))]),
  ];
}

/** One of the values; a null in the list matches NULL. */
export function anyOf(column: Sql, values: ReadonlyArray<string | null>): Sql {
  const present = values.filter((value) => value !== null);
  if (present.length === values.length) return sql`${column} = ANY(${present})`;
  return sql`(${column} IS NULL OR ${column} = ANY(${present}))`;
}

export function anyInt(column: Sql, values: readonly number[]): Sql {
  return sql`${column} = ANY(${[...values]}::int[])`;
}

/** The name of a type, for a cast; never a caller's text. */
export function castTo(value: unknown, type: ColumnType): Sql {
  return sql`${value}::${raw(type)}`;
}

/** Sort-key values of one row as texts, in the order of the keys. */
export type CursorValues = ReadonlyArray<string | null>;

/**
 * The rows strictly after `values` in the order of `keys` (or before them). NULL counts as the greatest value, as the
 * database sorts it.
 */
export function keyset(keys: readonly SortKey[], values: CursorValues, direction: 'after' | 'before'): Sql {
  const same = (i: number): Sql => {
    const { expr, type } = keys[i]!.column;
    return values[i] === null ? sql`${expr} IS NULL` : sql`${expr} = ${castTo(values[i], type)}`;
  };
  const beyond = (i: number): Sql => {
    const { column, descending } = keys[i]!;
    const value = values[i]!;
    const upward = descending === (direction === 'before');
    if (upward) {
      return value === null
        ? sql`false`
        : sql`(${column.expr} > ${castTo(value, column.type)} OR ${column.expr} IS NULL)`;
    }
    return value === null ? sql`${column.expr} IS NOT NULL` : sql`${column.expr} < ${castTo(value, column.type)}`;
  };
  const branches = keys.map((_, i) => {
    const equal = Array.from({ length: i }, (_, j) => same(j));
    return sql`(${all([...equal, beyond(i)])})`;
  });
  return sql`(${join(branches, ' OR ')})`;
}

/** What a cursor page found: rows, and the sort-key values of its first and last row. */
export type CursorPage<Row> = {
  readonly rows: Row[];
  readonly first: CursorValues | null;
  readonly last: CursorValues | null;
  /** Whether there are rows beyond the page in the direction that was read. */
  readonly more: boolean;
};

/** One page by keyset. `from` null = the first page. Locks nothing. */
export async function listByCursor<Row>(
  db: Db,
  parts: Omit<ListParts, 'offset' | 'countFrom'>,
  from: { values: CursorValues; direction: 'after' | 'before' } | null,
): Promise<CursorPage<Row>> {
  const backward = from?.direction === 'before';
  const keys = backward ? parts.order.map((key) => ({ ...key, descending: !key.descending })) : parts.order;
  const values = join(
    parts.order.map((key, i) => sql`(${key.column.expr})::text AS ${raw(`cursor_${i}`)}`),
    ', ',
  );
  const where = all(from ? [...parts.where, keyset(parts.order, from.values, from.direction)] : parts.where);
  const page = sql`SELECT ${parts.select}, ${values} FROM ${parts.from} WHERE ${where} ORDER BY ${orderBy(keys)}
    LIMIT ${parts.limit + 1}`;
  const found = await db.query<Row & Record<string, string | null>>(page, statementName(page));
  const rows = found.slice(0, parts.limit);
  if (backward) rows.reverse();
  const valuesOf = (row: (typeof rows)[number] | undefined): CursorValues | null =>
    row ? parts.order.map((_, i) => row[`cursor_${i}`] ?? null) : null;
  return { rows, first: valuesOf(rows[0]), last: valuesOf(rows.at(-1)), more: found.length > parts.limit };
}
