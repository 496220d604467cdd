/** The address of the database, as people write it and as our driver takes it. */
import { AppError } from './errors.ts';

const POSTGRESQL = /^(postgres|postgresql)(\+[a-z0-9_]+)?$/;
const PYTHON_DRIVERS = ['', '+psycopg', '+psycopg2', '+asyncpg'];

/**
 * `postgresql://…` whatever Python driver the address names (`+psycopg2`, `+asyncpg`), so that an Airflow's own value works.
 * @throws DB_DIALECT for any other database
 */
export function databaseAddress(text: string): string {
  const at = text.indexOf('://');
  const scheme = (at < 0 ? text : text.slice(0, at)).trim().toLowerCase();
  const match = POSTGRESQL.exec(scheme);
  if (at < 0 || !match || !PYTHON_DRIVERS.includes(match[2] ?? '')) {
    // Only the scheme is shown: the rest may hold a password.
    const seen = at < 0 ? 'an address without ://' : `${scheme}://`;
    throw new AppError('DB_DIALECT', {
      public: `Airlock keeps its data in PostgreSQL, and [database] sql_alchemy_conn is ${seen}.`,
    });
  }
  return `postgresql${text.trim().slice(at)}`;
}

/** The address of a role on a server that listens on a Unix socket. Also understood by libpq. */
export function socketAddress(parts: {
  readonly role: string;
  readonly password: string;
  readonly database: string;
  readonly socketDir: string;
}): string {
  const word = encodeURIComponent;
  return `postgresql://${word(parts.role)}:${word(parts.password)}@/${word(parts.database)}?host=${word(parts.socketDir)}`;
}
