// The file of keys is changed whole, stays its owner's alone, and never loses a key that something is encrypted with.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, beforeEach, test } from 'node:test';

const OLD = Buffer.alloc(32, 1).toString('base64url');
const idOf = (key: string) =>
  createHash('sha256').update(Buffer.from(key, 'base64url')).digest('base64url').slice(0, 8);

let home: string;
let keys: Array<{ id: string; state: string; texts: number }> = [];
let passes: object[] = [];
const server = createServer((request, response) => {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(request.method === 'GET' ? { keys } : { ...passes.shift(), keys }));
});
const file = () => join(home, 'keys', 'fernet');
const inFile = () => readFileSync(file(), 'utf8').trim().split(',');

before(async () => {
  home = mkdtempSync(join(tmpdir(), 'airlock-cli-enc-'));
  mkdirSync(join(home, 'keys'), { mode: 0o700 });
  mkdirSync(join(home, 'run'));
  await new Promise<void>((resolve) => server.listen(join(home, 'run', 'control.sock'), resolve));
});
after(() => {
  server.close();
  rmSync(home, { recursive: true });
});
beforeEach(() => {
  writeFileSync(file(), `${OLD}\n`);
  chmodSync(file(), 0o600);
});

function airlock(...words: string[]): Promise<{ status: number; out: string; err: string }> {
  const entry = new URL('../src/main.ts', import.meta.url).pathname;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [entry, 'encryption', ...words],
      { env: { AIRLOCK_HOME: home, PATH: process.env.PATH ?? '' } },
      (error, out, err) => resolve({ status: error ? Number(error.code) : 0, out, err }),
    );
  });
}

test('a new key stands in front of the old one, and is shown nowhere', async () => {
  const { status, out, err } = await airlock('new-key');
  assert.equal(status, 0, err);
  const [first, second, ...rest] = inFile();
  assert.deepEqual([second, rest], [OLD, []]);
  assert.equal(Buffer.from(first!, 'base64url').length, 32);
  assert.equal(statSync(file()).mode & 0o777, 0o600);
  assert.deepEqual(readdirSync(join(home, 'keys')), ['fernet']);
  assert.ok(![out, err].join().includes(first!));
});

test('a key that encrypts, one that has encrypted something, the first and a stranger are not retired', async () => {
  await airlock('new-key');
  const [NEW] = inFile() as [string];
  const before = inFile();
  const states = (oldTexts: number) => [
    { id: idOf(NEW), state: 'encrypts', texts: 5 },
    { id: idOf(OLD), state: 'decrypts', texts: oldTexts },
  ];
  keys = states(1);
  assert.equal((await airlock('retire', idOf(OLD))).status, 1);
  keys = states(0);
  for (const id of [idOf(NEW), 'stranger']) assert.equal((await airlock('retire', id)).status, 1, id);
  // The server has not read the new file yet: it still encrypts with the old key.
  keys = [{ id: idOf(OLD), state: 'encrypts', texts: 0 }];
  assert.equal((await airlock('retire', idOf(OLD))).status, 1);
  assert.deepEqual(inFile(), before);
  keys = states(0);
  assert.equal((await airlock('retire', idOf(OLD))).status, 0);
  assert.deepEqual(inFile(), [NEW]);
});

test('rotate asks until nothing is left, and fails when something can not be opened', async () => {
  passes = [
    { sealed: 100, unreadable: 0 },
    { sealed: 7, unreadable: 0 },
    { sealed: 0, unreadable: 0 },
  ];
  const done = await airlock('rotate');
  assert.equal(done.status, 0, done.err);
  assert.match(done.out, /encrypted 107 rows/);
  passes = [{ sealed: 0, unreadable: 2 }];
  const failed = await airlock('rotate', '--from-airflow');
  assert.equal(failed.status, 1);
  assert.match(failed.err, /2 rows can not be opened/);
});

test('where the key is an option, nothing is written', async () => {
  rmSync(file());
  const { status, err } = await airlock('new-key');
  assert.equal(status, 1);
  assert.match(err, /fernet_key/);
  assert.deepEqual(readdirSync(join(home, 'keys')), []);
});
