import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { socketAddress } from '@airlock/contract/database-address';
import { isAppError } from '@airlock/contract/errors';
import { postgresNativeDir } from '../../standalone/src/postgres-package.ts';
import { openDatabase, sql } from '../../store/src/index.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import {
  clusterExists,
  initCluster,
  type PostgresBinaries,
  postgresAccount,
  preparePostgres,
  readPidFile,
  startPostgres,
  stopLeftover,
} from '../src/postgres/index.ts';

const UID = 1_999_951;
const SUPERUSER = 'airlock_owner';
const account = postgresAccount(UID);

function folder(): { path: string } & Disposable {
  const path = mkdtempSync(join(tmpdir(), 'airlock-pg-'));
  chmodSync(path, 0o711);
  return {
    path,
    [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }),
  };
}

const cluster = (
  root: string,
  binaries: PostgresBinaries = preparePostgres(postgresNativeDir(), join(root, 'links')),
) => {
  const dataDir = join(root, 'data');
  const socketDir = join(root, 'socket');
  const options = {
    binaries,
    account,
    dataDir,
    socketDir,
    maxConnections: 10,
    durable: false,
    onLine: () => undefined,
  };
  return {
    dataDir,
    init: (password: string) =>
      initCluster({ binaries, account, dataDir, superuser: SUPERUSER, password, durable: false }),
    start: () => startPostgres(options),
    ask: async (role: string, password: string) => {
      const url = socketAddress({ role, password, database: 'postgres', socketDir });
      const db = openDatabase({ url, maxConnections: 1, applicationName: 'test', onError: () => undefined });
      try {
        return await db.query<{ me: string }>(sql`SELECT current_user AS me`);
      } finally {
        await db.close();
      }
    },
  };
};

test('A server answers the right password on its socket, and nobody without one, the operating system user included', async () => {
  using root = folder();
  const pg = cluster(root.path);
  await pg.init("it's a pass word");
  const server = pg.start();
  await server.ready;
  assert.deepEqual(await pg.ask(SUPERUSER, "it's a pass word"), [{ me: SUPERUSER }]);
  for (const password of ['', 'wrong']) await assert.rejects(pg.ask(SUPERUSER, password), /password|SASL/);
  // Every line of pg_hba.conf asks for a password: no trust, no peer.
  const rules = execFileSync('cat', [join(pg.dataDir, 'pg_hba.conf')], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => /^(local|host)/.test(line));
  assert.ok(rules.length > 0 && rules.every((line) => line.trim().endsWith('scram-sha-256')), rules.join('\n'));
  // No TCP: the only sockets of the postmaster are Unix ones.
  const listening = execFileSync(
    '/bin/sh',
    ['-c', `ls -l /proc/${server.pid}/fd | grep -o 'socket:\\[[0-9]*\\]' || true`],
    { encoding: 'utf8' },
  );
  const tcp = execFileSync('cat', ['/proc/net/tcp', '/proc/net/tcp6'], { encoding: 'utf8' });
  for (const inode of listening.match(/\d+/g) ?? []) assert.ok(!new RegExp(`\\s${inode}\\s`).test(tcp), inode);
  if (account) assert.equal(statSync(`/proc/${server.pid}`).uid, account.uid);
  await server.stop(2000);
  assert.deepEqual(await server.exited, { code: 0, signal: null });
});

test('A package whose library links were never made works with links of our own, and is not written to', async () => {
  // npm packages hold no links; this one makes them in an install script, which --ignore-scripts leaves out.
  using root = folder();
  const bare = join(root.path, 'package');
  execFileSync('cp', ['-a', dirname(postgresNativeDir()), bare]);
  const lib = join(bare, 'native/lib');
  for (const name of readdirSync(lib))
    if (/\.so(\.\d+)?$/.test(name) && name !== 'libcrypto.so.1.1') removeLink(join(lib, name));
  const before = readdirSync(lib).sort();
  const binaries = preparePostgres(join(bare, 'native'), join(root.path, 'links'));
  assert.equal(binaries.linksDir, join(root.path, 'links'));
  const pg = cluster(root.path, binaries);
  await pg.init('p');
  const server = pg.start();
  await server.ready;
  assert.deepEqual(await pg.ask(SUPERUSER, 'p'), [{ me: SUPERUSER }]);
  await server.stop(2000);
  assert.deepEqual(readdirSync(lib).sort(), before);
});

function removeLink(path: string): void {
  const isLink = execFileSync('/bin/sh', ['-c', 'test -L "$1" && echo yes || true', 'sh', path], { encoding: 'utf8' });
  if (isLink.trim() === 'yes') unlinkSync(path);
}

test('A cluster appears whole or not at all', async () => {
  using root = folder();
  const binaries = preparePostgres(postgresNativeDir(), join(root.path, 'links'));
  const broken = { ...binaries, nativeDir: join(root.path, 'broken') };
  execFileSync('/bin/sh', [
    '-c',
    `mkdir -p '${broken.nativeDir}/bin' && printf '#!/bin/sh\\nmkdir -p "\${1#--pgdata=}/base"; echo no space left >&2; exit 1\\n' > '${broken.nativeDir}/bin/initdb' && chmod -R a+rx '${broken.nativeDir}'`,
  ]);
  const pg = cluster(root.path, broken);
  await assert.rejects(
    pg.init('p'),
    (error) => isAppError(error, 'HOME_UNWRITABLE') && error.message.includes('no space left'),
  );
  assert.deepEqual(
    readdirSync(root.path).filter((name) => name.startsWith('data')),
    [],
  );
  assert.equal(clusterExists(pg.dataDir), false);
});

test('A postmaster that is killed can be started again at once, and one that an earlier start left is stopped first', async () => {
  using root = folder();
  const pg = cluster(root.path);
  await pg.init('p');
  const first = pg.start();
  await first.ready;
  process.kill(first.pid, 'SIGKILL');
  await first.exited;
  const second = pg.start();
  await second.ready;
  assert.deepEqual(await pg.ask(SUPERUSER, 'p'), [{ me: SUPERUSER }]);
  await stopLeftover(pg.dataDir, 3000); // as the start after a killed standalone would
  assert.deepEqual(await second.exited, { code: 0, signal: null });
  assert.equal(readPidFile(pg.dataDir), null);
  // A pid file that names a process of somebody else is no reason to touch that process.
  const stranger = spawn('sleep', ['60'], { stdio: 'ignore' });
  writeFileSync(join(pg.dataDir, 'postmaster.pid'), `${stranger.pid}\n`);
  await stopLeftover(pg.dataDir, 200);
  assert.equal(stranger.exitCode ?? stranger.signalCode, null);
  stranger.kill('SIGKILL');
});

test('No postmaster survives the process that started it, however that one ends', async () => {
  using root = folder();
  const pg = cluster(root.path);
  await pg.init('p');
  const program = `
    import { startPostgres, preparePostgres } from ${JSON.stringify(new URL('../src/postgres/index.ts', import.meta.url).href)};
    const server = startPostgres({ ...JSON.parse(process.argv[1]), onLine: () => undefined });
    await server.ready;
    console.log(server.pid);
  `;
  const options = {
    binaries: preparePostgres(postgresNativeDir(), join(root.path, 'links')),
    account,
    dataDir: pg.dataDir,
    socketDir: join(root.path, 'socket'),
    maxConnections: 5,
    durable: false,
  };
  const parent = spawn(process.execPath, ['--input-type=module', '-e', program, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = Number(await new Promise((resolve) => parent.stdout.setEncoding('utf8').once('data', resolve)));
  assert.ok(existsSync(`/proc/${pid}`));
  parent.kill('SIGKILL');
  await waitFor('the postmaster is gone', () => !existsSync(`/proc/${pid}`));
});

test('A server that can not start says why', async () => {
  using root = folder();
  const pg = cluster(root.path);
  await pg.init('p');
  rmSync(join(pg.dataDir, 'global'), { recursive: true });
  const server = pg.start();
  await assert.rejects(server.ready, (error) => isAppError(error, 'DB_UNREACHABLE') && /global/.test(error.message));
});
