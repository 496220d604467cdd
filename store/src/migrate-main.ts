/** What `migrate` does: under standalone with the values that it is handed, by hand with those of airlock.cfg. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MigrateValues } from '@airlock/contract/config/handed';
import { socketAddress } from '@airlock/contract/database-address';
import { AppError } from '@airlock/contract/errors';
import { loadConfig } from '@airlock/proc/config-load';
import { describe, FATAL_STATUS, handedOver, receiveHandover } from '@airlock/proc/handover';
import { ensureDatabase } from './create-database.ts';
import { type MigrateResult, migrate } from './migrate.ts';

/** Exit status: 0 = the schema is current, 2 = the reason stands on standard error or in the channel. */
export async function runMigrate(): Promise<void> {
  if (handedOver()) {
    const handover = await receiveHandover('store');
    handover.onStop(() => process.exit(1));
    try {
      handover.ready({ ...(await run(handover.values as MigrateValues)) });
      process.exit(0);
    } catch (error) {
      handover.fatal(error);
    }
  }
  try {
    const result = await run(valuesFromConfig());
    const what = result.applied.length === 0 ? 'nothing to do' : `applied ${result.applied.join(', ')}`;
    process.stdout.write(`The schema is at version ${result.version}: ${what}.\n`);
  } catch (error) {
    const { code, message, remedy } = describe(error);
    process.stderr.write(`${code}: ${message}\n${remedy}\n`);
    process.exitCode = FATAL_STATUS;
  }
}

async function run(values: MigrateValues): Promise<MigrateResult> {
  if (values.create_database) await ensureDatabase(values.create_database.url, values.create_database.name);
  return await migrate({
    url: values.url,
    nowIso: new Date().toISOString(),
    rolePasswords: values.role_passwords,
    onStep: (name) => process.stdout.write(`applying ${name}\n`),
  });
}

/** The operator's PostgreSQL, or the embedded one of a standalone that runs now. */
function valuesFromConfig(): MigrateValues {
  const { config, home, warnings } = loadConfig(process.env, 'store');
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const external = config.database.sql_alchemy_conn;
  if (external !== null) return { url: external, create_database: null, role_passwords: {} };
  const secret = (name: string) => {
    try {
      return readFileSync(join(home, 'keys', name), 'utf8').trim();
    } catch (cause) {
      throw new AppError('DB_UNREACHABLE', {
        public: `No database is configured, and ${home} holds none: ${(cause as Error).message}.`,
        remedy:
          'Set [database] sql_alchemy_conn, or start airlock standalone, which brings its schema up to date itself.',
        cause,
      });
    }
  };
  const url = socketAddress({
    role: 'airlock_owner',
    password: secret('postgres-airlock_owner'),
    database: 'airlock',
    socketDir: join(home, 'run', 'postgres'),
  });
  return { url, create_database: null, role_passwords: { airlock_control: secret('postgres-airlock_control') } };
}
