/**
 * Who holds which secret, looked up in the memory of every process of an installation while a task runs: the signing key in
 * token-service and nowhere else (promise L9). And who may look: no process of the same user, at any of them.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { taskInstances, trigger } from '../kit/api.ts';
import { installationSecrets, openFiles, scanMemory, textForms } from '../kit/memory.ts';
import { descendantsOf, kill9, type Process, partsBelow } from '../kit/processes.ts';
import { ADMIN_PASSWORD, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

const isRoot = process.getuid!() === 0;
/** Has no account and no rights. */
const NOBODY = 12_345;
const PASSWORD = `planted-${randomBytes(12).toString('hex')}`;

/** Two tasks that run until the end: one was given the connection, the other was not. */
const dags = `import { connection, dag } from '@airlock/sdk';
const vault = connection('vault');
export default dag('hold', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => {
  d.task('with_it', {
    needs: { vault },
    run: async (_: Record<never, never>, { needs }) => {
      const kept = needs.vault.password!;
      await new Promise((resolve) => setTimeout(resolve, 600_000));
      return kept.length;
    },
  })();
  d.task('without', { run: async () => { await new Promise((resolve) => setTimeout(resolve, 600_000)); return 0; } })();
});
`;

/** What must not be found where it is not needed. */
function secretsOf(home: string): Map<string, readonly Buffer[]> {
  return new Map([
    ...installationSecrets(home),
    ['password of admin', textForms(ADMIN_PASSWORD)],
    ['password of a connection', textForms(PASSWORD)],
  ]);
}

/** Which kinds of processes may hold a secret while the two tasks run. */
const MAY_HOLD: Readonly<Record<string, readonly string[]>> = {
  'signing key': ['token-service'],
  fernet: ['standalone', 'control'],
  'postgres-airlock_owner': ['standalone'],
  'postgres-airlock_control': ['standalone', 'control'],
  'password of admin': ['standalone', 'control'],
  'password of a connection': ['control', 'supervisor', 'runner'],
};

function kindOf(command: string): string {
  const kinds: ReadonlyArray<readonly [string, RegExp]> = [
    ['standalone', /standalone\/bin\/standalone\.ts/],
    ['token-service', /token-sign\/(bin|dist)\/token-service\.(ts|mjs)/],
    ['control', /control\/(bin|dist)\/control\.(ts|mjs)/],
    ['supervisor', /supervisor\/(bin|dist)\/supervisor\.(ts|mjs)/],
    ['parser', /sdk\/\w+\/parse\w*\.(cjs|ts)/],
    ['runner', /sdk\/\w+\/runner\.(cjs|ts)/],
    ['postgres', /postgres/],
  ];
  return kinds.find(([, mark]) => mark.test(command))?.[0] ?? `another: ${command.slice(0, 60)}`;
}

for (const runAs of [undefined, NOBODY]) {
  const who = runAs === undefined ? 'root' : 'an unprivileged user';
  describe(`memory of an installation of ${who}`, { skip: isRoot ? false : 'needs root, to read memory' }, () => {
    let airlock: Standalone;
    const all = (): Process[] =>
      [{ pid: airlock.pid, command: 'standalone/bin/standalone.ts' } as Process, ...descendantsOf(airlock.pid)].filter(
        (one) => one.state !== 'Z',
      );
    before(async () => {
      airlock = await startStandalone({ dags: { 'hold.ts': dags }, ...(runAs === undefined ? {} : { runAs }) });
      await airlock.api('POST', '/api/v2/connections', {
        connection_id: 'vault',
        conn_type: 'http',
        password: PASSWORD,
      });
      const runId = await trigger(airlock, 'hold');
      await waitFor(
        'both tasks run',
        async () => (await taskInstances(airlock, 'hold', runId)).every(({ state }) => state === 'running'),
        { timeoutMs: 60_000 },
      );
      // The task has asked for its connection when its memory holds it.
      const password = new Map([['it', [Buffer.from(PASSWORD)]]]);
      await waitFor(
        'the task has its connection',
        () => partsBelow(airlock.pid, 'runner').some(({ pid }) => scanMemory(pid, password).found.size > 0),
        { timeoutMs: 30_000 },
      );
    });
    after(async () => {
      await airlock?.stop();
    });

    test('each secret is in the memory of those kinds of processes that need it, and of no other', () => {
      const secrets = secretsOf(airlock.home);
      assert.deepEqual([...secrets.keys()].sort(), Object.keys(MAY_HOLD).sort());
      const holders = new Map([...secrets.keys()].map((name) => [name, new Map<string, number>()]));
      const kinds = new Map<string, number>();
      let megabytes = 0;
      for (const { pid, command } of all()) {
        const kind = kindOf(command);
        let scan: ReturnType<typeof scanMemory>;
        try {
          scan = scanMemory(pid, secrets);
        } catch (error) {
          if (descendantsOf(airlock.pid).some((one) => one.pid === pid)) throw error;
          continue; // it ended meanwhile
        }
        kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
        megabytes += scan.bytes / 1e6;
        for (const [name] of scan.found) holders.get(name)!.set(kind, (holders.get(name)!.get(kind) ?? 0) + 1);
        const about = readFileSync(`/proc/${pid}/environ`, 'latin1') + command;
        for (const [name, forms] of secrets) {
          if (kind === 'standalone' && name === 'password of admin') continue; // given by the operator, in its environment
          for (const form of forms)
            assert.ok(!Buffer.from(about, 'latin1').includes(form), `${name} stands in ${kind}`);
        }
        const files = openFiles(pid).filter((path) => path.startsWith(join(airlock.home, 'keys')));
        assert.deepEqual(kind === 'token-service' ? [] : files, [], `${kind} holds a key file open`);
      }
      for (const kind of ['standalone', 'token-service', 'control', 'supervisor', 'runner', 'postgres'])
        assert.ok(kinds.has(kind), `${kind} was searched: ${[...kinds.keys()].join(', ')}`);
      const shown = [...holders].map(([name, by]) => `${name}: ${[...by.keys()].sort().join(' ') || 'nobody'}`);
      const count = [...kinds.values()].reduce((sum, each) => sum + each, 0);
      console.log(`memory as ${who}: ${count} processes, ${Math.round(megabytes)} MB; ${shown.join('; ')}`);
      // The control: what must be there is found, so that what is not found is not there.
      assert.deepEqual([...holders.get('signing key')!.keys()], ['token-service']);
      assert.ok(holders.get('fernet')!.has('control'));
      assert.ok(holders.get('password of a connection')!.has('runner'));
      assert.equal(holders.get('password of a connection')!.get('runner'), 1, 'the other runner has it not');
      for (const [name, by] of holders)
        for (const kind of by.keys()) assert.ok(MAY_HOLD[name]!.includes(kind), `${name} is in ${kind}`);
    });

    test('no file but those in keys/ holds the signing key, and its file is for the user of token-service alone', () => {
      const forms = secretsOf(airlock.home).get('signing key')!;
      const files = readdirSync(airlock.home, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map((entry) => join(entry.parentPath, entry.name));
      const holding = files.filter((path) => {
        try {
          const text = readFileSync(path);
          return forms.some((form) => text.includes(form));
        } catch {
          return false; // PostgreSQL removes files at any time
        }
      });
      const service = partsBelow(airlock.pid, 'token-service')[0]!;
      assert.ok(holding.length >= 1);
      for (const path of holding) {
        assert.ok(path.startsWith(join(airlock.home, 'keys/signing/')), path);
        const { mode, uid } = statSync(path);
        assert.equal(mode & 0o777, 0o600);
        assert.equal(String(uid), /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${service.pid}/status`, 'utf8'))![1]);
      }
    });

    /** Reads as the user of `pid` what /proc shows of it. @returns what it got, by file */
    const look = (pid: number): Record<string, string> => {
      const uid = Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
      const program = `const fs = require('node:fs'); const got = {};
        for (const name of ['environ', 'mem', 'maps', 'fd']) {
          const path = '/proc/${pid}/' + name;
          try {
            if (name === 'fd') fs.readlinkSync(path + '/0'); else { const fd = fs.openSync(path, 'r'); if (name !== 'mem') fs.readSync(fd, Buffer.alloc(1)); }
            got[name] = 'read';
          } catch (error) { got[name] = error.code; }
        }
        console.log(JSON.stringify(got));`;
      const args = [
        '--reuid',
        String(uid),
        '--regid',
        String(uid),
        '--clear-groups',
        '--bounding-set',
        '-all',
        '--inh-caps',
        '-all',
      ];
      const { stdout, stderr } = spawnSync('setpriv', [...args, process.execPath, '-e', program], { encoding: 'utf8' });
      assert.notEqual(stdout, '', stderr);
      return JSON.parse(stdout) as Record<string, string>;
    };

    const guarded = () =>
      (['control', 'token-service', 'supervisor'] as const).flatMap((part) => partsBelow(airlock.pid, part));

    const nothingIsRead = () => {
      for (const { pid, command } of [{ pid: airlock.pid, command: 'standalone' }, ...guarded()]) {
        const got = look(pid);
        assert.ok(!Object.values(got).includes('read'), `${command}: ${JSON.stringify(got)}`);
        assert.match(
          readFileSync(`/proc/${pid}/limits`, 'utf8'),
          /^Max core file size +0 +0 /m,
          `${command} writes no core file`,
        );
      }
    };

    test('a process of the same user without rights reads no environment, memory or file list of any of ours', () => {
      assert.equal(guarded().length, 3);
      nothingIsRead();
      // The control: the same look at a process that is not guarded.
      const backend = partsBelow(airlock.pid, 'postgres')[0]!;
      assert.deepEqual(look(backend.pid), { environ: 'read', mem: 'read', maps: 'read', fd: 'read' });
    });

    test('the same holds for those that are started again', async () => {
      const before = guarded().map(({ pid }) => pid);
      for (const pid of before) kill9(pid);
      await waitFor('all three are back', () => guarded().filter(({ pid }) => !before.includes(pid)).length === 3, {
        timeoutMs: 30_000,
      });
      await waitFor('and serve', () => fetch(`${airlock.url}/api/v2/version`).then(({ ok }) => ok), {
        timeoutMs: 30_000,
      });
      // Looked at again while one of them comes and goes: a supervisor may end once more before the server serves.
      const guardedAgain = () => {
        nothingIsRead();
        return true;
      };
      await waitFor('they are guarded', guardedAgain, { timeoutMs: 60_000, everyMs: 500 });
    });
  });
}
