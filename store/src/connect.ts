/** One connection for administration: checks what it meets, and says it in words for the operator. */
import { databaseAddress } from '@airlock/contract/database-address';
import { AppError } from '@airlock/contract/errors';
import pg from 'pg';

/** Oldest server that is supported, as server_version_num. */
const OLDEST = 140_000;

/** @throws DB_DIALECT · DB_UNREACHABLE · DB_TOO_OLD */
export async function connectForAdmin(url: string): Promise<pg.Client> {
  const address = databaseAddress(url);
  let client: pg.Client;
  try {
    client = new pg.Client({
      connectionString: address,
      connectionTimeoutMillis: 5000,
      application_name: 'airlock-migrate',
    });
    client.on('error', () => undefined); // a broken link shows in the query that runs
    await client.connect();
  } catch (cause) {
    throw new AppError('DB_UNREACHABLE', { public: `The database can't be reached: ${reason(cause)}.`, cause });
  }
  const version = Number((await client.query('SHOW server_version_num')).rows[0].server_version_num);
  if (version < OLDEST) {
    await client.end();
    const text = `${Math.floor(version / 10_000)}.${version % 10_000}`;
    throw new AppError('DB_TOO_OLD', { public: `The database is PostgreSQL ${text}, and Airlock needs 14 or newer.` });
  }
  return client;
}

/** The driver's words without what could be secret: code and message name host, user and database, never a password. */
function reason(cause: unknown): string {
  if (cause instanceof AggregateError && cause.errors.length > 0) return reason(cause.errors[0]);
  return cause instanceof Error ? cause.message || cause.name : String(cause);
}
