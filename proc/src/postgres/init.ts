/** Making a new cluster. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AppError } from '@airlock/contract/errors';
import { claim } from '../own-pids.ts';
import { give, type PostgresAccount, postgresPrefix, writePasswdFile } from './account.ts';
import type { PostgresBinaries } from './binaries.ts';

export type InitOptions = {
  readonly binaries: PostgresBinaries;
  readonly account: PostgresAccount | null;
  /** Absent or empty before; appears whole or not at all. Its parent must exist and be enterable for the account. */
  readonly dataDir: string;
  readonly superuser: string;
  readonly password: string;
  /** False only for tests: the cluster may then be lost with the machine. */
  readonly durable: boolean;
};

/** True when `dataDir` holds a whole cluster. */
export function clusterExists(dataDir: string): boolean {
  return existsSync(join(dataDir, 'PG_VERSION'));
}

/**
 * Runs initdb: scram-sha-256 for every connection, no trust and no peer authentication, UTF-8, C collation.
 * @throws HOME_UNWRITABLE with initdb's own words when it fails
 */
export async function initCluster(options: InitOptions): Promise<void> {
  const { binaries, account, dataDir } = options;
  // initdb fills a folder beside the final one, which is moved when all is well: a kill in between leaves no half cluster.
  const scratch = mkdtempSync(`${dataDir}.new-`);
  try {
    give(scratch, account);
    const fresh = join(scratch, 'data');
    mkdirSync(fresh, { mode: 0o700 });
    give(fresh, account);
    const passwordFile = join(scratch, 'password');
    writeFileSync(passwordFile, `${options.password}\n`, { mode: 0o600 });
    give(passwordFile, account);
    const passwdFile = join(scratch, 'passwd');
    if (account) writePasswdFile(passwdFile, account);
    const prefix = postgresPrefix(account, binaries, [scratch], { passwdFile, deathSignal: 'KILL' });
    const words = [
      ...prefix,
      join(binaries.nativeDir, 'bin/initdb'),
      `--pgdata=${fresh}`,
      `--username=${options.superuser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      '--locale=C',
      '--no-instructions',
      ...(options.durable ? [] : ['--no-sync']),
    ];
    await run(words, binaries);
    rmSync(dataDir, { recursive: true, force: true });
    renameSync(fresh, dataDir);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Environment of PostgreSQL's programs: nothing of ours. */
export function postgresEnvironment(binaries: PostgresBinaries): Record<string, string> {
  const env: Record<string, string> = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };
  // A library that is found by its link looks for others beside the link: so both folders.
  if (binaries.linksDir) env.LD_LIBRARY_PATH = `${binaries.linksDir}:${join(binaries.nativeDir, 'lib')}`;
  return env;
}

async function run(words: readonly string[], binaries: PostgresBinaries): Promise<void> {
  const child = spawn(words[0]!, words.slice(1), {
    env: postgresEnvironment(binaries),
    cwd: '/',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  claim(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output = (output + text).slice(-4000);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (code !== 0) {
    const lines = output.trim().split('\n');
    // After its reason initdb goes on to say what it cleans up.
    const reason =
      lines.find((line) => /error:|FATAL:|PANIC:/.test(line)) ?? lines.at(-1) ?? `initdb ended with ${code}`;
    throw new AppError('HOME_UNWRITABLE', {
      public: `The database cluster could not be made: ${reason.trim()}.`,
      internal: { output, code },
      remedy:
        'Correct what the message names; free disk space and write access to the data folder are the usual reasons.',
    });
  }
}
