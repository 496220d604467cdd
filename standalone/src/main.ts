/** The life of a standalone: take the folder, start everything, watch it, stop it. */
import { dirname } from 'node:path';
import type { Config } from '@airlock/contract/config/index';
import { AppError } from '@airlock/contract/errors';
import { type Environment, loadConfig, secretsAsked } from '@airlock/proc/config-load';
import { describe, FATAL_STATUS } from '@airlock/proc/handover';
import type { Service } from '@airlock/proc/service';
import { becomeSubreaper, killStrays } from '@airlock/proc/strays';
import { readTls } from '@airlock/proc/tls-files';
import { environmentSecrets, optionSecrets } from '@airlock/secret-backends';
import { writeConfigFile } from './config-file.ts';
import { embeddedDatabase, externalDatabase } from './database.ts';
import { currentEntries, type Entries, EXAMPLES_DIR } from './entries.ts';
import { waitHealthy } from './health.ts';
import { type HomeLock, takeHome } from './home-lock.ts';
import { type Layout, layoutOf, makeLayout } from './layout.ts';
import { createLog, type Log } from './log.ts';
import { checkPort } from './port.ts';
import { generatePassword, ownSecret } from './secrets.ts';
import { type Services, startServices } from './services.ts';

export type StandaloneOptions = {
  readonly env: Environment;
  readonly nowMs: () => number;
  readonly write: (text: string) => void;
  /** Whether standard output is a terminal: only there a generated password is shown. */
  readonly terminal: boolean;
  /** Other programs, for tests of standalone alone. */
  readonly entries?: Entries;
};

/** How long a killed predecessor's processes may take to stop by themselves. */
const PATIENCE_MS = 3000;
/** Everything together ends within 5 s; these are the parts. */
const GRACE_MS = { supervisor: 2000, control: 1000, tokenService: 500, postgres: 1000 } as const;
const LOG_BYTES = 16 * 1024 * 1024;

/** Runs until it is told to stop. @returns exit status: 0 after an orderly stop, 2 when it can't start */
export async function runStandalone(options: StandaloneOptions): Promise<number> {
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => stop.abort(signal));
  try {
    const secret = await optionSecrets(secretsAsked(options.env));
    const { config, home, file, warnings } = loadConfig(options.env, 'standalone', secret);
    const layout = layoutOf(home, config);
    makeLayout(layout);
    const lock = await takeHome(layout.lock, home, PATIENCE_MS);
    try {
      writeConfigFile(file);
      const log = createLog({
        path: layout.log,
        maxBytes: LOG_BYTES,
        json: config.logging.json_logs,
        nowMs: options.nowMs,
        write: options.write,
      });
      for (const warning of warnings) log.say('warning', warning);
      await run({ ...options, config, layout, lock, log, stop: stop.signal });
    } finally {
      lock.release();
    }
    return 0;
  } catch (error) {
    const { code, message, remedy } = describe(error);
    process.stderr.write(`${code}: ${message}\n${remedy}\n`);
    if (!(error instanceof AppError)) process.stderr.write(`${(error as Error).stack}\n`);
    return FATAL_STATUS;
  }
}

type Context = StandaloneOptions & {
  readonly config: Config;
  readonly layout: Layout;
  readonly lock: HomeLock;
  readonly log: Log;
  readonly stop: AbortSignal;
};

async function run(context: Context): Promise<void> {
  const { config, layout, lock, log, stop, options } = { ...context, options: context };
  becomeSubreaper();
  const tls = readTls(config.api);
  await checkPort(config.api.host, config.api.port);
  const env = baseEnvironment(options.env);
  const entries = options.entries ?? (await currentEntries(log));
  const running: { services?: Services; postgres?: Service } = {};
  const record = () => {
    const { services, postgres } = running;
    const all = [services?.supervisor, services?.control, services?.tokenService, postgres];
    lock.record(all.flatMap((service) => service?.pid() || []));
  };
  const onDown = () => {
    // What a dead process left behind must not meet its successor: runners without supervisor, backends without postmaster.
    killStrays();
    record();
  };
  // Orphans that die later would stay as zombies, since Node waits only for its own children.
  process.on('SIGCHLD', () => killStrays());

  const lost = Promise.withResolvers<never>();
  lost.promise.catch(() => undefined);
  const databaseUrl = Promise.withResolvers<string>();
  databaseUrl.promise.catch(() => undefined);
  const admin = adminPassword(options);
  try {
    running.services = startServices({
      config,
      layout,
      log,
      entries,
      env,
      workerEnv: workerEnvironment(options.env, config),
      examplesDir: config.core.load_examples ? EXAMPLES_DIR : null,
      fernetKey: config.core.fernet_key ?? ownSecret(layout.keysDir, 'fernet'),
      environmentSecrets: environmentSecrets(options.env),
      adminPassword: admin.password,
      tls,
      // A name and no secret: random, so that no two data folders of a deployment share it.
      place: ownSecret(dirname(layout.lock), 'place'),
      databaseUrl: databaseUrl.promise,
      onDown,
      onChange: record,
    });
    const onFirstStart = () => {
      if (options.terminal) log.tell('First start: making the database …');
    };
    const databaseContext = {
      layout,
      log,
      migrateEntry: entries.migrate,
      env,
      onFirstStart,
      onLost: lost.reject,
      onDown,
    };
    const external = config.database.sql_alchemy_conn;
    const database =
      external === null ? await embeddedDatabase(databaseContext) : externalDatabase(external, databaseContext);
    running.postgres = database.service ?? undefined;
    record();
    const { services } = running;
    database.ready.then(databaseUrl.resolve, databaseUrl.reject);
    const started = Promise.all([
      database.ready,
      services.tokenService.firstReady,
      services.controlInfo,
      services.supervisor.firstReady,
    ]);
    started.catch(() => undefined);
    const info = await untilStopped(started, stop);
    if (info) {
      const control = info[2];
      const url = String(control.url);
      if (await Promise.race([waitHealthy({ url, certificate: tls?.certificate ?? null }, stop), lost.promise])) {
        record();
        announce(log, url, control.admin_created === true, admin);
      }
      await untilStopped(lost.promise, stop);
    }
    log.say('info', `stopping: ${String(stop.reason)}`);
  } finally {
    databaseUrl.reject(new AppError('DB_UNREACHABLE', { public: 'Airlock is stopping.' }));
    await stopAll(running);
  }
}

/** The value, or null when we are told to stop first. */
async function untilStopped<T>(promise: Promise<T>, stop: AbortSignal): Promise<T | null> {
  if (stop.aborted) return null;
  const stopped = Promise.withResolvers<null>();
  const onAbort = () => stopped.resolve(null);
  stop.addEventListener('abort', onAbort);
  // A promise does not keep a process alive; this does, until the signal comes.
  const alive = setInterval(() => undefined, 2 ** 30);
  try {
    return await Promise.race([promise, stopped.promise]);
  } finally {
    clearInterval(alive);
    stop.removeEventListener('abort', onAbort);
  }
}

/** Users of the server first, the server last. */
async function stopAll({ services, postgres }: { services?: Services; postgres?: Service }): Promise<void> {
  await services?.supervisor.stop(GRACE_MS.supervisor);
  await services?.control.stop(GRACE_MS.control);
  await Promise.all([services?.tokenService.stop(GRACE_MS.tokenService), postgres?.stop(GRACE_MS.postgres)]);
  // Killing an orphan may hand us its own children in turn.
  while (killStrays() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
}

type Admin = { readonly password: string | null; readonly generated: boolean };

/** The password for the user `admin`, should this start make it; nothing is generated that nobody would see. */
function adminPassword(options: StandaloneOptions): Admin {
  const given = options.env.AIRLOCK_ADMIN_PASSWORD;
  if (given) return { password: given, generated: false };
  return options.terminal ? { password: generatePassword(), generated: true } : { password: null, generated: false };
}

function announce(log: Log, url: string, adminCreated: boolean, admin: Admin): void {
  if (adminCreated && admin.generated) {
    log.tell(`Log in as admin with this password, which is shown once and stored nowhere: ${admin.password}`);
  } else if (adminCreated && admin.password === null) {
    log.tell('The user admin was made without a password. Set one: airlock users reset-password admin');
  }
  // From the start of the process, loading code included.
  log.tell(`Airlock is healthy: ${url} (started in ${Math.round(performance.now())} ms)`);
}

/** Environment of every process: the language and zone of texts, and a plain search path. */
function baseEnvironment(env: Environment): Record<string, string> {
  const kept: Record<string, string> = { PATH: env.PATH ?? '/usr/local/bin:/usr/bin:/bin' };
  for (const name of ['LANG', 'TZ']) if (env[name]) kept[name] = env[name];
  return kept;
}

/**
 * What the supervisor may pass on to `[workers] command` and to Python, and to nothing else. Options of Airflow's reach only
 * Python, by name: they are meant for the Task SDK, and the supervisor refuses to start with one that is its server's secret.
 */
function workerEnvironment(env: Environment, config: Config): Record<string, string> {
  const kept: Record<string, string> = {};
  const keep = (names: readonly string[], never: RegExp) => {
    for (const name of names) {
      const value = env[name];
      if (value !== undefined && !never.test(name)) kept[name] = value;
    }
  };
  keep(['HOME', 'USER', 'LOGNAME', 'TMPDIR', ...config.workers.command_env], /^(AIRLOCK|AIRFLOW)_/);
  keep(config.python.env, /^AIRLOCK_/);
  return kept;
}
