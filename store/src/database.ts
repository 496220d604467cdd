/**
 * The connection pool, and the one way to run SQL: a statement is a value made with `sql` (sql-template-tag), every value in
 * it is a parameter, and a hot statement carries a name so that PostgreSQL plans it once.
 */
import { AppError } from '@airlock/contract/errors';
import pg from 'pg';
import type { Sql } from 'sql-template-tag';

export type { Sql } from 'sql-template-tag';
export { default as sql, empty, join, raw } from 'sql-template-tag';

/** What a query function needs: a pool or an open transaction. */
export type Db = {
  /** Rows of one statement. `name` = prepare once per connection under this name. */
  readonly query: <Row>(statement: Sql, name?: string) => Promise<Row[]>;
};

/** A whole database: queries outside transactions, transactions, and notifications. */
export type Database = Db & {
  /** Runs `work` in one transaction (READ COMMITTED); rolls back when it throws. Never nests. */
  readonly transaction: <T>(work: (tx: Db) => Promise<T>) => Promise<T>;
  /**
   * Calls `onEvent` for each notification on `channel`, reconnecting when the link breaks; `onGap` after each (re)connect,
   * since anything may have been missed. @returns a function that stops listening.
   */
  readonly listen: (
    channel: string,
    onEvent: (payload: string) => void,
    onGap: () => void,
  ) => Promise<() => Promise<void>>;
  readonly close: () => Promise<void>;
};

export type DatabaseOptions = {
  /** postgresql:// address. */
  readonly url: string;
  readonly maxConnections: number;
  readonly applicationName: string;
  /** A link error outside a query, for the log. */
  readonly onError: (error: Error) => void;
};

/** An idle backend of PostgreSQL holds 6 to 10 MB of plans; the last one used is used first, so those of a burst end soon. */
const IDLE_MS = 20_000;

// Instants travel as strings both ways: JavaScript dates have no microseconds, and the wire shows them.
const INSTANT_OIDS = [1114, 1184];
const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary') => {
    if (INSTANT_OIDS.includes(oid)) return (text: string) => text;
    if (oid === 20) return (text: string) => Number(text); // bigint ids stay far below 2^53
    return pg.types.getTypeParser(oid, format as 'text');
  },
};

/** Errors of the link or of a server that is starting or stopping, as opposed to errors of a statement. */
function isUnavailable(error: unknown): boolean {
  const code = (error as { code?: unknown })?.code;
  if (typeof code !== 'string')
    return error instanceof Error && /terminated|ended|timeout exceeded|not queryable/.test(error.message);
  return /^(08|57P0)/.test(code) || /^E(CONN|PIPE|NOTFOUND|NOENT|AI_AGAIN|TIMEDOUT)/.test(code);
}

function translate(error: unknown): unknown {
  if (!isUnavailable(error)) return error;
  return new AppError('DB_UNAVAILABLE', { public: 'The database is temporarily unavailable.', cause: error });
}

/** Opens a pool; connects lazily. @throws DB_UNAVAILABLE from queries while the server can't be reached. */
export function openDatabase(options: DatabaseOptions): Database {
  const pool = new pg.Pool({
    connectionString: options.url,
    max: options.maxConnections,
    application_name: options.applicationName,
    idleTimeoutMillis: IDLE_MS,
    connectionTimeoutMillis: 5_000,
    types,
  });
  pool.on('error', options.onError);

  const on =
    (client: pg.Pool | pg.PoolClient) =>
    async <Row>(statement: Sql, name?: string): Promise<Row[]> => {
      try {
        const result = await client.query({ text: statement.text, values: statement.values as unknown[], name });
        return result.rows as Row[];
      } catch (error) {
        throw translate(error);
      }
    };

  return {
    query: on(pool),
    transaction: async (work) => {
      let client: pg.PoolClient;
      try {
        client = await pool.connect();
      } catch (error) {
        throw translate(error);
      }
      let broken: Error | undefined;
      // A link that breaks between two statements says so by an event; without a listener it would end the process.
      const onBroken = (error: Error) => {
        broken = error;
        options.onError(error);
      };
      client.on('error', onBroken);
      try {
        await client.query('BEGIN');
        const result = await work({ query: on(client) });
        await client.query('COMMIT');
        return result;
      } catch (error) {
        await client.query('ROLLBACK').catch((rollback: Error) => {
          broken ??= rollback;
        });
        throw translate(error);
      } finally {
        client.off('error', onBroken);
        client.release(broken);
      }
    },
    listen: (channel, onEvent, onGap) => listen(options, channel, onEvent, onGap),
    close: () => pool.end(),
  };
}

async function listen(
  options: DatabaseOptions,
  channel: string,
  onEvent: (payload: string) => void,
  onGap: () => void,
): Promise<() => Promise<void>> {
  let stopped = false;
  let client: pg.Client | undefined;
  let retry: NodeJS.Timeout | undefined;
  const connect = async (): Promise<void> => {
    const next = new pg.Client({
      connectionString: options.url,
      application_name: `${options.applicationName}-listen`,
    });
    let lost = false;
    const onLost = (error?: Error) => {
      if (lost || stopped) return;
      lost = true;
      if (error) options.onError(error);
      retry = setTimeout(() => void connect(), 200);
    };
    next.on('error', onLost);
    next.on('end', () => onLost());
    next.on('notification', (message) => onEvent(message.payload ?? ''));
    try {
      await next.connect();
      await next.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      client = next;
      onGap();
    } catch (error) {
      onLost(error as Error);
      next.end().catch(() => undefined);
    }
  };
  await connect();
  return async () => {
    stopped = true;
    clearTimeout(retry);
    await client?.end().catch(() => undefined);
  };
}
