/**
 * Hostile Python at the import of a Dag file, against its host, the template that it was forked from, and a sibling of the same
 * bundle: by the real Airflow, forked and started anew, without a network and with that of tasks. Every probe has its control:
 * the same code with nothing around it, against a process that does nothing to protect itself.
 */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { detectTier } from '@airlock/proc/sandbox/index';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import { allProcesses, descendantsOf } from '../../tests/kit/processes.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { createPythonHosts } from '../src/python/host.ts';
import { makePythonParse } from '../src/python/parse.ts';
import { Masker } from '../src/task/mask.ts';
import { testRoleContext } from './kit/role-context.ts';

const probesFile = fileURLToPath(new URL('./kit/probes.py', import.meta.url));
const tier = detectTier();
type Loot = Record<string, string>;
const NONE_THERE = ['token in own environment', 'token in own memory'];

describe('hostile Python', {
  skip: withoutPython || (tier === 'namespaces' ? false : `the tier here is ${tier}`),
}, () => {
  const home = realpathSync(mkdtempSync(join(tmpdir(), 'airlock-hostile-')));
  const bundle = { name: 'b', root: join(home, 'dags') };
  const plant = (path: string) => {
    mkdirSync(join(home, path, '..'), { recursive: true, mode: 0o700 });
    writeFileSync(join(home, path), 'CANARY', { mode: 0o600 });
    return join(home, path);
  };
  before(() => {
    ensureVenv(findPython()!);
    chmodSync(home, 0o755);
    mkdirSync(bundle.root, { mode: 0o755 });
  });
  after(() => rmSync(home, { recursive: true, force: true }));

  for (const { what, template, network } of [
    { what: 'forked, without a network', template: 'true', network: 'none' },
    { what: 'forked, with the network of tasks', template: 'true', network: 'host' },
    { what: 'started anew, without a network', template: 'false', network: 'none' },
  ] as const) {
    test(`${what}: it gets nothing`, { timeout: 300_000 }, async (t) => {
      const ctx = await testRoleContext(
        { AIRLOCK__PYTHON__INTERPRETER: airflowVenv, AIRLOCK__PYTHON__TEMPLATE: template },
        { environment: { PATH: process.env.PATH, AIRLOCK_CANARY: 'x' } },
      );
      const hosts = createPythonHosts(ctx, () => network);
      const abstract = `airlock-hostile-${process.pid}-${what.length}`;
      const path = join(home, `${what.length}.sock`);
      const servers = [path, `\0${abstract}`].map((at) =>
        createServer((socket) => socket.on('error', () => undefined).end('CANARY')).listen(at),
      );
      const web = createServer((socket) => socket.on('error', () => undefined).end('CANARY')).listen(0, '127.0.0.1');
      await new Promise((resolve) => web.once('listening', resolve));
      const decoy = spawn('/usr/bin/env', ['python3', '-c', 'import time; time.sleep(600)'], { stdio: 'ignore' });
      try {
        const sibling = await hosts.take(bundle);
        const idle = new Promise<void>((resolve) =>
          sibling.onFrame((frame) => void (frame.type === 'idle' && resolve())),
        );
        await idle;
        const inner = await waitFor('the sibling', () => descendantsOf(sibling.pid).at(-1)?.pid);
        const processes: Record<string, number> = { host: process.pid, sibling: inner, outermost: sibling.pid };
        if (template === 'true') {
          processes.template = allProcesses().find(({ pid }) => pid === sibling.pid)!.parent;
          match(readFileSync(`/proc/${processes.template}/cmdline`, 'utf8'), /airlock_host\.py\0template/);
        }
        const facts = {
          processes,
          files: { key: plant('keys/signing.pem'), configuration: plant('airlock.cfg'), row: plant('postgres/base/1') },
          folders: { rows: join(home, 'postgres'), keys: join(home, 'keys') },
          sockets: { database: path },
          written: { bundle: join(bundle.root, 'hostile.py'), interpreter: join(airflowVenv, 'pyvenv.cfg') },
          abstract,
          port: (web.address() as { port: number }).port,
        };
        const text = `${readFileSync(probesFile, 'utf8')}
from airflow.sdk import dag, task
FACTS = json.loads(${JSON.stringify(JSON.stringify(facts))})
@dag(schedule=None, doc_md=json.dumps({"loot": run(FACTS), "network": network(FACTS)}))
def hostile():
    pass
hostile()
`;
        writeFileSync(join(bundle.root, 'hostile.py'), text);
        const parse = makePythonParse({ hosts, timeoutMs: 60_000, ownUser: true, newMasker: () => new Masker(5) });
        const job = { bundleName: bundle.name, root: bundle.root, shownRoot: bundle.root, relative: 'hostile.py' };
        const { dags, importError } = await parse(job, new AbortController().signal);
        equal(importError, null);
        const { doc_md: doc } = (dags[0] as { dag: { doc_md: string } }).dag;
        const got = JSON.parse(doc) as { loot: Loot; network: Loot };
        const unprotected = Object.fromEntries(Object.keys(processes).map((who) => [who, decoy.pid!]));
        const control = JSON.parse(
          execFileSync('/usr/bin/env', ['python3', probesFile, JSON.stringify({ ...facts, processes: unprotected })], {
            encoding: 'utf8',
            env: { PATH: '/usr/bin:/bin', AIRLOCK_CANARY: 'x' },
          }),
        ) as typeof got;
        ok(Object.keys(control.loot).length >= 35, 'a probe that did not run proves nothing');
        deepEqual(Object.keys(got.loot).sort(), Object.keys(control.loot).sort());
        for (const [probe, found] of Object.entries(got.loot)) {
          await t.test(`refused: ${probe}`, () => {
            match(found, /^refused/);
            if (NONE_THERE.includes(probe)) match(found, /none there$/);
          });
          await t.test(`control: ${probe}`, () => doesNotMatch(control.loot[probe]!, /^refused/));
        }
        deepEqual(control.network, { tcp: 'connected', udp: 'sent 1' });
        const none = { tcp: 'refused: PermissionError', udp: 'refused: PermissionError' };
        deepEqual(got.network, network === 'none' ? none : control.network);
        ok(
          allProcesses().some(({ pid }) => pid === inner),
          'the sibling goes on',
        );
        await sibling.kill();
      } finally {
        decoy.kill('SIGKILL');
        for (const server of [...servers, web]) server.close();
        await hosts.stop();
      }
    });
  }
});
