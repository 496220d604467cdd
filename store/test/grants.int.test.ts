import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Db, raw, sql } from '@airlock/store';
import { testDatabase } from '../../tests/kit/database.ts';

const DENIED = '42501';

async function refused(db: Db, statement: string): Promise<void> {
  await assert.rejects(
    () => db.query(sql`${raw(statement)}`),
    (error: { code?: string }) => error.code === DENIED,
    statement,
  );
}

test('airlock_control can change no part of the schema, and reads and writes its rows', async () => {
  // Whoever takes over the API server must not be able to add a function that the next migration would run as owner.
  await using database = await testDatabase();
  const { db } = database;
  await db.query(sql`INSERT INTO team (name) VALUES ('t')`);
  await db.query(sql`UPDATE team SET name = 'u'`);
  await db.query(sql`DELETE FROM team`);
  await db.query(sql`SELECT count(*) FROM schema_version`);
  for (const statement of [
    'CREATE TABLE mine (x int)',
    'CREATE TEMP TABLE mine (x int)',
    'CREATE SCHEMA mine',
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    'CREATE VIEW v AS SELECT 1',
    'CREATE EXTENSION pg_trgm',
    'DROP TABLE task_instance',
    'ALTER TABLE task_instance ADD COLUMN x int',
    'ALTER TABLE task_instance DISABLE TRIGGER ALL',
    'CREATE INDEX i ON task_instance (state)',
    'TRUNCATE task_instance',
    "INSERT INTO schema_version VALUES (99, 'x', 'x', '2026-01-01')",
    "UPDATE schema_version SET checksum = 'x'",
    'DELETE FROM schema_version',
    'COMMENT ON TABLE team IS $$x$$',
  ]) {
    await refused(db, statement);
  }
});

test('airlock_control can not become, read or run anything outside the database', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await db.query(sql`SELECT rolname FROM pg_roles`);
  for (const statement of [
    'SET ROLE airlock_owner',
    'SET SESSION AUTHORIZATION airlock_owner',
    'CREATE ROLE mine SUPERUSER',
    'ALTER ROLE airlock_control SUPERUSER',
    'CREATE DATABASE mine',
    "COPY team TO PROGRAM 'cat'",
    "COPY team FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    'SELECT rolpassword FROM pg_authid',
    "ALTER SYSTEM SET log_statement = 'all'",
    'SELECT pg_reload_conf()',
    'CHECKPOINT',
  ]) {
    await refused(db, statement);
  }
});

test('Records that are only ever added can not be changed by airlock_control', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await db.query(sql`INSERT INTO event_log (at, event) VALUES ('2026-01-01', 'x')`);
  await refused(db, "UPDATE event_log SET event = 'y'");
  await db.query(sql`INSERT INTO revoked_token (jti, expires_at) VALUES ('a', '2026-01-01')`);
  await refused(db, "UPDATE revoked_token SET expires_at = '2020-01-01'");
});

test('Every table is named in the grants of a role', async () => {
  // A table without a line would fail at run time, in the one query that needs it.
  await using database = await testDatabase();
  const rows = await database.db.query<{ relname: string }>(
    sql`SELECT relname FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
      AND NOT has_table_privilege('airlock_control', c.oid, 'SELECT')`,
  );
  assert.deepEqual(rows, []);
});
