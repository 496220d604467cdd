import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { isAppError } from '@airlock/contract/errors';
import { openDatabase, raw, sql } from '@airlock/store';
import { migrate, schemaIsCurrent } from '@airlock/store/migrate';
import { testDatabase } from '../../tests/kit/database.ts';
import { tempHome } from '../../tests/kit/temp-home.ts';
import { checkHistory } from '../src/migrate.ts';
import { loadMigrations } from '../src/migrations.ts';

const nowIso = '2026-02-03T04:05:06Z';

/** An empty database beside a test database, as its owner. */
async function emptyDatabase(): Promise<
  { url: string; query: (text: string) => Promise<unknown[]> } & AsyncDisposable
> {
  const base = await testDatabase();
  const name = `empty_${process.pid}_${Math.random().toString(36).slice(2, 10)}`;
  const admin = openDatabase({
    url: base.ownerUrl,
    maxConnections: 1,
    applicationName: 'test',
    onError: () => undefined,
  });
  await admin.query(sql`CREATE DATABASE ${raw(name)}`);
  const url = base.ownerUrl.replace(/\/airlock_test_[0-9a-f]+/, `/${name}`);
  const db = openDatabase({ url, maxConnections: 1, applicationName: 'test', onError: () => undefined });
  return {
    url,
    query: (text) => db.query(sql`${raw(text)}`),
    [Symbol.asyncDispose]: async () => {
      await db.close();
      await admin.query(sql`DROP DATABASE ${raw(name)} WITH (FORCE)`);
      await admin.close();
      await base.close();
    },
  };
}

test('An empty database is brought to the newest schema, and a second migrate finds nothing to do', async () => {
  await using empty = await emptyDatabase();
  assert.equal(await schemaIsCurrent(empty.url), false);
  const first = await migrate({ url: empty.url, nowIso });
  assert.deepEqual(
    first.applied,
    loadMigrations().map(({ name }) => name),
  );
  const second = await migrate({ url: empty.url, nowIso });
  assert.deepEqual(second.applied, []);
  assert.equal(second.version, first.version);
  assert.equal(await schemaIsCurrent(empty.url), true);
  const temporary = `SELECT has_database_privilege('airlock_control', current_database(), 'TEMPORARY') AS may`;
  assert.deepEqual(await empty.query(temporary), [{ may: false }]);
  const rows = (await empty.query('SELECT applied_at FROM schema_version')) as Array<{ applied_at: string }>;
  assert.equal(new Date(rows[0]!.applied_at).toISOString(), '2026-02-03T04:05:06.000Z'); // the caller's clock, not the server's
});

test('Four migrates at once apply each migration once', async () => {
  await using empty = await emptyDatabase();
  const results = await Promise.all([1, 2, 3, 4].map(() => migrate({ url: empty.url, nowIso })));
  const applied = results.flatMap((result) => result.applied);
  assert.deepEqual(
    applied,
    loadMigrations().map(({ name }) => name),
  );
});

test('The database of an Airflow is refused with DB_FOREIGN, and nothing in it changes', async () => {
  await using empty = await emptyDatabase();
  await empty.query('CREATE TABLE alembic_version (version_num text)');
  await assert.rejects(migrate({ url: empty.url, nowIso }), (error) => isAppError(error, 'DB_FOREIGN'));
  assert.deepEqual(await empty.query(`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace`), [
    { relname: 'alembic_version' },
  ]);
  // Control: with our schema beside it, it is ours.
  await empty.query('DROP TABLE alembic_version');
  await migrate({ url: empty.url, nowIso });
  await empty.query('CREATE TABLE alembic_version (version_num text)');
  assert.deepEqual((await migrate({ url: empty.url, nowIso })).applied, []);
});

test('A schema of a newer release, or a migration that was edited after it was applied, is refused with DB_SCHEMA', async () => {
  await using empty = await emptyDatabase();
  await migrate({ url: empty.url, nowIso });
  await empty.query(`UPDATE schema_version SET checksum = 'edited' WHERE version = 1`);
  await assert.rejects(migrate({ url: empty.url, nowIso }), (error) => isAppError(error, 'DB_SCHEMA'));
  await assert.rejects(schemaIsCurrent(empty.url), (error) => isAppError(error, 'DB_SCHEMA'));
  const all = loadMigrations();
  const newer = { version: all.length + 1, name: '9999_future', checksum: 'x' };
  assert.throws(
    () => checkHistory(all, [...all, newer]),
    (error) => isAppError(error, 'DB_SCHEMA'),
  );
  checkHistory(all, all); // control
});

test('A migration that fails leaves nothing of itself behind', async () => {
  await using empty = await emptyDatabase();
  await empty.query('CREATE TABLE team (mine int)'); // collides with the first migration
  await assert.rejects(migrate({ url: empty.url, nowIso }), /already exists/);
  assert.deepEqual(await empty.query('SELECT * FROM schema_version'), []);
  assert.deepEqual(await empty.query(`SELECT to_regclass('dag_run') AS t`), [{ t: null }]);
  await empty.query('DROP TABLE team');
  assert.ok((await migrate({ url: empty.url, nowIso })).applied.length > 0);
});

test('A server that is not there, a wrong password and another dialect each have their own answer', async () => {
  await using empty = await emptyDatabase();
  const fails = async (url: string, code: 'DB_UNREACHABLE' | 'DB_DIALECT') =>
    assert.rejects(
      migrate({ url, nowIso }),
      (error) => isAppError(error, code) && !error.message.includes('hunter2'),
      url,
    );
  await fails('postgresql://u:hunter2@127.0.0.1:1/x', 'DB_UNREACHABLE');
  await fails('postgresql://u:hunter2@/x?host=/nonexistent', 'DB_UNREACHABLE');
  await fails(empty.url.replace(/:[^:@/]+@/, ':hunter2@'), 'DB_UNREACHABLE');
  await fails('mysql://u:hunter2@127.0.0.1/x', 'DB_DIALECT');
});

test('PostgreSQL 13 is refused with DB_TOO_OLD', async () => {
  // No such server is at hand: a wire between us and the real one says 13.11 where that says its own version.
  await using empty = await emptyDatabase();
  await using wire = await ageingProxy(empty.url, /1[4-9]\d{4}/, '130011');
  await assert.rejects(
    migrate({ url: wire.url, nowIso }),
    (error) => isAppError(error, 'DB_TOO_OLD') && /13\.11/.test(error.message),
  );
  await using honest = await ageingProxy(empty.url, /1[4-9]\d{4}/, null);
  assert.ok((await migrate({ url: honest.url, nowIso })).applied.length > 0);
});

/** Passes everything on to the server's socket, and rewrites its version on the way back. */
async function ageingProxy(
  url: string,
  seen: RegExp,
  shown: string | null,
): Promise<{ url: string } & AsyncDisposable> {
  const socketDir = decodeURIComponent(/host=([^&]+)/.exec(url)![1]!);
  const open = new Set<Socket>();
  const server: Server = createServer((client) => {
    const upstream = connect(`${socketDir}/.s.PGSQL.5432`);
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
    }
    client.pipe(upstream);
    upstream.on('data', (bytes) => {
      const text = bytes.toString('latin1');
      client.write(shown === null ? bytes : Buffer.from(text.replace(seen, shown), 'latin1'));
    });
    upstream.on('close', () => client.destroy());
    client.on('close', () => upstream.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  return {
    url: url.replace(/@\/([^?]+)\?.*/, `@127.0.0.1:${port}/$1`),
    [Symbol.asyncDispose]: async () => {
      for (const socket of open) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** `airlock db migrate` as an operator runs it. */
function byHand(url: string, home: string): { status: number | null; stdout: string; stderr: string } {
  const entry = new URL('../bin/migrate.ts', import.meta.url).pathname;
  return spawnSync(process.execPath, ['--disable-warning=ExperimentalWarning', entry], {
    encoding: 'utf8',
    env: {
      PATH: process.env.PATH,
      HOME: home,
      AIRLOCK_HOME: home,
      ...(url === '' ? {} : { AIRLOCK_DATABASE_URL: url }),
    },
  });
}

test('airlock db migrate says what it did, and each refusal in two lines with status 2', async () => {
  await using empty = await emptyDatabase();
  using home = tempHome();
  const first = byHand(empty.url, home.path);
  assert.equal(first.status, 0, first.stderr);
  assert.match(first.stdout, /^applying 0001_initial\n[\s\S]*The schema is at version \d+: applied 0001_initial/);
  assert.match(byHand(empty.url, home.path).stdout, /^The schema is at version \d+: nothing to do\.\n$/);
  const refused = byHand('sqlite:///x', home.path);
  assert.equal(refused.status, 2);
  assert.equal(
    refused.stderr,
    'DB_DIALECT: Airlock keeps its data in PostgreSQL, and [database] sql_alchemy_conn is sqlite:// (value < hidden > from AIRLOCK_DATABASE_URL; allowed: a postgresql:// address, or nothing).\nUse a postgresql:// address.\n',
  );
  // Neither a server of the operator's nor a standalone: nothing can be migrated, and that is no crash.
  const nothing = byHand('', home.path);
  assert.equal(nothing.status, 2);
  assert.match(nothing.stderr, /^DB_UNREACHABLE: /);
});
