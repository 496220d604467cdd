/** A PostgreSQL of one's own that can be killed and started again, with one migrated database in it. */
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { socketAddress } from '@airlock/contract/database-address';
import {
  initCluster,
  postgresAccount,
  preparePostgres,
  startPostgres,
  stopLeftover,
} from '@airlock/proc/postgres/index';
import { migrate } from '@airlock/store/migrate';
import { postgresNativeDir } from '../../../standalone/src/postgres-package.ts';
import { waitFor } from '../../../tests/kit/wait.ts';

const TEST_UID = 1_999_901;

export type CrashableDatabase = AsyncDisposable & {
  readonly url: string;
  /** SIGKILL to the postmaster: every connection breaks, nothing is said in farewell. */
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
};

export async function startCrashableDatabase(): Promise<CrashableDatabase> {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-crash-pg-'));
  chmodSync(folder, 0o711);
  const password = randomBytes(18).toString('base64url');
  const account = postgresAccount(TEST_UID);
  const binaries = preparePostgres(postgresNativeDir(), join(folder, 'links'));
  const dataDir = join(folder, 'data');
  const socketDir = join(folder, 'socket');
  await initCluster({ binaries, account, dataDir, superuser: 'airlock_owner', password, durable: true });
  const launch = () =>
    startPostgres({
      binaries,
      account,
      dataDir,
      socketDir,
      maxConnections: 50,
      durable: true,
      onLine: () => undefined,
    });
  let server = launch();
  await server.ready;
  const owner = socketAddress({ role: 'airlock_owner', password, database: 'postgres', socketDir });
  await migrate({ url: owner, nowIso: new Date().toISOString(), rolePasswords: { airlock_control: password } });
  return {
    url: socketAddress({ role: 'airlock_control', password, database: 'postgres', socketDir }),
    kill: async () => {
      process.kill(server.pid, 'SIGKILL');
      await server.exited;
      await stopLeftover(dataDir, 2000);
    },
    start: async () => {
      // Backends of the killed one hold the shared memory until they have noticed.
      await waitFor(
        'PostgreSQL starts again',
        async () => {
          server = launch();
          await server.ready;
          return true;
        },
        { timeoutMs: 10_000, everyMs: 50 },
      );
    },
    [Symbol.asyncDispose]: async () => {
      await server.stop(500);
      rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
    },
  };
}
