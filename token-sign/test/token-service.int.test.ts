// The process as standalone starts it: its values on descriptor 3, its peer by name, no second chance.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chownSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import test, { type TestContext } from 'node:test';
import { configFor } from '@airlock/contract/config/handed';
import { resolveConfig } from '@airlock/contract/config/index';
import type { ChildMessage } from '@airlock/contract/ipc/handover';
import type { EnterSpec } from '@airlock/proc/enter';
import { spawnNode } from '@airlock/proc/node-child';
import { waitFor } from '../../tests/kit/wait.ts';

const ENTRY = resolve(import.meta.dirname, '../bin/token-service.ts');
const config = configFor(
  resolveConfig({ env: {}, ini: {}, expand: (text: string) => text } as unknown as Parameters<typeof resolveConfig>[0]),
  'token-service',
);
const uid = process.getuid!();

function start(
  t: TestContext,
  over: { generate?: boolean; home?: string; values?: Record<string, unknown>; runAs?: EnterSpec } = {},
) {
  const home = over.home ?? mkdtempSync(join(tmpdir(), 'airlock-signer-'));
  const lines: string[] = [];
  const messages: ChildMessage[] = [];
  const child = spawnNode({ entry: ENTRY, env: {}, runAs: over.runAs ?? null, onLine: (line) => lines.push(line) });
  child.onMessage((message) => messages.push(message));
  const socketPath = join(home, 'token', 'token.sock');
  const keysDir = join(home, 'keys');
  child.send({
    type: 'config',
    values: over.values ?? { config, keys_dir: keysDir, socket_path: socketPath, generate: over.generate ?? true },
  });
  t.after(async () => {
    await child.stop(2000);
    rmSync(home, { recursive: true, force: true });
  });
  const first = () => waitFor('the first message', () => messages[0]);
  return { child, first, home, keysDir, lines, socketPath };
}

/**
 * 2 s as on an idle machine, where a bare Node process takes 50 ms: on a busy one the bound grows as that process's time does.
 * ms.
 */
async function twoSeconds(): Promise<number> {
  const before = performance.now();
  await new Promise((done) => spawn(process.execPath, ['-e', '0']).once('close', done));
  return Math.max(2000, 40 * (performance.now() - before));
}

const request = {
  id: 1,
  op: 'mint',
  kind: 'execution',
  sub: '019bc1a2-7b3c-7d10-9a52-3f0c5b7e1d01',
  ttl_seconds: 60,
  jti: 'a'.repeat(32),
};

/** Sends one line; the answer, or null when the connection was closed instead. */
function ask(path: string, line: string): Promise<string | null> {
  return new Promise((resolve_) => {
    const socket: Socket = createConnection({ path });
    let text = '';
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (!text.includes('\n')) return;
      socket.destroy();
      resolve_(text);
    });
    socket.on('error', () => undefined).on('close', () => resolve_(text === '' ? null : text));
    socket.write(line);
  });
}
const mint = (path: string, over: object = {}) =>
  ask(path, `${JSON.stringify({ ...request, now_ms: Date.now(), ...over })}\n`);

test('the first start makes a key with mode 0600, and only the named process is answered', async (t) => {
  const service = start(t);
  assert.equal((await service.first()).type, 'ready');
  assert.equal(statSync(join(service.keysDir, readdirSync(service.keysDir)[0]!)).mode & 0o777, 0o600);
  assert.equal(statSync(join(service.home, 'token')).mode & 0o777, 0o700);
  assert.equal(await mint(service.socketPath), null, 'nobody was named yet');
  service.child.send({ type: 'peer', uid, pid: process.pid });
  const answer = await waitFor('an answer', () => mint(service.socketPath));
  assert.match(answer, /^\{"id":1,"token":"[^"]+"\}\n$/);

  const script = `const s = require('node:net').createConnection(process.argv[1]);
    s.on('error', () => undefined).on('close', () => process.stdout.write('closed')).on('data', (d) => process.stdout.write(d));
    s.write(process.argv[2]);`;
  const stranger = spawn(process.execPath, [
    '-e',
    script,
    service.socketPath,
    `${JSON.stringify({ ...request, now_ms: Date.now() })}\n`,
  ]);
  let said = '';
  stranger.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await waitFor('the stranger to end', () => stranger.exitCode !== null);
  assert.equal(said, 'closed');
  assert.ok(service.lines.some((line) => line.includes(`refused process ${stranger.pid}`)));
});

test('naming another process takes the connection of the first', async (t) => {
  const service = start(t);
  await service.first();
  service.child.send({ type: 'peer', uid, pid: process.pid });
  await waitFor('an answer', () => mint(service.socketPath));
  const held = createConnection({ path: service.socketPath });
  held.on('error', () => undefined);
  await waitFor('the connection', () => held.readyState === 'open');
  service.child.send({ type: 'peer', uid, pid: 1 });
  await waitFor('the end of the connection', () => held.closed);
  assert.equal(await mint(service.socketPath), null);
});

for (const [name, line] of [
  ['no JSON', 'garbage\n'],
  ['no object', '[]\n'],
  ['a line without end', `${'x'.repeat(20_000)}`],
  ['a request without an id', '{"op":"jwks"}\n'],
] as const) {
  test(`${name} ends the connection without an answer`, async (t) => {
    const service = start(t);
    await service.first();
    service.child.send({ type: 'peer', uid, pid: process.pid });
    await waitFor('an answer', () => mint(service.socketPath));
    assert.equal(await ask(service.socketPath, line), null);
  });
}

for (const [name, over] of Object.entries({
  'an unknown kind': { kind: 'root' },
  'an unknown field': { extra: 1 },
  'a claim of the caller’s choice': { claims: { role: 'admin' } },
  'no lifetime': { ttl_seconds: 0 },
  'a lifetime beyond the cap': { ttl_seconds: 301 },
  'an instant far ahead': { now_ms: Date.now() + 86_400_000 },
  'another audience': { aud: 'apache-airflow' },
})) {
  test(`a request with ${name} is refused`, async (t) => {
    const service = start(t);
    await service.first();
    service.child.send({ type: 'peer', uid, pid: process.pid });
    assert.ok((await waitFor('an answer', () => mint(service.socketPath))).includes('token'));
    assert.match((await mint(service.socketPath, over))!, /"error":\{"code":"BAD_REQUEST"/);
  });
}

test('without a key, and not told to make one, it refuses to start within 2 s', async (t) => {
  const bound = await twoSeconds();
  const before = performance.now();
  const service = start(t, { generate: false });
  const message = await service.first();
  assert.deepEqual([message.type, message.type === 'fatal' && message.code], ['fatal', 'KEY_UNAVAILABLE']);
  assert.equal((await service.child.exited).code, 2);
  assert.ok(performance.now() - before < bound, `bound ${Math.round(bound)} ms`);
  assert.equal(existsSync(service.keysDir), false);
});

test('started by hand without a key it refuses to start within 2 s and says what to do', async (t) => {
  const home = mkdtempSync(join(tmpdir(), 'airlock-signer-'));
  t.after(() => rmSync(home, { recursive: true, force: true }));
  const bound = await twoSeconds();
  const before = performance.now();
  const child = spawn(process.execPath, [ENTRY], { env: { AIRLOCK_HOME: home } });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  await waitFor('its end', () => child.exitCode !== null);
  assert.equal(child.exitCode, 2);
  assert.match(said, /KEY_UNAVAILABLE: There is no signing key at .*Put the deployment/);
  assert.ok(performance.now() - before < bound, `bound ${Math.round(bound)} ms`);
});

for (const [name, options, said] of [
  ['a secret that is too short', { jwt_secret: 'SHORT-CANARY' }, /12 bytes; HS512 needs 64/],
  ['a secret and a key', { jwt_secret: 'S'.repeat(64), jwt_private_key_path: '/k.pem' }, /at most one/],
  ['a key file that is not there', { jwt_private_key_path: '/nonexistent/k.pem' }, /no file \/nonexistent\/k.pem/],
  ['an algorithm that its keys do not serve', { jwt_algorithm: 'RS256' }, /jwt_private_key_path is not set/],
] as const) {
  test(`with ${name} it refuses to start within 2 s, and says why without the secret`, async (t) => {
    const bound = await twoSeconds();
    const before = performance.now();
    const home = mkdtempSync(join(tmpdir(), 'airlock-signer-'));
    const service = start(t, {
      home,
      values: {
        config: { ...config, api_auth: { ...config.api_auth, ...options } },
        keys_dir: join(home, 'keys'),
        socket_path: join(home, 'token', 'token.sock'),
        generate: true,
      },
    });
    const message = await service.first();
    assert.equal(message.type, 'fatal');
    assert.match(message.message, said);
    assert.doesNotMatch(JSON.stringify(message), /CANARY|SSSS/);
    assert.equal((await service.child.exited).code, 2);
    assert.ok(performance.now() - before < bound, `bound ${Math.round(bound)} ms`);
    assert.equal(existsSync(join(home, 'keys')), false, 'and no key was made');
  });
}

test('values with a field that it does not know are refused: it is handed its own and nothing else', async (t) => {
  const message = await start(t, { values: { config, database_url: 'postgresql://x' } }).first();
  assert.equal(message.type === 'fatal' && message.code, 'CONFIG_INVALID');
});

test('its memory is closed to other processes of its user', async (t) => {
  // As root we start it as somebody else: only then does the owner of its files say anything.
  const other = 65_534;
  const home = mkdtempSync(join(tmpdir(), 'airlock-signer-'));
  const root = resolve(import.meta.dirname, '../..');
  if (uid === 0) chownSync(home, other, other);
  const paths = [root, process.execPath].map((path) => ({ path, writable: false }));
  const service = start(t, { home, ...(uid === 0 ? { runAs: { uid: other, gid: other, paths } } : {}) });
  assert.equal((await service.first()).type, 'ready');
  const pid = readdirSync('/proc').find((name) => /^\d+$/.test(name) && isSigner(name, service.child.pid));
  assert.ok(pid);
  // The kernel gives the files of a non-dumpable process to root, whoever runs it.
  assert.equal(statSync(`/proc/${pid}/environ`).uid, 0);
  if (uid !== 0) assert.throws(() => readFileSync(`/proc/${pid}/environ`), { code: 'EACCES' });
});

/** The process itself, or the child that a launcher between us has become. */
function isSigner(pid: string, launcher: number): boolean {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const mine = Number(pid) === launcher || new RegExp(`^PPid:\\s${launcher}$`, 'm').test(status);
    return mine && (uid !== 0 || /^Uid:\s65534/m.test(status));
  } catch {
    return false;
  }
}
