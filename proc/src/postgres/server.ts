/** Running a postmaster: start, readiness, stop. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { AppError } from '@airlock/contract/errors';
import { claim } from '../own-pids.ts';
import { give, type PostgresAccount, postgresPrefix } from './account.ts';
import type { PostgresBinaries } from './binaries.ts';
import { postgresEnvironment } from './init.ts';

export type PostgresOptions = {
  readonly binaries: PostgresBinaries;
  readonly account: PostgresAccount | null;
  readonly dataDir: string;
  /** Folder of the Unix socket, the only place where it listens. Made when missing; others may enter, not list. */
  readonly socketDir: string;
  readonly maxConnections: number;
  /** False only for tests. */
  readonly durable: boolean;
  /** Each line that it writes. */
  readonly onLine: (line: string) => void;
};

export type PostgresServer = {
  readonly pid: number;
  /** Fulfilled when it accepts connections. @throws DB_UNREACHABLE when it ends before that */
  readonly ready: Promise<void>;
  readonly exited: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  /** Fast shutdown; harder after `graceMs`. Resolves when it is gone. */
  readonly stop: (graceMs: number) => Promise<void>;
};

/** Chosen for a small deployment on one machine; measured: 25 MB PSS idle, 0.07 s to start. */
function settings(options: PostgresOptions): Record<string, string> {
  const durable = options.durable ? 'on' : 'off';
  return {
    listen_addresses: '',
    unix_socket_directories: options.socketDir,
    // The password is what guards it; user ids of control and of an operator differ from the postmaster's.
    unix_socket_permissions: '0777',
    max_connections: String(options.maxConnections),
    shared_buffers: '32MB',
    // No I/O worker processes: three processes less, and reads here are few.
    io_method: 'sync',
    max_wal_senders: '0',
    wal_level: 'minimal',
    max_worker_processes: '2',
    max_parallel_workers: '0',
    max_logical_replication_workers: '0',
    min_wal_size: '32MB',
    max_wal_size: '512MB',
    wal_writer_delay: '1s',
    bgwriter_delay: '1s',
    jit: 'off',
    password_encryption: 'scram-sha-256',
    log_min_messages: 'warning',
    log_checkpoints: 'off',
    log_line_prefix: '',
    // A statement in an error report could hold a secret.
    log_min_error_statement: 'panic',
    log_error_verbosity: 'terse',
    log_parameter_max_length: '0',
    log_parameter_max_length_on_error: '0',
    log_timezone: 'UTC',
    timezone: 'UTC',
    fsync: durable,
    full_page_writes: durable,
    synchronous_commit: durable,
  };
}

/** Starts a postmaster on an existing cluster. */
export function startPostgres(options: PostgresOptions): PostgresServer {
  const { binaries, account, dataDir, socketDir } = options;
  mkdirSync(socketDir, { recursive: true, mode: 0o711 });
  give(socketDir, account);
  const prefix = postgresPrefix(account, binaries, [dataDir, socketDir], { deathSignal: 'INT' });
  const words = [...prefix, join(binaries.nativeDir, 'bin/postgres'), '-D', dataDir];
  for (const [name, value] of Object.entries(settings(options))) words.push('-c', `${name}=${value}`);
  const child = spawn(words[0]!, words.slice(1), {
    env: postgresEnvironment(binaries),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session of its own: Ctrl-C on our terminal must not stop it before those that use it.
    detached: true,
  });
  claim(child);
  let lastLine = '';
  for (const stream of [child.stdout, child.stderr]) {
    createInterface({ input: stream }).on('line', (line) => {
      lastLine = line;
      options.onLine(line);
    });
  }
  let ended = false;
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('error', (error) => {
      lastLine = error.message;
      ended = true;
      resolve({ code: null, signal: null });
    });
    child.once('exit', (code, signal) => {
      ended = true;
      resolve({ code, signal });
    });
  });
  const ready = (async () => {
    const pid = child.pid;
    while (!ended) {
      if (pid !== undefined && readPidFile(dataDir)?.pid === pid && readPidFile(dataDir)?.ready) return;
      await sleep(4);
    }
    throw new AppError('DB_UNREACHABLE', {
      public: `PostgreSQL did not start: ${lastLine || 'it ended without a word'}.`,
      remedy: 'Correct what the message names; the log above has the rest.',
    });
  })();
  ready.catch(() => undefined);
  const kill = (signal: NodeJS.Signals) => {
    if (!ended) child.kill(signal);
  };
  return {
    pid: child.pid ?? 0,
    ready,
    exited,
    stop: async (graceMs) => {
      kill('SIGINT');
      const harder = setTimeout(() => kill('SIGQUIT'), graceMs);
      const hardest = setTimeout(() => kill('SIGKILL'), graceMs + 1000);
      await exited;
      clearTimeout(harder);
      clearTimeout(hardest);
    },
  };
}

/** What `postmaster.pid` says, or null when there is none. */
export function readPidFile(dataDir: string): { readonly pid: number; readonly ready: boolean } | null {
  let lines: string[];
  try {
    lines = readFileSync(join(dataDir, 'postmaster.pid'), 'utf8').split('\n');
  } catch {
    return null;
  }
  const pid = Number(lines[0]);
  return Number.isInteger(pid) && pid > 0 ? { pid, ready: lines[7]?.trim() === 'ready' } : null;
}

/** Stops a postmaster that an earlier, killed start of ours left on this cluster. Never touches any other process. */
export async function stopLeftover(dataDir: string, waitMs: number): Promise<void> {
  const left = readPidFile(dataDir);
  if (!left) return;
  const isOurs = () => {
    try {
      return readlinkSync(`/proc/${left.pid}/cwd`) === dataDir;
    } catch {
      return false;
    }
  };
  const deadline = Date.now() + waitMs;
  for (let sent = 0; isOurs(); ) {
    const late = Date.now() > deadline;
    if (sent === 0 || (late && sent === 1)) process.kill(left.pid, late ? 'SIGQUIT' : 'SIGINT');
    if (sent === 0 || (late && sent === 1)) sent += 1;
    if (Date.now() > deadline + 2000) return;
    await sleep(20);
  }
}
