/** The process itself, started by hand: what it needs, and how it says what is missing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { testDatabase } from '../../tests/kit/database.ts';

const ENTRY = fileURLToPath(new URL('../bin/control.ts', import.meta.url));

async function run(env: Record<string, string>): Promise<{ code: number | null; stderr: string; ms: number }> {
  const home = mkdtempSync(join(tmpdir(), 'airlock-start-'));
  const began = performance.now();
  const child = spawn(process.execPath, [ENTRY, '--role=api'], {
    env: { AIRLOCK_HOME: home, AIRLOCK__API__PORT: '0', ...env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  clearTimeout(timer);
  rmSync(home, { recursive: true, force: true });
  return { code, stderr, ms: performance.now() - began };
}

test('an API server without a database says which option is missing', async () => {
  const { code, stderr } = await run({});
  assert.equal(code, 2);
  assert.match(stderr, /CONFIG_INVALID: .*sql_alchemy_conn is not set/);
});

test('another database than PostgreSQL is refused in words', async () => {
  const { code, stderr } = await run({ AIRLOCK_DATABASE_URL: 'mysql://user:secret@host/db' });
  assert.equal(code, 2);
  assert.match(stderr, /DB_DIALECT/);
  assert.doesNotMatch(stderr, /secret/);
});

test('an API server without a token service refuses to start, soon', async () => {
  await using database = await testDatabase();
  const { code, stderr, ms } = await run({ AIRLOCK_DATABASE_URL: database.url });
  assert.equal(code, 2, stderr);
  assert.match(stderr, /KEY_UNAVAILABLE/);
  // A second of waiting for the signer and the start of a process; measured 1.5 s on an idle machine.
  assert.ok(ms < 10_000, `${Math.round(ms)} ms`);
});

test('a first administrator with a short password is refused before anything is made', async () => {
  await using database = await testDatabase();
  const { code, stderr } = await run({ AIRLOCK_DATABASE_URL: database.url, AIRLOCK_ADMIN_PASSWORD: 'admin' });
  assert.equal(code, 2);
  assert.match(stderr, /CONFIG_INVALID: AIRLOCK_ADMIN_PASSWORD|KEY_UNAVAILABLE/);
});
