/** The embedded PostgreSQL: cluster, server, schema. Or the operator's own server, where only the schema is ours. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MigrateValues } from '@airlock/contract/config/handed';
import { databaseAddress, socketAddress } from '@airlock/contract/database-address';
import { AppError, ERRORS, type ErrorCode } from '@airlock/contract/errors';
import { spawnNode } from '@airlock/proc/node-child';
import {
  clusterExists,
  initCluster,
  postgresAccount,
  preparePostgres,
  startPostgres,
  stopLeftover,
} from '@airlock/proc/postgres/index';
import { keepRunning, type Service } from '@airlock/proc/service';
import { MIGRATIONS_DIRS } from './entries.ts';
import type { Layout } from './layout.ts';
import type { Log } from './log.ts';
import { postgresNativeDir } from './postgres-package.ts';
import { ownSecret } from './secrets.ts';

const OWNER = 'airlock_owner';
const CONTROL = 'airlock_control';
const DATABASE = 'airlock';
/** More than control's pool, its listener, migrations and a few operators can hold. */
const MAX_CONNECTIONS = 60;

export type DatabasePart = {
  /** Null with a server of the operator's. */
  readonly service: Service | null;
  /** Fulfilled with control's address, when the schema is current and the server answers. */
  readonly ready: Promise<string>;
};

export type DatabaseContext = {
  readonly layout: Layout;
  readonly log: Log;
  readonly migrateEntry: string;
  readonly env: Readonly<Record<string, string>>;
  /** Called before a new cluster is made, which takes a moment. */
  readonly onFirstStart: () => void;
  /** Called when the data have vanished while we ran: no restart brings them back. */
  readonly onLost: (error: AppError) => void;
  /** Called when the server has died, before it is started again. */
  readonly onDown: () => void;
};

/** A server of the operator's own: its schema is brought up to date, nothing else. @throws DB_DIALECT */
export function externalDatabase(address: string, context: DatabaseContext): DatabasePart {
  const url = databaseAddress(address);
  const values: MigrateValues = { url, create_database: null, role_passwords: {} };
  return { service: null, ready: runMigrate(values, context).then(() => url) };
}

/** Our own server. A first start makes the cluster; every start makes sure that no earlier postmaster is left. */
export async function embeddedDatabase(context: DatabaseContext): Promise<DatabasePart> {
  const { layout, log } = context;
  const account = layout.accounts ? postgresAccount(layout.accounts.postgres) : null;
  const binaries = preparePostgres(postgresNativeDir(), layout.linksDir);
  const ownerPassword = ownSecret(layout.keysDir, `postgres-${OWNER}`);
  const controlPassword = ownSecret(layout.keysDir, `postgres-${CONTROL}`);
  const address = (role: string, password: string, database: string) =>
    socketAddress({ role, password, database, socketDir: layout.socketDir });

  const { dataDir } = layout;
  if (!clusterExists(dataDir)) {
    context.onFirstStart();
    rmSync(layout.schemaStamp, { force: true });
    await initCluster({ binaries, account, dataDir, superuser: OWNER, password: ownerPassword, durable: true });
  }
  const service = keepRunning({
    name: 'postgres',
    log: log.say,
    onDown: context.onDown,
    start: async () => {
      if (!clusterExists(dataDir)) {
        const gone = new AppError('HOME_UNWRITABLE', {
          public: `The database of this installation, ${dataDir}, is gone.`,
          remedy: 'Restore the data folder from a backup, or start anew to make an empty one.',
        });
        context.onLost(gone);
        throw gone;
      }
      await stopLeftover(dataDir, 3000);
      const server = startPostgres({
        binaries,
        account,
        dataDir,
        socketDir: layout.socketDir,
        maxConnections: MAX_CONNECTIONS,
        durable: true,
        onLine: (line) => log.line('postgres', line),
      });
      return {
        pid: server.pid,
        ready: server.ready.then(() => ({})),
        exited: server.exited,
        send: () => undefined,
        stop: server.stop,
      };
    },
  });
  const ready = service.firstReady.then(async () => {
    const digest = schemaDigest();
    if (readStamp(layout.schemaStamp) !== digest) {
      const values: MigrateValues = {
        url: address(OWNER, ownerPassword, DATABASE),
        create_database: { url: address(OWNER, ownerPassword, 'postgres'), name: DATABASE },
        role_passwords: { [CONTROL]: controlPassword },
      };
      await runMigrate(values, context);
      writeFileSync(layout.schemaStamp, digest, { mode: 0o600 });
    }
    return address(CONTROL, controlPassword, DATABASE);
  });
  return { service, ready };
}

/** One value for all that `migrate` would do: equal to the last one means that it need not even be started. */
function schemaDigest(): string {
  const hash = createHash('sha256');
  for (const folder of MIGRATIONS_DIRS) {
    for (const name of readdirSync(folder).sort()) hash.update(name).update(readFileSync(join(folder, name)));
  }
  return hash.digest('hex');
}

function readStamp(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

/** Runs the process `migrate` to its end. @throws what it says: DB_UNREACHABLE, DB_TOO_OLD, DB_FOREIGN, DB_SCHEMA */
async function runMigrate(values: MigrateValues, context: DatabaseContext): Promise<void> {
  const child = spawnNode({
    entry: context.migrateEntry,
    env: { ...context.env, NODE_COMPILE_CACHE: context.layout.cacheDir('migrate') },
    runAs: null,
    execArgv: ['--disable-warning=ExperimentalWarning'],
    onLine: (line) => context.log.say('info', `migrate: ${line}`),
  });
  let problem: AppError | undefined;
  child.onMessage((message) => {
    if (message.type !== 'fatal') return;
    const code = Object.hasOwn(ERRORS, message.code) ? (message.code as ErrorCode) : 'INTERNAL';
    problem = new AppError(code, { public: message.message, remedy: message.remedy });
  });
  child.send({ type: 'config', values });
  const exit = await child.exited;
  if (exit.code !== 0)
    throw (
      problem ?? new AppError('INTERNAL', { public: `migrate ended with ${exit.signal ?? `status ${exit.code}`}.` })
    );
}
