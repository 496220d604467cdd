/** Making the database itself, on a server of our own. */
import pg from 'pg';
import { connectForAdmin } from './connect.ts';

/** Makes database `name` unless it exists. @throws DB_UNREACHABLE · DB_TOO_OLD */
export async function ensureDatabase(url: string, name: string): Promise<void> {
  const client = await connectForAdmin(url);
  try {
    const found = await client.query('SELECT 1 FROM pg_database WHERE datname = $1', [name]);
    if (found.rowCount === 0) await client.query(`CREATE DATABASE ${pg.escapeIdentifier(name)}`);
  } finally {
    await client.end();
  }
}
