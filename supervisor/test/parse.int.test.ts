/** The dag-processor with real parse children in the host's strongest sandbox, and a server that only remembers. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AppError } from '@airlock/contract/errors';
import type { ParseReport } from '@airlock/contract/supervisor-api';
import { detectTier } from '@airlock/proc/sandbox/index';
import type { ParseApi } from '../src/parse/api.ts';
import { startParsing } from '../src/parse/index.ts';
import { makeParseFile, SDK_FOLDER } from '../src/parse/parse-child.ts';
import { newFolder, write } from './kit/folders.ts';

const CONTRACT = realpathSync(fileURLToPath(new URL('../../contract', import.meta.url)));
const tier = detectTier();
const parseFile = (timeoutMs = 20_000) =>
  makeParseFile({ tier, timeoutMs, packages: [SDK_FOLDER, CONTRACT], hidden: [] });
const parseOne = (text: string, timeoutMs?: number) => {
  const root = newFolder();
  write(root, 'a.ts', text);
  return parseFile(timeoutMs)(
    { bundleName: 'b', root, shownRoot: root, relative: 'a.ts' },
    new AbortController().signal,
  );
};
const dagFile = (id: string, run = 'async () => 1') =>
  `import { dag } from '@airlock/sdk';\nexport default dag('${id}', {}, (d) => { d.task('t', { run: ${run} })(); });\n`;

test(`a Dag file is parsed in the sandbox of this host (${tier})`, async () => {
  const parsed = await parseOne(dagFile('d'));
  assert.equal(parsed.importError, null);
  assert.equal(parsed.dags.length, 1);
  assert.match(parsed.moduleCode ?? '', /@airlock\/sdk/);
});

test('code at parse time sees no network, no secret of its host and no environment of its parent', async () => {
  const server = createServer((socket) => socket.on('error', () => undefined).end('reached')).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const outside = newFolder();
  write(outside, 'secret', 'planted-secret');
  process.env.AIRLOCK_TEST_PLANTED = 'planted-secret';
  const probe = `import { connect } from 'node:net'; import { readFileSync, writeFileSync } from 'node:fs';
const found: string[] = [];
await new Promise<void>((resolve) => { const s = connect(${port}, '127.0.0.1', () => { found.push('network'); resolve(); }); s.on('error', () => resolve()); });
for (const path of ['${outside}/secret', '/proc/self/environ', '/proc/1/environ', '/etc/shadow']) { try { if (/planted|root:/.test(readFileSync(path, 'utf8'))) found.push(path); } catch {} }
try { writeFileSync(new URL('file://${outside}/written'), 'x'); found.push('write'); } catch {}
if (JSON.stringify(process.env).includes('planted')) found.push('environment');
throw new Error('found: ' + JSON.stringify(found));`;
  const parsed = await parseOne(probe);
  // The same code without a sandbox finds what there is: the probe itself works.
  const root = newFolder();
  write(root, 'a.ts', probe);
  const open = makeParseFile({ tier: 'none', timeoutMs: 20_000, packages: [SDK_FOLDER, CONTRACT], hidden: [] });
  const control = await open(
    { bundleName: 'b', root, shownRoot: root, relative: 'a.ts' },
    new AbortController().signal,
  );
  delete process.env.AIRLOCK_TEST_PLANTED;
  server.close();
  assert.match(parsed.importError ?? '', /found: \[\]/);
  assert.match(control.importError ?? '', /found: \["network",".*secret".*"write"/);
});

test('the bundle is shown read-only', async () => {
  const root = newFolder();
  write(
    root,
    'a.ts',
    `import { readdirSync, writeFileSync } from 'node:fs';
if (!readdirSync('${root}').includes('a.ts')) throw new Error('not shown');
try { writeFileSync('${root}/b.ts', 'x'); } catch (e) { throw new Error('refused: ' + e.code); }`,
  );
  const parsed = await parseFile()(
    { bundleName: 'b', root, shownRoot: root, relative: 'a.ts' },
    new AbortController().signal,
  );
  assert.match(parsed.importError ?? '', /refused: (EROFS|EACCES)/);
});

test('a file that the child user may not read is an import error with the remedy', {
  skip: process.getuid?.() !== 0,
}, async () => {
  const root = newFolder();
  write(root, 'sub/a.ts', dagFile('d'));
  const parse = () =>
    parseFile()({ bundleName: 'b', root, shownRoot: root, relative: 'sub/a.ts' }, new AbortController().signal);
  for (const path of ['sub/a.ts', 'sub', '.']) {
    chmodSync(join(root, path), 0o700);
    assert.match(
      (await parse()).importError ?? '',
      /may not be read by other users[\s\S]*Hint: Run: chmod -R o\+rX/,
      path,
    );
    chmodSync(join(root, path), 0o755);
  }
  assert.equal((await parse()).importError, null);
});

test('an endless loop at import is stopped after the time-out', async () => {
  // Time that the machine needs to get as far as the loop, whatever else it does.
  let limitMs = 1500;
  let parsed = await parseOne(`${dagFile('d')}for (;;) {}`, limitMs);
  for (; parsed.bundled !== true && limitMs < 60_000; parsed = await parseOne(`${dagFile('d')}for (;;) {}`, limitMs))
    limitMs *= 2;
  assert.equal(parsed.bundled, true);
  assert.ok(
    (parsed.importError ?? '').startsWith(
      `a.ts: Parsing took longer than ${limitMs / 1000} s and was stopped.\nHint: Look for an endless loop`,
    ),
    parsed.importError ?? '',
  );
});

test('a file that needs too much memory is an import error that says so', async () => {
  const parsed = await parseOne(`const all: unknown[] = []; for (;;) all.push(new Array(1e5).fill(Math.random()));`);
  assert.match(parsed.importError ?? '', /more than 512 MiB of memory/);
});

test('endless output neither blocks the parse nor fills our memory', async () => {
  const parsed = await parseOne(`for (let i = 0; i < 20000; i++) console.log('x'.repeat(1000));\n${dagFile('d')}`);
  assert.equal(parsed.importError, null);
  assert.ok(parsed.output.length <= 128 * 1024);
});

test('a file that dies, or writes into the channel, is an import error', async () => {
  const killed = await parseOne(`process.kill(process.pid, 'SIGKILL');`);
  assert.match(killed.importError ?? '', /ended with (signal SIGKILL|status 137)/);
  const garbage = await parseOne(
    `import { writeSync } from 'node:fs'; writeSync(3, Buffer.from([0, 0, 0, 2, 123, 125])); for (;;) {}`,
  );
  assert.match(garbage.importError ?? '', /something that is no report/);
});

test('process.exit at import has its place', async () => {
  const parsed = await parseOne(`import '@airlock/sdk';\nprocess.exit(3);`);
  assert.match(parsed.importError ?? '', /^a\.ts:2:9: process\.exit was called while the file was parsed\./);
});

test('a Dag folder that is not there yet is told as failing, also where the server is away at first', async () => {
  const root = join(newFolder(), 'later');
  const { api, files, state } = memoryServer(root);
  let lost = 0;
  const failure: ParseApi['failure'] = async (...args) => {
    if (lost++ === 0) throw new AppError('API_UNREACHABLE', { public: 'no answer' });
    await api.failure(...args);
  };
  const role = startParsing({
    api: { ...api, failure },
    parseFile: parseFile(),
    parsingProcesses: 2,
    checkouts: noGit,
    log,
  });
  try {
    await until('the failure', () => state.failure.includes(root));
    mkdirSync(root, { mode: 0o755 });
    write(root, 'a.ts', dagFile('a'));
    await until('its file', () => files.has('a.ts') && state.failure === '');
  } finally {
    await role.stop();
  }
});

/** A server that remembers, and may be made unreachable. */
function memoryServer(root: string) {
  const files = new Map<string, ParseReport>();
  const state = { listing: [] as readonly string[], failure: '', reachable: true, calls: 0 };
  const reach = () => {
    state.calls++;
    if (!state.reachable) throw new AppError('API_UNREACHABLE', { public: 'no answer' });
  };
  const api: ParseApi = {
    async bundles() {
      reach();
      const known = Object.fromEntries([...files].map(([path, report]) => [path, report.inputs_digest]));
      return { bundles: [{ name: 'b', kind: 'local', path: root, git: null, files: known }] };
    },
    async report(_, report) {
      reach();
      files.set(report.relative_fileloc, report);
      return { dags: [], import_error: null };
    },
    async listing(_, list) {
      reach();
      state.listing = list;
      state.failure = '';
    },
    async failure(_, text) {
      reach();
      state.failure = text;
    },
  };
  return { api, files, state };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  for (const end = Date.now() + 20_000; !condition(); await delay(5)) {
    if (Date.now() > end) assert.fail(`not within 20 s: ${what}`);
  }
}

const log = { info: () => undefined, warn: () => undefined };
const noGit = { newest: () => assert.fail('there is no git bundle') };

test('files appear, change and vanish; the server hears of each', async () => {
  const root = newFolder();
  write(root, 'a.ts', dagFile('a'));
  write(root, 'broken.ts', `import { dag } from '@airlock/sdk';\nexport default dag('b', {`);
  const { api, files, state } = memoryServer(root);
  const role = startParsing({ api, parseFile: parseFile(), parsingProcesses: 2, checkouts: noGit, log });
  try {
    await until('both files reported', () => files.size === 2 && state.listing.length === 2);
    assert.equal(files.get('a.ts')?.import_error, null);
    assert.match(files.get('broken.ts')?.import_error ?? '', /^broken\.ts:2:\d+: [\s\S]*\^[\s\S]*\nHint: /);
    const digest = files.get('a.ts')!.inputs_digest;
    const startedAt = performance.now();
    write(root, 'a.ts', dagFile('a', 'async () => 2'));
    await until('the change reported', () => files.get('a.ts')?.inputs_digest !== digest);
    console.log(`a change was reported after ${Math.round(performance.now() - startedAt)} ms`);
    write(root, 'sub/new.ts', dagFile('n'));
    await until('a file in a new folder', () => files.has('sub/new.ts') && state.listing.includes('sub/new.ts'));
    write(root, 'sub/new.ts', dagFile('n2'));
    await until('a change in the new folder', () => JSON.stringify(files.get('sub/new.ts')?.dags).includes('"n2"'));
    rmSync(join(root, 'a.ts'));
    await until('the removal', () => !state.listing.includes('a.ts'));
  } finally {
    await role.stop();
  }
});

test('a Dag folder that is removed is told as failing; made again it is watched again, and fails no more', async () => {
  const root = newFolder();
  write(root, 'a.ts', dagFile('a'));
  const { api, files, state } = memoryServer(root);
  const role = startParsing({ api, parseFile: parseFile(), parsingProcesses: 2, checkouts: noGit, log });
  try {
    await until('the first report', () => files.size === 1);
    rmSync(root, { recursive: true });
    await until('the failure', () => state.failure !== '');
    assert.match(
      state.failure,
      /^The folder .* can not be read\. Bring it back, .* the bundle b stay as they were read last\.$/,
    );
    assert.deepEqual(state.listing, ['a.ts'], 'its Dags are not taken for removed');
    mkdirSync(root, { mode: 0o755 });
    write(root, 'b.ts', dagFile('b'));
    await until('a file of the new folder', () => files.has('b.ts') && state.listing.includes('b.ts'));
    assert.equal(state.failure, '');
    const digest = files.get('b.ts')!.inputs_digest;
    const startedAt = performance.now();
    write(root, 'b.ts', dagFile('b2'));
    await until('a change in it', () => files.get('b.ts')!.inputs_digest !== digest);
    assert.ok(performance.now() - startedAt < 4500, 'noticed, not found by the look each 5 s');
  } finally {
    await role.stop();
  }
});

test('reports wait for a server that can not be reached, and the newest one wins', async () => {
  const root = newFolder();
  write(root, 'a.ts', dagFile('a'));
  const { api, files, state } = memoryServer(root);
  const role = startParsing({ api, parseFile: parseFile(), parsingProcesses: 2, checkouts: noGit, log });
  try {
    await until('the first report', () => files.size === 1);
    state.reachable = false;
    const before = state.calls;
    write(root, 'a.ts', dagFile('second'));
    await until('a refused report', () => state.calls > before);
    write(root, 'a.ts', dagFile('third'));
    await delay(300);
    state.reachable = true;
    await until('the newest report', () => JSON.stringify(files.get('a.ts')?.dags).includes('"third"'));
  } finally {
    await role.stop();
  }
});

test('stopping ends a parse that is under way', async () => {
  const root = newFolder();
  write(root, 'a.ts', 'for (;;) {}');
  const { api, state } = memoryServer(root);
  const role = startParsing({ api, parseFile: parseFile(60_000), parsingProcesses: 1, checkouts: noGit, log });
  await until('the listing', () => state.listing.length === 1);
  await delay(200);
  const startedAt = performance.now();
  await role.stop();
  assert.ok(performance.now() - startedAt < 3000);
});
