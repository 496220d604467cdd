/** What a fork of a template sees and may use, asked from inside: no more than a child that was started anew. */
import { deepEqual, equal, match, notEqual, ok, rejects } from 'node:assert/strict';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { waitFor } from '../../tests/kit/wait.ts';
import { probeTier } from '../src/sandbox/detect.ts';
import { startTemplate, type Template, whyNoTemplate } from '../src/sandbox/template.ts';
import type { SandboxedChild, SandboxSpec } from '../src/sandbox/types.ts';

const proc = dirname(import.meta.dirname);
const fixtures = join(import.meta.dirname, 'fixtures');
const forkFolder = join(proc, '../sdk/python');
const isRoot = process.getuid?.() === 0;
const EPERM = 1;
const missing = probeTier('namespaces');
const skip = missing === null ? false : `this host has no user namespaces: ${missing}`;

function specOf(network: SandboxSpec['network'], args: readonly string[] = []): SandboxSpec {
  return {
    tier: 'namespaces',
    entry: join(fixtures, 'ask.ts'),
    packages: [proc],
    network,
    program: {
      argv: ['/usr/bin/python3', join(fixtures, 'ask_template.py'), ...args],
      memoryBytes: 1024 ** 3,
      links: [],
    },
    extra: [fixtures, forkFolder].map((path) => ({ path, access: 'read' })),
    env: { FORK_FOLDER: forkFolder },
    limits: { openFiles: 200, processes: 300, fileBytes: 1_000_000, workBytes: 1_000_000 },
  };
}
const make = (network: SandboxSpec['network'] = 'host', ...args: readonly string[]): Promise<Template> =>
  startTemplate({ spec: specOf(network, args), startMs: 60_000, forkMs: 30_000 });

async function template(t: TestContext, network: SandboxSpec['network'] = 'host'): Promise<Template> {
  const made = await make(network);
  t.after(() => made.kill());
  return made;
}

const question = (text: string) =>
  ({ type: 'python_task', workload: { question: text }, env: {} }) as Parameters<SandboxedChild['send']>[0];

/** What one line of a fork says, once it has come. */
async function firstLine(child: SandboxedChild): Promise<unknown> {
  let out = '';
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  const said = () => out.includes('\n');
  const end = await Promise.race([child.exited, waitFor('an answer', said, { timeoutMs: 60_000 })]);
  // What it had said may come after the news of its end.
  await Promise.race([waitFor('an answer', said).catch(() => undefined), once(child.stdout, 'close')]);
  ok(said(), `no answer; end ${JSON.stringify(end)}, errors ${JSON.stringify(errors)}`);
  return JSON.parse(out);
}

async function ask(made: Template, text: string): Promise<unknown> {
  const child = await made.fork();
  child.send(question(text));
  const answer = await firstLine(child);
  await child.exited;
  return answer;
}

test('a fork has no root, no capability, no new privileges, no core files, and its limits', { skip }, async (t) => {
  const made = await template(t);
  const status = String(
    await ask(made, "answer = open('/proc/self/status').read() + open('/proc/self/limits').read()"),
  );
  match(status, /NoNewPrivs:\t1/);
  for (const set of ['Inh', 'Prm', 'Eff', 'Amb']) match(status, new RegExp(`Cap${set}:\\t0+\\n`));
  match(status, /Seccomp:\t2/);
  match(status, /Threads:\t1\n/);
  match(status, /^Groups:\t ?$/m);
  match(status, /Max core file size +0 +0/);
  match(status, /Max open files +200 +200/);
  match(status, /Max file size +1000000 +1000000/);
  if (isRoot) match(status, /Max processes +300 +300/);
  ok(!/^Uid:\t0\b/m.test(status));
});

test('a fork has its own four descriptors and none of the template', { skip }, async (t) => {
  const made = await template(t);
  const text = `
answer = {}
for n in os.listdir('/proc/self/fd'):
    if os.path.lexists('/proc/self/fd/' + n):  # not the one that this listing took
        answer[n] = os.readlink('/proc/self/fd/' + n).split(':')[0]
`;
  const answer = await ask(made, text);
  deepEqual(answer, { 0: '/dev/null', 1: 'socket', 2: 'socket', 3: 'socket' });
});

test('a fork knows no process but its own', { skip }, async (t) => {
  const made = await template(t);
  const sleeper = await made.fork();
  sleeper.send(question('time.sleep(600)'));
  const pids = (await ask(made, "answer = sorted(int(n) for n in os.listdir('/proc') if n.isdigit())")) as number[];
  deepEqual(pids, [1, 2]);
  ok(pids.length < readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length, 'control: here are more');
  equal(readFileSync(`/proc/${sleeper.pid}/comm`, 'utf8').trim(), 'python3', 'control: we can name the sibling');
  await sleeper.kill();
});

const outside = [
  ['signals the first process', "answer = attempt(lambda: os.kill(1, 9)); os.kill(1, 15); answer = 'alive'", 'alive'],
  ['makes a namespace', "answer = call('unshare', 0x10000000)", EPERM],
  ['mounts', "answer = call('mount', b'none', b'/proc', b'tmpfs', 0, None)", EPERM],
  ['takes a mount away', "answer = call('umount2', TEMPLATE['work'].encode(), 2)", EPERM],
  ['traces its first process', "answer = call('ptrace', 16, 1, 0, 0)", EPERM],
  ['becomes root', "answer = call('setresuid', 0, 0, 0)", isRoot ? 22 : EPERM],
  ['becomes the template', "answer = call('setresuid', TEMPLATE['uid'], TEMPLATE['uid'], TEMPLATE['uid'])", EPERM],
] as const;
for (const [what, text, expected] of outside) {
  // Without root every process has our own user id, and to become oneself is no power.
  const pointless = what === 'becomes the template' && !isRoot;
  test(`a fork that ${what} gets nowhere`, { skip: pointless ? 'needs root' : skip }, async (t) => {
    const answer = await ask(await template(t), text);
    if (what === 'becomes root') ok([1, 22].includes(Number(answer)), String(answer));
    else equal(answer, expected);
  });
}

test('a fork has an empty work folder of its own, where the template has written in one of that name', {
  skip,
}, async (t) => {
  const made = await template(t);
  const text =
    "answer = [os.getcwd(), sorted(os.listdir('.')), sorted(os.listdir(TEMPLATE['work'])), attempt(lambda: open('mine', 'w').write('x'))]";
  deepEqual(await ask(made, text), ['/run/task', [], [], 1]);
  deepEqual(await ask(made, text), ['/run/task', [], [], 1], 'nothing of an earlier fork');
  match(String(await ask(made, "answer = attempt(lambda: open('/usr/x', 'w'))")), /^refused/);
  match(String(await ask(made, "answer = attempt(lambda: open('/etc/passwd', 'a'))")), /^refused/);
});

test('what a fork changes in its memory is seen by no other', { skip }, async (t) => {
  const made = await template(t);
  equal(await ask(made, "STATE['seen'] = 'a secret'; os.environ['X'] = 'y'; answer = STATE['seen']"), 'a secret');
  deepEqual(await ask(made, "answer = [STATE['seen'], os.environ.get('X')]"), ['nothing', null]);
});

test('each fork has a user id of its own, and an account of that id', {
  skip: isRoot ? skip : 'needs root',
}, async (t) => {
  const made = await template(t);
  const text = "import pwd; answer = [os.getuid(), pwd.getpwuid(os.getuid()).pw_name, TEMPLATE['uid']]";
  const [first, second] = (await Promise.all([ask(made, text), ask(made, text)])) as [number, string, number][];
  notEqual(first![0], second![0]);
  for (const [uid, name, templates] of [first!, second!]) {
    ok(uid >= 2_000_000 && uid !== templates, String(uid));
    equal(name, 'task');
  }
});

test('without a network a fork has no internet socket, and with one it has', { skip }, async (t) => {
  const text = "import socket; answer = attempt(lambda: socket.socket(socket.AF_INET).close() or 'open')";
  match(String(await ask(await template(t, 'none'), text)), /^refused/);
  equal(await ask(await template(t, 'host'), text), 'open', 'control');
});

test('how a fork ends is told: by status, by signal, and killed', { skip }, async (t) => {
  const made = await template(t);
  const ends = async (text: string) => {
    const child = await made.fork();
    child.send(question(text));
    return await child.exited;
  };
  deepEqual(await ends('status = 7'), { code: 7, signal: null });
  deepEqual(await ends('os.kill(os.getpid(), 9)'), { code: null, signal: 'SIGKILL' });
  deepEqual(await ends('os.kill(os.getpid(), 6)'), { code: null, signal: 'SIGABRT' });
  const child = await made.fork();
  deepEqual(await child.kill(), { code: null, signal: 'SIGKILL' });
  ok(made.alive());
});

test('what a fork has started ends with it', { skip }, async (t) => {
  const made = await template(t);
  const child = await made.fork();
  child.send(
    question(
      "import subprocess; subprocess.Popen(['/bin/sleep', '86399'], start_new_session=True); print('1', flush=True); time.sleep(600)",
    ),
  );
  await firstLine(child);
  const sleepers = () =>
    readdirSync('/proc').filter((pid) => {
      try {
        return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes('\x0086399');
      } catch {
        return false;
      }
    }).length;
  equal(sleepers(), 1, 'control');
  await child.kill();
  equal(sleepers(), 0);
});

test('when the template dies its forks end, that is told, and it forks no more', { skip }, async () => {
  const made = await make();
  const child = await made.fork();
  await made.kill();
  deepEqual(await child.exited, { code: null, signal: 'SIGKILL' });
  equal(made.alive(), false);
  await rejects(made.fork(), /gone/);
});

test('a retired template lives until its last fork has ended', { skip }, async () => {
  const made = await make();
  const child = await made.fork();
  made.retire();
  await rejects(made.fork(), /gone/);
  child.send(question("answer = 'still here'"));
  equal(await firstLine(child), 'still here');
  await child.exited;
  await made.ended;
});

test('thirty forks at once are thirty processes, and none of them is left', { skip }, async (t) => {
  const made = await template(t);
  const answers = await Promise.all(Array.from({ length: 30 }, (_, n) => ask(made, `answer = ${n}`)));
  deepEqual(
    answers,
    Array.from({ length: 30 }, (_, n) => n),
  );
});

test('a process that would share something with its forks is no template, and says why', { skip }, async () => {
  await rejects(make('host', 'thread'), /starts 1 threads/);
  await rejects(make('host', 'shared'), /shares memory/);
  await (await make('host')).kill(); // control
});

test('a template that is not ready in time is given up', { skip }, async () => {
  await rejects(startTemplate({ spec: specOf('host', ['late']), startMs: 1500, forkMs: 1000 }), /not ready after/);
});

test('only the tier of namespaces has templates', () => {
  for (const tier of ['landlock', 'user', 'none'] as const)
    match(whyNoTemplate({ ...specOf('host'), tier })!, /has none/);
  equal(whyNoTemplate(specOf('host')), null, 'control');
});
