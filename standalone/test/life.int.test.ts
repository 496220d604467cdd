/** The life of a standalone, with the real PostgreSQL and migrate, and stand-ins for the three services. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { mountNamespaceWorks } from '@airlock/proc/enter';
import { testDatabase } from '../../tests/kit/database.ts';
import { descendantsOf, isSame, kill9, type Process, processesNaming } from '../../tests/kit/processes.ts';
import { tempHome } from '../../tests/kit/temp-home.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { spawnFakes, startFakes } from './fakes/run.ts';

const ROOT = process.getuid!() === 0;
const skipMounts = mountNamespaceWorks() ? false : 'needs root with CAP_SYS_ADMIN';
const STOP_MS = 5000;
const NOBODY = 65_534;

const find = (pid: number, mark: string): Process => {
  const found = descendantsOf(pid).find((one) => one.state !== 'Z' && one.command.includes(mark));
  if (!found) throw new Error(`no process ${mark}`);
  return found;
};
const nothingLeft = (all: readonly Process[], home: string) =>
  waitFor('nothing of it runs', () => !all.some(isSame) && processesNaming(home).length === 0, { timeoutMs: 8000 });

test('A first start makes the folder, a second one finds it, and SIGTERM leaves nothing within five seconds', async () => {
  using home = tempHome();
  for (const round of ['first', 'second'] as const) {
    const started = await startFakes(home.path);
    // How fast is tests/bench's question: a test run shares its machine, and a slow machine is no broken start.
    assert.match(started.output(), /started in \d+ ms/, round);
    const all = descendantsOf(started.pid);
    const before = performance.now();
    started.kill('SIGTERM');
    assert.deepEqual(await started.ended, { code: 0, signal: null });
    assert.ok(performance.now() - before < STOP_MS);
    await nothingLeft(all, home.path);
  }
  assert.equal(readFileSync(join(home.path, 'run/standalone.lock'), 'utf8'), '');
});

test('The folder shows others nothing: secrets 0600, and inner folders closed or only to be passed through', async () => {
  using home = tempHome();
  const started = await startFakes(home.path);
  started.kill('SIGINT');
  await started.ended;
  const mode = (path: string) => statSync(join(home.path, path)).mode & 0o777;
  for (const name of readdirSync(join(home.path, 'keys'))) {
    if (name !== 'signing') assert.equal(mode(`keys/${name}`), 0o600, name);
  }
  assert.equal(mode('airlock.cfg'), 0o600);
  for (const folder of ['keys/signing', 'postgres/data', 'logs']) assert.equal(mode(folder), 0o700, folder);
  for (const folder of ['', 'keys', 'run', 'postgres']) assert.equal(mode(folder) & 0o066, 0, folder);
  const text = readFileSync(join(home.path, 'airlock.cfg'), 'utf8');
  assert.match(text, /\[api\]\n(#.*\n)+# port = 8080\n/);
  assert.ok(!/^[a-z_]+ =/m.test(text), 'every default is commented');
});

test('Each process is given its own values and no other: no environment, no password of another role, no key folder', async () => {
  using home = tempHome();
  const started = await startFakes(home.path, {
    env: { AIRLOCK_ADMIN_PASSWORD: 'planted-admin', AIRLOCK__CORE__PARALLELISM: '7', HOME: '/h' },
  });
  const seen = await started.seen();
  assert.equal(seen.values.admin_password, 'planted-admin');
  assert.deepEqual(seen.role, [{ me: 'airlock_control' }]);
  assert.equal((seen.values.config as Record<string, Record<string, unknown>>).core!.parallelism, 7);
  assert.ok(
    Object.keys(seen.env).every((name) => ['PATH', 'LANG', 'TZ', 'NODE_COMPILE_CACHE'].includes(name)),
    JSON.stringify(seen.env),
  );
  const secret = (name: string) => readFileSync(join(home.path, 'keys', name), 'utf8').trim();
  assert.ok(!JSON.stringify(seen).includes(secret('postgres-airlock_owner')));
  const supervisor = await waitFor('what the supervisor wrote', () =>
    readFileSync(join(home.path, 'run/standalone.log'), 'utf8')
      .split('\n')
      .find((line) => line.includes('join_ticket')),
  );
  for (const planted of ['planted-admin', secret('postgres-airlock_control'), secret('fernet'), 'postgresql:']) {
    assert.ok(!supervisor.includes(planted), planted);
  }
  assert.ok(supervisor.includes(seen.tickets[0]!), 'control: the ticket it was given is the one that control was told');
  started.kill('SIGTERM');
  await started.ended;
});

test('Any single process that is killed is started again, knows its neighbours, and leaves no orphan', async () => {
  using home = tempHome();
  const started = await startFakes(home.path);
  const all: Process[] = [];
  for (const mark of [
    'fakes/supervisor.ts',
    'fakes/control.ts',
    'fakes/token-service.ts',
    'bin/postgres',
    'fakes/control.ts',
  ]) {
    const victim = find(started.pid, mark);
    const orphans = descendantsOf(victim.pid);
    all.push(victim, ...orphans);
    kill9(victim.pid);
    await waitFor(`${mark} is back`, () => {
      const next = find(started.pid, mark);
      return next.pid !== victim.pid && next;
    });
    await waitFor(`${mark} serves again`, async () => (await started.seen()).role !== null);
    await waitFor(`orphans of ${mark} are gone`, () => !orphans.some(isSame));
    assert.match(started.output(), new RegExp(`\\(process ${victim.pid}\\) ended with SIGKILL; it is started again`));
  }
  const { pid, values } = await started.seen();
  // The signer was told of each control, and a restarted control keeps its port and makes no second administrator.
  await waitFor('the signer knows the last control', () => new RegExp(`peer \\d+ ${pid}\\n`).test(started.output()));
  assert.equal(values.admin_password, null);
  all.push(...descendantsOf(started.pid));
  assert.ok(!descendantsOf(started.pid).some((one) => one.state === 'Z'), 'no zombie');
  started.kill('SIGTERM');
  await started.ended;
  await nothingLeft(all, home.path);
});

test('A supervisor that is started while control fails to start, again and again, joins the one that comes up', async () => {
  using home = tempHome();
  const started = await startFakes(home.path);
  const handedOver = () => readFileSync(join(home.path, 'run/standalone.log'), 'utf8').split('join_ticket').length - 1;
  await waitFor('the first supervisor has its values', () => handedOver() === 1);
  const control = find(started.pid, 'fakes/control.ts');
  kill9(control.pid);
  // Whoever holds its port makes each new control end before it is ready.
  const port = await waitFor('the port is taken', () => take(Number(new URL(started.url).port)), { everyMs: 1 });
  kill9(find(started.pid, 'fakes/supervisor.ts').pid);
  await waitFor(
    'three controls have failed',
    () => started.output().split(/control \(process \d+\) ended with status/).length > 3,
  );
  assert.equal(handedOver(), 1, 'nothing is handed over while there is no control');
  port.close();
  await waitFor('the new supervisor has its values', () => handedOver() === 2);
  started.kill('SIGTERM');
  await started.ended;
});

/** Listens on a port; null while somebody else does. */
function take(port: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}

test('A killed standalone takes everything with it, and the next one takes its folder over', async () => {
  using home = tempHome();
  const first = await startFakes(home.path);
  // The fake's stubborn child loses its subreaper with the first, and only then.
  const started = descendantsOf(first.pid);
  const stubborn = started.filter((one) => one.command.includes('trap'));
  const all = started.filter((one) => !stubborn.includes(one));
  first.kill('SIGKILL');
  await first.ended;
  const second = await startFakes(home.path); // at once, while the others are still stopping
  await waitFor('the first one is gone whole', () => !all.some(isSame));
  assert.deepEqual((await second.seen()).role, [{ me: 'airlock_control' }]);
  const again = descendantsOf(second.pid);
  second.kill('SIGTERM');
  assert.equal((await second.ended).code, 0);
  await waitFor('nothing of it runs', () => !again.some(isSame));
  for (const left of stubborn.filter(isSame)) kill9(left.pid);
});

test('A second standalone on the same folder is refused with the process id of the first, which goes on', async () => {
  using home = tempHome();
  const first = await startFakes(home.path);
  const second = spawnFakes(home.path);
  let errors = '';
  second.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const code = await new Promise((resolve) => second.once('close', resolve));
  assert.equal(code, 2);
  assert.match(
    errors,
    new RegExp(`^HOME_IN_USE: Another standalone \\(process ${first.pid}\\) uses the data folder ${home.path}\\.\n`),
  );
  assert.ok((await first.seen()).role);
  first.kill('SIGTERM');
  await first.ended;
});

test('When the data folder vanishes, everything stops and says so, instead of restarting for ever', async () => {
  using home = tempHome();
  const started = await startFakes(home.path);
  const all = descendantsOf(started.pid);
  rmSync(join(home.path, 'postgres'), { recursive: true });
  kill9(find(started.pid, 'bin/postgres').pid);
  assert.equal((await started.ended).code, 2);
  assert.match(started.output(), /HOME_UNWRITABLE: The database of this installation, \S+, is gone\./);
  await nothingLeft(all, home.path);
});

test('A generated password is shown once and only on a terminal; without one the log says how to set it', async () => {
  using home = tempHome();
  const pipe = await startFakes(home.path);
  assert.equal((await pipe.seen()).values.admin_password, null);
  pipe.kill('SIGTERM');
  await pipe.ended;
  const terminal = await startFakes(home.path, { env: { PRETEND_TERMINAL: '1' } });
  const { admin_password: password } = (await terminal.seen()).values;
  assert.match(String(password), /^[A-Za-z2-9]{20}$/);
  assert.equal(terminal.output().split(String(password)).length - 1, 1, 'shown once');
  assert.ok(!readFileSync(join(home.path, 'run/standalone.log'), 'utf8').includes(String(password)), 'and in no file');
  terminal.kill('SIGTERM');
  await terminal.ended;
});

test("With a PostgreSQL of the operator's own no server is started, and its schema is brought up to date", async () => {
  using home = tempHome();
  await using database = await testDatabase();
  const address = database.ownerUrl.replace('postgresql://', 'postgresql+psycopg2://');
  const started = await startFakes(home.path, { env: { AIRLOCK_DATABASE_URL: address } });
  assert.equal((await started.seen()).values.database_url, database.ownerUrl);
  assert.ok(!descendantsOf(started.pid).some((one) => one.command.includes('bin/postgres')));
  started.kill('SIGTERM');
  await started.ended;
});

test('Started as root, the services and PostgreSQL have user ids of their own, and none is root', {
  skip: !ROOT && 'needs root',
}, async () => {
  using home = tempHome();
  const started = await startFakes(home.path);
  const uidOf = (mark: string) => statSync(`/proc/${find(started.pid, mark).pid}`).uid;
  const uids = ['fakes/control.ts', 'fakes/token-service.ts', 'bin/postgres'].map(uidOf);
  assert.equal(new Set([...uids, 0]).size, 4, String(uids));
  started.kill('SIGTERM');
  await started.ended;
});

test('Started as an unprivileged user it works the same', {
  skip: !ROOT && 'this is what all others do here',
}, async () => {
  using home = tempHome();
  const inner = join(home.path, 'data');
  mkdirSync(inner);
  chownSync(inner, NOBODY, NOBODY);
  chmodSync(home.path, 0o755);
  const started = await startFakes(inner, { uid: NOBODY });
  assert.equal((await started.seen()).uid, NOBODY);
  const all = descendantsOf(started.pid);
  started.kill('SIGTERM');
  assert.equal((await started.ended).code, 0);
  await nothingLeft(all, inner);
});

test('Below a closed home, folder and programs are shown to the services all the same', {
  skip: skipMounts,
}, async () => {
  // The usual clone of root: /root has mode 0700, and neither PostgreSQL nor the services run as root.
  using temporary = tempHome();
  const closed = join(temporary.path, 'closed');
  for (const folder of [closed, join(closed, 'tree'), join(closed, 'home')]) mkdirSync(folder, { mode: 0o700 });
  const tree = join(closed, 'tree');
  const repository = join(import.meta.dirname, '../..');
  const prefix = [
    'unshare',
    '--mount',
    '--propagation',
    'private',
    '--',
    '/bin/sh',
    '-c',
    `mount --bind ${repository} ${tree} && exec "$@"`,
    'sh',
  ];
  for (const round of [1, 2]) {
    const started = await startFakes(join(closed, 'home'), { prefix, root: tree });
    const seen = await started.seen();
    assert.notEqual(seen.uid, 0, `round ${round}`);
    assert.deepEqual(seen.role, [{ me: 'airlock_control' }]);
    const all = descendantsOf(started.pid);
    started.kill('SIGTERM');
    assert.equal((await started.ended).code, 0);
    await nothingLeft(all, closed);
  }
});

test('As root in a container without the right to mount, PostgreSQL runs as nobody', { skip: skipMounts }, async () => {
  using home = tempHome();
  const started = await startFakes(home.path, { prefix: ['setpriv', '--bounding-set=-sys_admin', '--'] });
  assert.equal(statSync(`/proc/${find(started.pid, 'bin/postgres').pid}`).uid, NOBODY);
  assert.notEqual((await started.seen()).uid, 0);
  const all = descendantsOf(started.pid);
  started.kill('SIGTERM');
  await started.ended;
  await nothingLeft(all, home.path);
});

test('There, a folder that the services can not enter refuses the start with path and remedy', {
  skip: skipMounts,
}, async () => {
  using temporary = tempHome();
  const closed = join(temporary.path, 'closed');
  mkdirSync(closed, { mode: 0o700 });
  const refused = spawnFakes(join(closed, 'home'), { prefix: ['setpriv', '--bounding-set=-sys_admin', '--'] });
  let errors = '';
  refused.stderr!.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  assert.equal(await new Promise((resolve) => refused.once('close', resolve)), 2);
  assert.match(
    errors,
    new RegExp(`^PATH_NOT_ENTERABLE: User id \\d+ can't enter ${closed},.*\n.*chmod o\\+x ${closed}`),
  );
  await waitFor('nothing of it runs', () => processesNaming(closed).length === 0);
});
