/**
 * A database of its own for each test: a clone of a migrated template. Queries run as `airlock_control`, so a missing
 * grant shows in the test of the query that needs it.
 */
import { createHash, randomBytes } from 'node:crypto';
import { after } from 'node:test';
import { type Database, openDatabase, raw, sql } from '@airlock/store';
import { migrate } from '@airlock/store/migrate';
import { loadGrants, loadMigrations } from '../../store/src/migrations.ts';
import { startTestCluster, type TestCluster } from './cluster.ts';

export type TestDatabase = {
  /** Address for the role `airlock_control`. */
  readonly url: string;
  /** Address for the role that owns the tables. */
  readonly ownerUrl: string;
  /** As `airlock_control`. */
  readonly db: Database;
  readonly close: () => Promise<void>;
} & AsyncDisposable;

/** Of every role in test clusters, which listen on a Unix socket in a private folder. */
const ROLE_PASSWORD = 'airlock-test';

const opened = new Set<() => Promise<void>>();
let cluster: Promise<TestCluster> | undefined;
let template: Promise<string> | undefined;

// Registered when this file is imported, so that it runs after every test of the importing file.
after(async () => {
  for (const close of opened) await close();
  if (cluster) await (await cluster).stop();
});

function getCluster(): Promise<TestCluster> {
  const shared = process.env.AIRLOCK_TEST_PG;
  cluster ??= shared ? Promise.resolve({ url: shared, stop: async () => undefined }) : startTestCluster();
  return cluster;
}

function at(url: string, database: string, role?: { name: string; password: string }): string {
  return url
    .replace(/\/postgres(\?|$)/, `/${database}$1`)
    .replace(/^postgresql:\/\/[^@]*@/, (owner) => (role ? `postgresql://${role.name}:${role.password}@` : owner));
}

async function withAdmin<T>(work: (admin: Database) => Promise<T>): Promise<T> {
  const { url } = await getCluster();
  const admin = openDatabase({ url, maxConnections: 1, applicationName: 'test-admin', onError: () => undefined });
  try {
    return await work(admin);
  } finally {
    await admin.close();
  }
}

/** The migrated template of this schema, made once per cluster however many test files ask at the same time. */
async function getTemplate(): Promise<string> {
  const parts = [...loadMigrations(), ...loadGrants()].map((file) => file.checksum);
  const name = `airlock_template_${createHash('sha256').update(parts.join()).digest('hex').slice(0, 12)}`;
  const { url } = await getCluster();
  await withAdmin(async (admin) => {
    await admin.query(sql`SELECT pg_advisory_lock(7233481002)`);
    const found = await admin.query<{ datname: string }>(sql`SELECT datname FROM pg_database WHERE datname = ${name}`);
    if (found.length > 0) return;
    const draft = `${name}_draft`;
    await admin.query(sql`DROP DATABASE IF EXISTS ${raw(draft)}`);
    await admin.query(sql`CREATE DATABASE ${raw(draft)}`);
    const nowIso = '2026-01-01T00:00:00Z';
    await migrate({ url: at(url, draft), nowIso, rolePasswords: { airlock_control: ROLE_PASSWORD } });
    await admin.query(sql`ALTER DATABASE ${raw(draft)} RENAME TO ${raw(name)}`);
  });
  return name;
}

/** A fresh database that holds the schema and nothing else; dropped by `close`, `await using`, or the end of the file. */
export async function testDatabase(): Promise<TestDatabase> {
  template ??= getTemplate();
  const from = await template;
  const { url: adminUrl } = await getCluster();
  const name = `airlock_test_${randomBytes(6).toString('hex')}`;
  await withAdmin(async (admin) => {
    await admin.query(sql`CREATE DATABASE ${raw(name)} TEMPLATE ${raw(from)}`);
    // Rights on the database itself, unlike those on what is in it, are not copied with it.
    await admin.query(sql`REVOKE TEMPORARY ON DATABASE ${raw(name)} FROM PUBLIC`);
  });
  const url = at(adminUrl, name, { name: 'airlock_control', password: ROLE_PASSWORD });
  const db = openDatabase({ url, maxConnections: 8, applicationName: 'test', onError: () => undefined });
  const close = async () => {
    if (!opened.delete(close)) return;
    await db.close();
    await withAdmin((admin) => admin.query(sql`DROP DATABASE IF EXISTS ${raw(name)} WITH (FORCE)`));
  };
  opened.add(close);
  return { url, ownerUrl: at(adminUrl, name), db, close, [Symbol.asyncDispose]: close };
}
