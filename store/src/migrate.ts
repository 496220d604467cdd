/**
 * Brings a database to this release's schema. Several may run at once: an advisory lock makes them wait, and the later ones
 * find nothing to do. Each migration is one transaction.
 */
import { AppError } from '@airlock/contract/errors';
import type pg from 'pg';
import { connectForAdmin } from './connect.ts';
import { loadGrants, loadMigrations, type Migration } from './migrations.ts';
import { ensureRole } from './roles.ts';

export type MigrateOptions = {
  /** postgresql:// address of a role that may create tables. */
  readonly url: string;
  readonly nowIso: string;
  /** Roles to make, or to give this password, before grants: name → password. Needs CREATEROLE. */
  readonly rolePasswords?: Readonly<Record<string, string>>;
  /** Called before each migration runs. */
  readonly onStep?: (name: string) => void;
};

export type MigrateResult = {
  readonly applied: readonly string[];
  readonly version: number;
  /** Roles that have their grants now. */
  readonly granted: readonly string[];
};

/** Any fixed number; names our lock among those of other programs in the same database. */
const LOCK = 7_233_481_001;

/**
 * @throws DB_UNREACHABLE · DB_TOO_OLD below PostgreSQL 14 · DB_FOREIGN an Airflow's database · DB_SCHEMA a newer release's
 * schema, or an applied migration that has changed since
 */
export async function migrate(options: MigrateOptions): Promise<MigrateResult> {
  const client = await connectForAdmin(options.url);
  try {
    await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
    await refuseForeign(client);
    await client.query(
      'CREATE TABLE IF NOT EXISTS schema_version (version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL, applied_at timestamptz NOT NULL)',
    );
    const all = loadMigrations();
    const done = await appliedVersions(client);
    checkHistory(all, done);
    const applied: string[] = [];
    for (const migration of all.slice(done.length)) {
      options.onStep?.(migration.name);
      await apply(client, migration, options.nowIso);
      applied.push(migration.name);
    }
    for (const [role, password] of Object.entries(options.rolePasswords ?? {}))
      await ensureRole(client, role, password);
    return { applied, version: all.length, granted: await grantAll(client) };
  } finally {
    await client.end(); // ends the session, and the lock with it
  }
}

/** True when `schema_version` says that nothing is left to do. One query; for a process that only looks. */
export async function schemaIsCurrent(url: string): Promise<boolean> {
  const client = await connectForAdmin(url);
  try {
    const known = await client.query(`SELECT to_regclass('schema_version') AS t`);
    if (known.rows[0].t === null) return false;
    const all = loadMigrations();
    const done = await appliedVersions(client);
    checkHistory(all, done);
    return done.length === all.length;
  } finally {
    await client.end();
  }
}

type Applied = { readonly version: number; readonly name: string; readonly checksum: string };

async function appliedVersions(client: pg.Client): Promise<Applied[]> {
  return (await client.query<Applied>('SELECT version, name, checksum FROM schema_version ORDER BY version')).rows;
}

async function refuseForeign(client: pg.Client): Promise<void> {
  const found = await client.query(
    `SELECT to_regclass('alembic_version') AS theirs, to_regclass('schema_version') AS ours`,
  );
  if (found.rows[0].theirs !== null && found.rows[0].ours === null) {
    throw new AppError('DB_FOREIGN', {
      public: 'This database holds the tables of an Airflow (alembic_version); Airlock changes nothing in it.',
    });
  }
}

/** The database's history must be the beginning of ours. */
export function checkHistory(all: readonly Migration[], done: readonly Applied[]): void {
  for (const [index, row] of done.entries()) {
    const file = all[index];
    if (!file) {
      throw new AppError('DB_SCHEMA', {
        public: `The database has schema version ${row.version}, and this release knows versions up to ${all.length}.`,
        remedy: 'Use the release that made it, or a newer one.',
      });
    }
    if (file.version !== row.version || file.checksum !== row.checksum) {
      throw new AppError('DB_SCHEMA', {
        public: `Migration ${row.name} is not the one that was applied to this database.`,
        remedy: 'Install the release as it was published, or restore the database from a backup.',
      });
    }
  }
}

async function apply(client: pg.Client, migration: Migration, nowIso: string): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(migration.sql);
    await client.query('INSERT INTO schema_version (version, name, checksum, applied_at) VALUES ($1, $2, $3, $4)', [
      migration.version,
      migration.name,
      migration.checksum,
      nowIso,
    ]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

/**
 * Grants are whole files, run anew by each migrate: what a role may do is what its file says today, not the sum of a history.
 * Roles that the server does not have are left out: on a PostgreSQL of the operator's own, control uses the operator's role.
 */
async function grantAll(client: pg.Client): Promise<string[]> {
  const granted: string[] = [];
  for (const { role, sql } of loadGrants()) {
    const exists = await client.query('SELECT 1 FROM pg_roles WHERE rolname = $1', [role]);
    if (exists.rowCount === 0) continue;
    await client.query('BEGIN');
    try {
      await client.query(sql);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    }
    granted.push(role);
  }
  return granted;
}
