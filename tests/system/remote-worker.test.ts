/**
 * A worker that standalone did not start (promise L28): it joins with a ticket of the operator and a key of its own, runs
 * tasks, holds no key of the installation, and is put out by the operator. A ticket works once.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { resultOf, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { installationSecrets, openFiles, scanMemory } from '../kit/memory.ts';
import { descendantsOf, type Process, partsBelow } from '../kit/processes.ts';
import { joinTicket, operate, type RemoteWorker, startRemoteWorker } from '../kit/remote-worker.ts';
import { repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { waitFor } from '../kit/wait.ts';

const isRoot = process.getuid!() === 0;
const launcher = join(repositoryRoot, 'cli/bin/airlock');
/** Dags of which standalone's own worker runs nothing: it serves another queue. */
const dags = `import { dag } from '@airlock/sdk';
const options = { schedule: null, startDate: '2026-01-01', paused: false } as const;
export const quick = dag('quick', options, (d) => { d.task('t', { queue: 'far', run: async () => 42 })(); });
export const long = dag('long', options, (d) => {
  d.task('t', { queue: 'far', run: async () => { await new Promise((resolve) => setTimeout(resolve, 600_000)); return 0; } })();
});
`;

type Listed = {
  supervisors: Array<{ id: string; pid: number; state: string; holds: number; roles: string[] }>;
  tickets: Array<{ id: string }>;
};

describe('a worker on its own', () => {
  let airlock: Standalone;
  const started: RemoteWorker[] = [];
  before(async () => {
    airlock = await startStandalone({ dags: { 'far.ts': dags }, env: { AIRLOCK__WORKERS__QUEUES: 'near' } });
  });
  after(async () => {
    await Promise.all(started.map((worker) => worker.stop()));
    await airlock?.stop();
  });

  const cli = (...args: string[]) => operate(airlock, ...args);
  const listed = () => JSON.parse(cli('workers', 'list', '--json').stdout) as Listed;
  const ticket = () => joinTicket(airlock);
  function startWorker(ticketText: string): RemoteWorker {
    const worker = startRemoteWorker(airlock.url, ticketText, { AIRLOCK__WORKERS__QUEUES: 'far' });
    started.push(worker);
    return worker;
  }
  const joined = (worker: RemoteWorker) =>
    waitFor('the worker has joined', () => listed().supervisors.find(({ pid }) => pid === worker.pid), {
      timeoutMs: 30_000,
      everyMs: 300,
    });

  test('it joins with a ticket, runs a task, and a second worker with the same ticket is refused', async () => {
    const text = ticket();
    assert.equal(listed().tickets.length, 1);
    const worker = startWorker(text);
    const row = await joined(worker);
    assert.deepEqual([row.roles, row.state], [['worker'], 'alive']);
    assert.equal(listed().tickets.length, 0, 'the ticket is used');
    const runId = await trigger(airlock, 'quick');
    assert.equal(await runEnd(airlock, 'quick', runId), 'success');
    assert.equal(String(await resultOf(airlock, { dagId: 'quick', runId, taskId: 't' })), '42');

    const second = startWorker(text);
    assert.equal(await second.ended, 2, second.output());
    assert.match(
      second.output(),
      /^INVALID_CREDENTIALS: The server refused this supervisor \(403\)\.\nStart it with a new join ticket: airlock workers join-ticket/m,
    );
    const third = startWorker(ticket());
    assert.equal((await joined(third)).state, 'alive', 'the control: the same with a ticket of its own');
    process.kill(third.pid, 'SIGTERM');
    assert.equal(await third.ended, 0);
  });

  test('its host yields 0 keys: memory, environment, files, open files', {
    skip: isRoot ? false : 'needs root, to read memory',
  }, async () => {
    const row = listed().supervisors.find(({ pid }) => pid === started[0]!.pid)!;
    const runId = await trigger(airlock, 'long');
    await waitFor('it runs a task', async () => (await taskInstances(airlock, 'long', runId))[0]?.state === 'running', {
      timeoutMs: 60_000,
    });
    const needles = installationSecrets(airlock.home);
    const processes = [{ pid: row.pid, command: 'worker' } as Process, ...descendantsOf(row.pid)].filter(
      ({ state }) => state !== 'Z',
    );
    assert.ok(processes.length >= 2, 'worker and runner');
    let megabytes = 0;
    for (const { pid, command } of processes) {
      const { bytes, found } = scanMemory(pid, needles);
      megabytes += bytes / 1e6;
      assert.deepEqual([...found.keys()], [], command);
      const environment = readFileSync(`/proc/${pid}/environ`);
      for (const [name, forms] of needles) for (const form of forms) assert.ok(!environment.includes(form), name);
      assert.deepEqual(
        openFiles(pid).filter((path) => path.startsWith(airlock.home)),
        [],
        command,
      );
    }
    const home = started[0]!.home;
    let files = 0;
    for (const entry of readdirSync(home, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      files += 1;
      const content = readFileSync(join(entry.parentPath, entry.name));
      for (const [name, forms] of needles)
        for (const form of forms) assert.ok(!content.includes(form), `${name} in ${entry.name}`);
    }
    console.log(
      `host of a worker: ${processes.length} processes, ${Math.round(megabytes)} MB, ${files} files: 0 of ${needles.size} secrets`,
    );
    // The control: the same search finds them where they are.
    const signer = scanMemory(partsBelow(airlock.pid, 'token-service')[0]!.pid, needles).found;
    const control = scanMemory(partsBelow(airlock.pid, 'control')[0]!.pid, needles).found;
    assert.ok(signer.has('signing key') && control.has('fernet'));
  });

  test('revoked, it ends by itself, and what it ran is taken away at once; another one goes on', async () => {
    const worker = listed().supervisors.find(({ pid }) => pid === started[0]!.pid)!;
    const runId = await trigger(airlock, 'long');
    const state = async () => (await taskInstances(airlock, 'long', runId))[0]?.state;
    await waitFor('it runs a task', async () => (await state()) === 'running', { timeoutMs: 60_000 });
    const wrong = cli('workers', 'revoke', 'ffffffff');
    assert.equal(wrong.status, 5, wrong.stderr);
    const { stdout, status } = cli('workers', 'revoke', worker.id.slice(0, 13));
    assert.equal(status, 0);
    assert.match(stdout, /^revoked .*; [12] tries were taken away from it$/m);
    assert.equal(await state(), 'failed', 'before the command ended');
    const child = started.find(({ pid }) => pid === worker.pid)!.process;
    await waitFor('it has ended', () => child.exitCode !== null, { timeoutMs: 30_000 });
    assert.notEqual(child.exitCode, 0);
    assert.equal(descendantsOf(worker.pid).length, 0);
    const again = listed().supervisors;
    assert.equal(again.find(({ id }) => id === worker.id)!.state, 'ended');
    assert.ok(
      again.some(({ state: other }) => other === 'alive'),
      'the control: standalone’s own is untouched',
    );
  });

  test('a ticket that was taken back admits nobody', async () => {
    const text = ticket();
    const [unused] = listed().tickets;
    assert.equal(cli('workers', 'revoke-ticket', unused!.id).status, 0);
    const worker = startWorker(text);
    assert.equal(await worker.ended, 2);
    assert.match(worker.output(), /^INVALID_CREDENTIALS: /m);
  });

  for (const [name, args, says] of [
    ['no ticket', [], /^CONFIG_INVALID: A supervisor needs a role and a join ticket\.$/m],
    [
      'a ticket file that is not there',
      ['--ticket-file', '/nonexistent'],
      /^CONFIG_INVALID: The join ticket can't be read: /m,
    ],
    ['an option that there is not', ['--tikket-file', 'x'], /^CONFIG_INVALID: Unknown option '--tikket-file'/m],
    [
      'plain http to another machine',
      ['--server', 'http://192.0.2.1:8080', '--ticket-file', '/proc/self/comm'],
      /^CONFIG_INVALID: /m,
    ],
  ] as const) {
    test(`it does not start with ${name}`, () => {
      using home = tempHome();
      const { status, stderr } = spawnSync(process.execPath, [launcher, 'worker', ...args], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, HOME: home.path, AIRLOCK_HOME: home.path },
        timeout: 60_000,
      });
      assert.equal(status, 2, stderr);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /\n\s+at /, 'no stack');
    });
  }
});
