/** A PostgreSQL for tests: one per test run when `AIRLOCK_TEST_PG` names it, else one per test file, thrown away at its end. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { socketAddress } from '@airlock/contract/database-address';
import { initCluster, postgresAccount, preparePostgres, startPostgres } from '@airlock/proc/postgres/index';
import { postgresNativeDir } from '../../standalone/src/postgres-package.ts';

export type TestCluster = {
  /** Address of the superuser, in the database `postgres`. */
  readonly url: string;
  readonly stop: () => Promise<void>;
};

/** User id of test clusters when the tests run as root; not one that an installation uses. */
const TEST_UID = 1_999_900;

/** Starts a cluster in a new temporary folder. Not durable. Works as root and as anybody else. */
export async function startTestCluster(): Promise<TestCluster> {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-test-pg-'));
  chmodSync(folder, 0o711);
  const password = randomBytes(18).toString('base64url');
  const account = postgresAccount(TEST_UID);
  const binaries = preparePostgres(postgresNativeDir(), join(folder, 'links'));
  const dataDir = join(folder, 'data');
  const socketDir = join(folder, 'socket');
  const remove = () => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
  try {
    await initCluster({ binaries, account, dataDir, superuser: 'airlock_owner', password, durable: false });
    const server = startPostgres({
      binaries,
      account,
      dataDir,
      socketDir,
      maxConnections: 200,
      durable: false,
      onLine: (line) => {
        if (process.env.AIRLOCK_TEST_PG_LOG) process.stderr.write(`postgres: ${line}\n`);
      },
    });
    await server.ready;
    return {
      url: socketAddress({ role: 'airlock_owner', password, database: 'postgres', socketDir }),
      stop: async () => {
        await server.stop(500);
        remove();
      },
    };
  } catch (error) {
    remove();
    throw error;
  }
}
