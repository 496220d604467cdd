/** What a sandboxed child sees and may use, asked from inside, in every tier that this host offers. */
import { deepEqual, equal, match, ok, throws } from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import { probeTier, requireTier } from '../src/sandbox/detect.ts';
import { launchSandboxed } from '../src/sandbox/launch.ts';
import { shareFolder } from '../src/sandbox/share-folder.ts';
import type { SandboxSpec } from '../src/sandbox/types.ts';

const proc = dirname(import.meta.dirname);
const entry = fileURLToPath(new URL('./fixtures/ask.ts', import.meta.url));
const isRoot = process.getuid?.() === 0;
const folder = mkdtempSync(join(tmpdir(), 'airlock-sandbox-test-'));
chmodSync(folder, 0o755);
after(() => rmSync(folder, { recursive: true, force: true }));

/** Evaluates an expression inside a child; `fs`, `net`, `os`, `cp` and `ffi` are there. @returns its value, or its error's text */
async function ask(tier: SandboxTier, expression: string, spec: Partial<SandboxSpec> = {}): Promise<unknown> {
  const child = launchSandboxed({
    tier,
    entry,
    packages: [proc],
    network: 'host',
    ...spec,
    env: { QUESTION: expression, ...spec.env },
  });
  let out = '';
  let errors = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const closed = new Promise((resolve) => child.stdout.once('close', resolve));
  const exit = await child.exited;
  await closed;
  if (!out.includes('\n')) return `no answer: ${JSON.stringify(exit)} ${errors}`;
  return JSON.parse(out.trim().split('\n').at(-1)!) as unknown;
}

const tiers = (['namespaces', 'landlock', 'user'] as const).filter((tier) => probeTier(tier) === null);
test('this host offers at least one tier', () => ok(tiers.length > 0));

for (const tier of tiers) {
  const strong = tier !== 'user';

  test(`${tier}: no root, no capability, no new privileges, no core files, limits as given`, async () => {
    const status = String(
      await ask(tier, "fs.readFileSync('/proc/self/status', 'utf8') + fs.readFileSync('/proc/self/limits', 'utf8')", {
        limits: { openFiles: 123, processes: 300, fileBytes: 1_000_000 },
      }),
    );
    match(status, /NoNewPrivs:\t1/);
    match(status, /CapPrm:\t0+\n/);
    match(status, /CapEff:\t0+\n/);
    match(status, /Seccomp:\t2/);
    match(status, /Max core file size +0 +0/);
    match(status, /Max open files +123 +123/);
    match(status, /Max file size +1000000 +1000000/);
    if (isRoot) match(status, /Max processes +300 +300/);
    ok(!/^Uid:\t0\b/m.test(status));
    match(status, /^Groups:\t ?$/m);
  });

  test(`${tier}: descriptors of the parent's own parent are closed`, async () => {
    const script = `import { launchSandboxed } from ${JSON.stringify(join(proc, 'src/sandbox/launch.ts'))};
      const c = launchSandboxed({ tier: ${JSON.stringify(tier)}, entry: ${JSON.stringify(entry)}, packages: [${JSON.stringify(proc)}], network: 'host', env: { QUESTION: "fs.readdirSync('/proc/self/fd').map((n) => { try { return fs.readlinkSync('/proc/self/fd/' + n) } catch { return '' } })" } });
      c.stdout.pipe(process.stdout); await c.exited;`;
    const secret = join(folder, 'inherited');
    writeFileSync(secret, 'x');
    const child = spawn(
      '/bin/sh',
      [
        '-c',
        `exec 9<${secret} 8<${secret}; exec "$@"`,
        'sh',
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        '--input-type=module',
        '-e',
        script,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    let out = '';
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    await new Promise((resolve) => child.once('close', resolve));
    const links = JSON.parse(out) as string[];
    ok(links.length > 4);
    equal(links.filter((link) => link.includes('inherited')).length, 0);
  });

  test(`${tier}: a private work folder, empty and writable, gone afterwards`, async () => {
    const answer = (await ask(
      tier,
      "(fs.writeFileSync('a', 'b'), { here: process.cwd(), home: process.env.HOME, tmp: os.tmpdir(), files: fs.readdirSync('.'), mode: fs.statSync('.').mode & 0o777 })",
    )) as Record<string, unknown>;
    deepEqual(answer, { here: answer.here, home: answer.here, tmp: answer.here, files: ['a'], mode: 0o700 });
    throws(() => statSync(String(answer.here)), { code: 'ENOENT' });
  });

  test(`${tier}: an entry that prints and dies is reported as it died`, async () => {
    const died = async (expression: string) => {
      const child = launchSandboxed({ tier, entry, packages: [proc], network: 'host', env: { QUESTION: expression } });
      child.stdout.resume();
      child.stderr.resume();
      return child.exited;
    };
    deepEqual(await died('process.exit(5)'), { code: 5, signal: null });
    deepEqual(await died("process.kill(process.pid, 'SIGTERM')"), { code: null, signal: 'SIGTERM' });
    deepEqual(await died("cp.execSync('kill -9 $PPID')"), { code: null, signal: 'SIGKILL' });
  });

  test(`${tier}: kill ends the child and everything that it has started`, async () => {
    const child = launchSandboxed({
      tier,
      entry,
      packages: [proc],
      network: 'host',
      env: {
        QUESTION:
          "(cp.spawn('sh', ['-c', 'setsid sleep 853.5 & exec sleep 853.5'], { detached: true }), new Promise((r) => setTimeout(() => { console.log('up'); setTimeout(r, 1e6); }, 200)))",
      },
    });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await child.kill();
    const { commandLines } = await import('../../supervisor/test/kit/processes.ts');
    equal(commandLines().filter((line) => line.includes('sleep 853.5')).length, 0);
  });

  if (strong) {
    test(`${tier}: a path that was named can be read or written as it was named, and its neighbour is not there`, async () => {
      for (const name of ['read', 'write', 'neighbour']) {
        mkdirSync(join(folder, name), { recursive: true });
        writeFileSync(join(folder, name, 'file'), name);
      }
      if (isRoot) shareFolder(join(folder, 'write'));
      const extra = [
        { path: join(folder, 'read'), access: 'read' as const },
        { path: join(folder, 'write'), access: 'write' as const },
      ];
      const at = (name: string) => JSON.stringify(join(folder, name, 'file'));
      equal(await ask(tier, `fs.readFileSync(${at('read')}, 'utf8')`, { extra }), 'read');
      match(String(await ask(tier, `fs.writeFileSync(${at('read')}, 'x')`, { extra })), /EROFS|EACCES/);
      match(String(await ask(tier, `fs.readFileSync(${at('neighbour')}, 'utf8')`, { extra })), /ENOENT|EACCES/);
      const made = join(folder, 'write', `made-${tier}`);
      equal(await ask(tier, `(fs.writeFileSync(${JSON.stringify(made)}, 'new'), 'done')`, { extra }), 'done');
      equal(readFileSync(made, 'utf8'), 'new');
      // The next try has another user id, and must be able to replace the file.
      equal(await ask(tier, `(fs.writeFileSync(${JSON.stringify(made)}, 'newer'), 'done')`, { extra }), 'done');
      // Without the declaration the same path is nothing.
      match(String(await ask(tier, `fs.readFileSync(${JSON.stringify(made)}, 'utf8')`)), /ENOENT|EACCES/);
    });

    test(`${tier}: network none has no way to a listening port, network host has`, async () => {
      const server = createServer((socket) => socket.end('hello')).listen(0, '127.0.0.1');
      await new Promise((resolve) => server.once('listening', resolve));
      const { port } = server.address() as { port: number };
      const connect = `new Promise((resolve) => { const s = net.connect(${port}, '127.0.0.1'); s.once('data', (d) => resolve(String(d))); s.once('error', (e) => resolve('refused ' + e.code)); })`;
      equal(await ask(tier, connect), 'hello');
      match(String(await ask(tier, connect, { network: 'none' })), /^refused (EPERM|EACCES)/);
      const udp =
        "new Promise((resolve) => { try { const s = dgram.createSocket('udp4'); s.on('error', (e) => resolve('refused ' + e.code)); s.bind(0, () => resolve('bound')); } catch (e) { resolve('refused ' + e.code); } })";
      equal(await ask(tier, udp), 'bound');
      match(String(await ask(tier, udp, { network: 'none' })), /^refused/);
      server.close();
    });

    test(`${tier}: the calls of the deny list fail from inside, from JavaScript threads and from programs`, async () => {
      match(
        String(await ask(tier, "cp.execFileSync('unshare', ['--user', 'true'], { stdio: 'pipe' })")),
        /Operation not permitted|EPERM|failed/,
      );
      match(
        String(await ask(tier, "cp.execFileSync('mount', ['-t', 'tmpfs', 'none', '.'], { stdio: 'pipe' })")),
        /failed|denied|permi|superuser/i,
      );
      equal(
        await ask(tier, "fs.promises.readFile('/etc/shadow', 'utf8').then(() => 'read', (e) => e.code)"),
        tier === 'namespaces' ? 'ENOENT' : 'EACCES',
      );
      equal(
        await ask(
          tier,
          "new Promise((resolve) => new (process.getBuiltinModule('node:worker_threads').Worker)(\"try { require('fs').readFileSync('/etc/shadow'); require('worker_threads').parentPort.postMessage('read') } catch (e) { require('worker_threads').parentPort.postMessage('refused') }\", { eval: true }).once('message', resolve))",
        ),
        'refused',
      );
      equal(await ask(tier, "cp.execFileSync('cat', ['/etc/hosts'], { encoding: 'utf8' }).length > 0"), true);
    });
  }
}

test('namespaces: the file tree holds what was shown and no more, and its process list only its own', {
  skip: !tiers.includes('namespaces'),
}, async () => {
  const root = (await ask('namespaces', "fs.readdirSync('/')")) as string[];
  for (const name of ['root', 'home', 'var', 'srv', 'opt', 'sys', 'boot', '.old'])
    ok(!root.includes(name) || proc.startsWith(`/${name}/`), name);
  deepEqual(
    ((await ask('namespaces', "fs.readdirSync('/proc').filter((n) => /^\\d+$/.test(n))")) as string[]).length,
    2,
  );
  deepEqual(((await ask('namespaces', "fs.readdirSync('/dev')")) as string[]).sort(), [
    'fd',
    'null',
    'random',
    'stderr',
    'stdin',
    'stdout',
    'urandom',
    'zero',
  ]);
  match(String(await ask('namespaces', "fs.writeFileSync('/usr/x', '')")), /EROFS/);
  match(String(await ask('namespaces', "fs.writeFileSync('/x', '')")), /EROFS/);
  match(String(await ask('namespaces', "fs.readFileSync('/etc/passwd', 'utf8')")), /^root:x:0:0.*\ntask:x:\d+/);
});

test('namespaces: the work folder is no larger than it was said to be', {
  skip: !tiers.includes('namespaces'),
}, async () => {
  const fill =
    "(() => { const b = Buffer.alloc(1e6); try { for (let i = 0; i < 50; i++) fs.appendFileSync('big', b); return 'written'; } catch (e) { return e.code; } })()";
  equal(await ask('namespaces', fill, { limits: { workBytes: 10_000_000 } }), 'ENOSPC');
  equal(await ask('namespaces', fill, { limits: { workBytes: 100_000_000 } }), 'written');
});

test('namespaces: a hidden path inside a shown tree is empty', { skip: !tiers.includes('namespaces') }, async () => {
  const src = join(proc, 'test/fixtures');
  match(
    String(
      await ask('namespaces', `fs.readdirSync(${JSON.stringify(join(proc, 'src/native'))})`, {
        hide: [join(proc, 'src/native')],
      }),
    ),
    /EACCES|^$/,
  );
  ok(((await ask('namespaces', `fs.readdirSync(${JSON.stringify(src)})`)) as string[]).length > 0);
});

test('each living child has a user id of its own when started by root', { skip: !isRoot }, async () => {
  const wait = 'new Promise((r) => setTimeout(() => r(process.getuid()), 100))';
  const uids = await Promise.all(Array.from({ length: 4 }, () => ask(tiers[0]!, wait)));
  equal(new Set(uids).size, 4);
});

test('a host below the required tier is refused, with what each tier answered', {
  skip: !tiers.includes('landlock'),
}, async () => {
  // A child of the landlock tier is such a host: it may make no namespace.
  const answer = await ask(
    'landlock',
    `import(${JSON.stringify(join(proc, 'src/sandbox/detect.ts'))}).then((d) => { try { return d.requireTier('namespaces'); } catch (e) { return e.code + ' ' + e.message; } })`,
  );
  match(
    String(answer),
    /^SANDBOX_TIER This host offers the sandbox tier "\w+", and \[sandbox\] minimum_tier asks for "namespaces"\. namespaces: \S/,
  );
  equal(requireTier('none'), tiers[0]);
});

test('an entry that the child could not reach is refused with path and remedy, where there is no tree of its own', {
  skip: !isRoot || !tiers.includes('landlock'),
}, () => {
  const closed = join(folder, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  writeFileSync(join(closed, 'entry.ts'), '');
  throws(
    () => launchSandboxed({ tier: 'landlock', entry: join(closed, 'entry.ts'), packages: [proc], network: 'host' }),
    { code: 'PATH_NOT_ENTERABLE', message: new RegExp(closed) },
  );
});
