/**
 * A control process: API server, scheduler, or both. Builds what its parts are given, once, and takes it down in the
 * opposite order. Under standalone the values come over the handover; started by hand they come from airlock.cfg.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { systemClock } from '@airlock/contract/clock';
import { checkTokenBinding } from '@airlock/contract/config/binding';
import {
  adoptConfig,
  type ControlReadyInfo,
  type ControlValues,
  configFor,
  shownConfig,
} from '@airlock/contract/config/handed';
import type { Config } from '@airlock/contract/config/index';
import { databaseAddress } from '@airlock/contract/database-address';
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { loadConfig, secretsAsked } from '@airlock/proc/config-load';
import { describe, endProcess, FATAL_STATUS, handedOver, PARENT_GONE, receiveHandover } from '@airlock/proc/handover';
import { readTls } from '@airlock/proc/tls-files';
import { environmentSecrets, optionSecrets } from '@airlock/secret-backends';
import { type Database, openDatabase } from '@airlock/store';
import { type Logger, pino } from 'pino';
import { ensureFirstAdmin } from './api/auth/accounts.ts';
import { createSecretBox } from './api/secrets/index.ts';
import { openSecretSources } from './api/secrets/sources.ts';
import { startApi } from './api/start.ts';
import { startAuditLinker } from './audit/linker.ts';
import { prepareAllAdmins } from './auth-managers/all-admins.ts';
import { prepareBundles } from './bundles.ts';
import type { ControlDeps } from './deps.ts';
import { createEventHub } from './events.ts';
import { type Admission, admitTicket } from './executors/join-ticket.ts';
import { startScheduler } from './scheduler/index.ts';
import { createTokenMinter } from './tokens/minter.ts';
import { createRotatingVerifier } from './tokens/rotating-verifier.ts';
import { createSigningCheck } from './tokens/signing-check.ts';
import { followTrustedKeys } from './tokens/trusted-keys.ts';

/** Everything must be down by then; what is not goes with the process. */
const STOP_MS = 4_000;
/** The same when our parent has died: the database and the signer end with it. */
const ORPHAN_STOP_MS = 1_000;

const LEVELS = { DEBUG: 'debug', INFO: 'info', WARNING: 'warn', ERROR: 'error', CRITICAL: 'fatal' } as const;

export type RunningControl = {
  readonly info: ControlReadyInfo;
  readonly addTicket: (admission: Admission) => Promise<void>;
  readonly stop: () => Promise<void>;
};

export type ControlOptions = {
  /** Longest wait for the token service at start, ms. */
  readonly signerTimeoutMs: number;
  readonly log?: Logger;
};

/** @returns whether the first administrator was made. That comes first: it is made only while there is no account at all. */
async function prepareAccounts(db: Database, config: Config, password: string | null, log: Logger): Promise<boolean> {
  const adminCreated = await ensureFirstAdmin({ db, clock: systemClock }, password);
  const isOn = config.core.simple_auth_manager_all_admins;
  await prepareAllAdmins(db, { isOn, nowMs: systemClock.nowMs(), log });
  return adminCreated;
}

/** Starts everything that `values.roles` names. @throws CONFIG_INVALID, KEY_UNAVAILABLE, DB_UNAVAILABLE, PORT_IN_USE */
export async function startControl(values: ControlValues, options: ControlOptions): Promise<RunningControl> {
  z.config({ jitless: true });
  const config = adoptConfig(values.config);
  const log = options.log ?? pino({ name: 'control', level: LEVELS[config.logging.logging_level] });
  checkTokenBinding(config);
  if (config.execution_api.token_binding === 'off') {
    log.warn('[execution_api] token_binding is off: whoever copies the token of a task can use it while the task runs');
  }
  const down: Array<() => unknown> = [];
  const stop = async () => {
    for (const step of down.splice(0).reverse()) {
      await Promise.resolve()
        .then(step)
        .catch((error: unknown) => log.warn({ err: error }, 'a part did not stop in good order'));
    }
  };
  try {
    const db = openDatabase({
      url: databaseAddress(values.database_url),
      maxConnections: config.database.sql_alchemy_pool_size,
      applicationName: 'airlock-control',
      onError: (error) => log.warn({ err: error }, 'a database connection was lost'),
    });
    down.push(() => db.close());
    const minter = createTokenMinter({
      socketPath: values.token_socket,
      clock: systemClock,
      timeoutMs: options.signerTimeoutMs,
    });
    down.push(() => minter.close());
    const secrets = createSecretBox(values.fernet_key);
    const secretSources = openSecretSources(config, values.environment_secrets, {
      nowMs: systemClock.nowMs,
      log,
    });
    down.push(() => secretSources.close());
    const { examples_dir: examplesDir, output_dir: outputDir } = values;
    const runsApi = values.roles.includes('api');
    const trusted = await followTrustedKeys({
      location: config.api_auth.trusted_jwks_url,
      intervalMs: config.api_auth.trusted_jwks_refresh_interval * 1000,
      rsaAlgorithm: config.api_auth.jwt_algorithm === 'RS512' ? 'RS512' : 'RS256',
      log,
    });
    down.push(() => trusted.close());
    const [verifier, events, adminCreated] = await Promise.all([
      createRotatingVerifier(minter, trusted, config, log),
      createEventHub(db, log),
      runsApi ? prepareAccounts(db, config, values.admin_password, log) : false,
      prepareBundles(db, {
        config,
        examplesDir,
        outputDir,
        secrets,
        nowIso: new Date(systemClock.nowMs()).toISOString(),
      }),
    ]);
    down.push(() => events.close());
    down.push(() => verifier.close());
    const deps: ControlDeps = {
      shownConfig: values.shown_config,
      db,
      clock: systemClock,
      log,
      config,
      minter,
      verifier,
      signingWorks: createSigningCheck({ minter, verifier, clock: systemClock, log }),
      trustedKeysOverdue: trusted.isOverdue,
      events,
      secrets,
      secretSources,
      instanceId: randomUUID(),
    };
    down.push(startAuditLinker(deps));
    let url = '';
    if (runsApi) {
      const api = await startApi(deps, {
        controlSocket: values.control_socket,
        operatorUids: values.operator_uids,
        jwks: verifier.jwks,
        tls: values.tls,
      });
      url = api.url;
      down.push(() => api.stop());
    }
    if (values.roles.includes('scheduler')) {
      const scheduler = startScheduler(deps);
      down.push(() => scheduler.stop());
    }
    return {
      info: { url, admin_created: adminCreated },
      addTicket: (admission) => admitTicket(db, admission, systemClock.nowMs()),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Values of a process that an operator started by hand. @throws CONFIG_INVALID */
async function valuesFromFile(roles: ControlValues['roles']): Promise<ControlValues> {
  const secret = await optionSecrets(secretsAsked(process.env));
  const { config, home, warnings } = loadConfig(process.env, 'control', secret);
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  if (config.database.sql_alchemy_conn === null) {
    throw new AppError('CONFIG_INVALID', {
      public: 'This process needs a database of yours: [database] sql_alchemy_conn is not set.',
      remedy: 'Set it, or run airlock standalone, which brings its own.',
    });
  }
  return {
    config: configFor(config, 'control'),
    shown_config: shownConfig(config),
    database_url: config.database.sql_alchemy_conn,
    token_socket: join(home, 'run', 'token', 'token.sock'),
    fernet_key: config.core.fernet_key ?? '',
    environment_secrets: environmentSecrets(process.env),
    roles,
    control_socket: roles.includes('api') ? join(home, 'run', 'control.sock') : null,
    operator_uids: [],
    admin_password: process.env.AIRLOCK_ADMIN_PASSWORD || null,
    examples_dir: null,
    output_dir: join(home, 'output'),
    tls: roles.includes('api') ? readTls(config.api) : null,
  };
}

async function stopInTime(control: RunningControl, why: string): Promise<never> {
  const late = setTimeout(() => endProcess(why, 1), why === PARENT_GONE ? ORPHAN_STOP_MS : STOP_MS);
  await control.stop();
  clearTimeout(late);
  endProcess(why, 0);
}

/** The process, until it is told to stop. `roles` count only when no parent of ours says otherwise. */
export async function runControl(roles: ControlValues['roles']): Promise<void> {
  if (handedOver()) {
    const handover = await receiveHandover('control');
    try {
      const values = handover.values as unknown as ControlValues;
      const control = await startControl(values, { signerTimeoutMs: 5_000 });
      handover.onMessage((message) => {
        if (message.type !== 'ticket') return;
        control.addTicket(message).catch((error: unknown) => {
          process.stderr.write(
            `${JSON.stringify({ level: 'error', msg: 'a join ticket was lost', error: String(error) })}\n`,
          );
        });
      });
      handover.onStop((why) => void stopInTime(control, why));
      handover.ready(control.info);
    } catch (error) {
      handover.fatal(error);
    }
    return;
  }
  try {
    const control = await startControl(await valuesFromFile(roles), { signerTimeoutMs: 1_000 });
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void stopInTime(control, signal));
    if (control.info.url !== '') process.stdout.write(`Airlock API server: ${control.info.url}\n`);
    else process.stdout.write('Airlock scheduler: running\n');
  } catch (error) {
    const { code, message, remedy } = describe(error);
    process.stderr.write(`${code}: ${message}\n${remedy}\n`);
    process.exit(FATAL_STATUS);
  }
}
