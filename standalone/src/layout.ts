/** The data folder: what is where, who owns it, and who may enter. */
import { accessSync, chmodSync, chownSync, constants, mkdirSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '@airlock/contract/config/index';
import { AppError } from '@airlock/contract/errors';

/** Processes with a compile cache. Only what is ours: a cache that a task could write would be code that we run. */
export type CachedService = 'token-service' | 'control' | 'supervisor' | 'migrate';
export type Account = { readonly uid: number; readonly gid: number };

export type Layout = {
  readonly home: string;
  readonly keysDir: string;
  /** Of token-service alone. */
  readonly signingKeysDir: string;
  readonly dataDir: string;
  /** Digest of the schema that the cluster beside it was brought to. */
  readonly schemaStamp: string;
  readonly logsDir: string;
  readonly dagsDir: string;
  readonly outputDir: string;
  readonly socketDir: string;
  readonly tokenSocket: string;
  readonly controlSocket: string;
  readonly workDir: string;
  readonly lock: string;
  readonly log: string;
  readonly linksDir: string;
  /**
   * Compile cache of one service; its own, since a service would run what another wrote there. Beside the sources where we
   * may write, so that a new data folder starts as fast as an old one.
   */
  readonly cacheDir: (service: CachedService) => string;
  /** User ids of the services, when we are root; null = everything runs as us. */
  readonly accounts: { readonly postgres: number; readonly control: Account; readonly tokenService: Account } | null;
};

const REPOSITORY = realpathSync(join(import.meta.dirname, '../..'));

function mayWrite(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}

/** A Unix socket's path has 107 bytes at most; PostgreSQL's is the longest of ours. */
const LONGEST_HOME = 107 - '/run/postgres/.s.PGSQL.5432'.length;

/** Where everything is. Makes nothing. @throws CONFIG_INVALID the folder's path is too long for sockets */
export function layoutOf(home: string, config: Config): Layout {
  if (Buffer.byteLength(home) > LONGEST_HOME) {
    throw new AppError('CONFIG_INVALID', {
      public: `The path of the data folder ${home} is longer than ${LONGEST_HOME} bytes, too long for the sockets in it.`,
      remedy: 'Set AIRLOCK_HOME to a shorter path.',
    });
  }
  const at = (...parts: string[]) => join(home, ...parts);
  // Just below the range of the sandbox: uids that nothing else on the host has, by the same promise of the operator.
  const first = config.sandbox.uid_range_start;
  const account = (uid: number): Account => ({ uid, gid: uid });
  const cacheRoot = mayWrite(REPOSITORY) ? join(REPOSITORY, '.cache', 'services') : at('run', 'cache');
  return {
    home,
    keysDir: at('keys'),
    signingKeysDir: at('keys', 'signing'),
    dataDir: at('postgres', 'data'),
    schemaStamp: at('postgres', 'schema'),
    logsDir: config.logging.base_log_folder,
    dagsDir: config.core.dags_folder,
    outputDir: at('output'),
    socketDir: at('run', 'postgres'),
    tokenSocket: at('run', 'token', 'token.sock'),
    controlSocket: at('run', 'control', 'control.sock'),
    workDir: at('run', 'work'),
    lock: at('run', 'standalone.lock'),
    log: at('run', 'standalone.log'),
    linksDir: at('run', 'postgres-links'),
    cacheDir: (service) => join(cacheRoot, `${service}-${process.getuid?.()}`),
    accounts:
      process.getuid?.() === 0
        ? { postgres: first - 3, control: account(first - 2), tokenService: account(first - 1) }
        : null,
  };
}

/**
 * Makes what is missing and sets modes. As root others may enter the outer folders, since the services have other user ids;
 * otherwise nobody else gets in at all.
 * @throws HOME_UNWRITABLE naming the folder
 */
export function makeLayout(layout: Layout): void {
  const root = layout.accounts !== null;
  const outer = root ? 0o711 : 0o700;
  const folder = (path: string, mode: number, owner?: Account, enforce = true) => {
    try {
      const made = mkdirSync(path, { recursive: true, mode }) !== undefined;
      if (!root || !(made || enforce)) return;
      chmodSync(path, mode);
      if (owner) chownSync(path, owner.uid, owner.gid);
    } catch (cause) {
      throw new AppError('HOME_UNWRITABLE', {
        public: `The folder ${path} can't be made or written: ${(cause as Error).message}.`,
        cause,
      });
    }
  };
  const { accounts } = layout;
  folder(layout.home, outer);
  folder(layout.keysDir, outer);
  folder(layout.signingKeysDir, 0o700, accounts?.tokenService);
  folder(join(layout.home, 'postgres'), outer);
  folder(join(layout.home, 'run'), outer);
  folder(join(layout.home, 'run', 'token'), outer, accounts?.tokenService);
  folder(join(layout.home, 'run', 'control'), root ? 0o711 : 0o700, accounts?.control);
  folder(layout.workDir, 0o711);
  folder(dirname(layout.cacheDir('migrate')), outer);
  folder(layout.cacheDir('token-service'), 0o700, accounts?.tokenService);
  folder(layout.cacheDir('control'), 0o700, accounts?.control);
  folder(layout.cacheDir('supervisor'), 0o700);
  folder(layout.cacheDir('migrate'), 0o700);
  folder(layout.logsDir, 0o700, accounts?.control);
  // The next two are the operator's: what was changed there stays. Children that parse have user ids of their own, and must read.
  folder(layout.dagsDir, root ? 0o755 : 0o700, undefined, false);
  // As /tmp: tasks with different user ids write there, and none may remove another's file.
  folder(layout.outputDir, root ? 0o1777 : 0o700, undefined, false);
  linkControlSocket(layout);
}

/** `run/control.sock` is where operators look; control itself owns only the folder that the link leads to. */
function linkControlSocket(layout: Layout): void {
  const link = join(layout.home, 'run', 'control.sock');
  rmSync(link, { force: true });
  symlinkSync('control/control.sock', link);
}

/** The folder of the repository or package that this file belongs to, and Node's own: what services must be able to read. */
export function programPaths(): readonly { readonly path: string; readonly writable: false }[] {
  return [
    { path: REPOSITORY, writable: false },
    { path: realpathSync(process.execPath), writable: false },
  ];
}
