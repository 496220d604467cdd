/** Python Dag files parsed by the real Airflow, one sandboxed child each: what ends a parse, and what it may reach. */
import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { systemClock } from '@airlock/contract/clock';
import { detectTier } from '@airlock/proc/sandbox/index';
import { pino } from 'pino';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import { childEntries } from '../src/child-entries.ts';
import type { ParsedFile, ParseReads } from '../src/parse/parse-child.ts';
import { createPythonHosts } from '../src/python/host.ts';
import { makePythonParse } from '../src/python/parse.ts';
import type { PythonPool } from '../src/python/pool.ts';
import type { RoleContext } from '../src/role-context.ts';
import { testConfig } from './kit/worker.ts';

const folder = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url)).replace(/\/$/, '');
const tier = detectTier();
const dag = (id: string, before = '') => `import time
from airflow.sdk import dag, task
${before}
@dag(schedule=None)
def ${id}():
    @task
    def t(): pass
    t()
${id}()
`;

describe('Python Dag files', { skip: withoutPython }, () => {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'airlock-python-dags-')));
  const pools: PythonPool[] = [];
  let parse: (text: string, bundle?: string) => Promise<ParsedFile>;
  const said: string[] = [];
  const asked: string[] = [];
  const connection = {
    conn_id: 'db',
    conn_type: 'http',
    host: 'h',
    schema: null,
    login: 'l',
    password: 'p',
    port: 80,
    extra: null,
  };
  /** As the server answers, with the status in the name. */
  const reads: ParseReads = async ({ bundleName }, read) => {
    const name = read.type === 'get_variable' ? read.key : read.conn_id;
    asked.push(`${bundleName} ${read.type} ${name}`);
    const status = Number(/\d+/.exec(name)?.[0] ?? 200);
    if (status !== 200) return { error: { status, code: 'X', message: `The server answered ${status}.` } };
    return { value: read.type === 'get_variable' ? { key: name, value: 'from the server' } : connection };
  };

  /** Parses with these options, in a pool of its own. */
  async function parser(env: Record<string, string>, timeoutMs: number): Promise<typeof parse> {
    const log = pino({}, { write: (line: string) => void said.push(line) });
    const ctx = {
      config: testConfig({ AIRLOCK__PYTHON__INTERPRETER: airflowVenv, ...env }),
      clock: systemClock,
      log,
      tier,
      packages: [folder('sdk'), folder('contract')],
      workBase: tmpdir(),
      hidden: [],
      environment: { PATH: process.env.PATH },
      entries: await childEntries(log),
    } as unknown as RoleContext;
    const open = new Set(ctx.config.dag_processor.network_bundles);
    const hosts = createPythonHosts(ctx, (bundle) => (open.has(bundle) ? 'host' : 'none'));
    pools.push(hosts);
    const parseFile = makePythonParse({ hosts, timeoutMs, ownUser: tier !== 'none', reads });
    let files = 0;
    return (text, bundle = 'b') => {
      const relative = `f${files++}_${pools.length}.py`;
      writeFileSync(join(root, relative), text);
      return parseFile({ bundleName: bundle, root, shownRoot: root, relative }, new AbortController().signal);
    };
  }

  before(async () => {
    ensureVenv(findPython()!);
    chmodSync(root, 0o755);
    const limits = { AIRLOCK__CORE__DAGBAG_IMPORT_TIMEOUT: '3', AIRLOCK__SANDBOX__MEMORY_LIMIT_MB: '1024' };
    parse = await parser({ ...limits, AIRLOCK__DAG_PROCESSOR__NETWORK_BUNDLES: 'open' }, 3_000);
  });
  after(async () => {
    await Promise.all(pools.map((pool) => pool.stop()));
    rmSync(root, { recursive: true, force: true });
  });

  test('a file gives its Dag; nothing of an earlier parse is there for the next one', async () => {
    const mark =
      'import builtins, os\nbuiltins.LEFT = os.environ["LEFT"] = open(os.environ["HOME"] + "/left", "w").name\n';
    const look = `import builtins, os
SEEN = [hasattr(builtins, "LEFT"), "LEFT" in os.environ, os.listdir(os.environ["HOME"])]
if SEEN[:2] != [False, False] or "left" in SEEN[2]: raise ValueError(SEEN)
`;
    equal((await parse(dag('first', mark))).dags.length, 1);
    const second = await parse(dag('second', look));
    deepEqual([second.importError, second.dags.length], [null, 1]);
  });

  test('a file that takes longer than [core] dagbag_import_timeout is an import error with the line that it was at', async () => {
    const { importError, dags } = await parse(dag('slow', 'while True: time.sleep(0.01)\n'));
    equal(dags.length, 0);
    match(String(importError), /Traceback[\s\S]*while True: time\.sleep[\s\S]*DagBag import timeout/);
    equal((await parse(dag('quick', 'time.sleep(0.01)\n'))).importError, null, 'control');
  });

  test('one that does not let itself be interrupted is killed', async () => {
    const deaf = 'import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])\ntime.sleep(600)\n';
    const { importError } = await parse(dag('deaf', deaf));
    match(String(importError), /took longer than 3 s and was stopped/);
  });

  test('one that wants more memory than [sandbox] memory_limit_mb is an import error, and its neighbours go on', async () => {
    const { importError } = await parse(dag('hungry', 'HELD = bytearray(2 * 1024 ** 3)\n'));
    match(String(importError), /Traceback[\s\S]*HELD[\s\S]*MemoryError/);
    equal((await parse(dag('modest', 'HELD = bytearray(1024)\n'))).importError, null, 'control');
  });

  test('one that ends its process is an import error that says how', async () => {
    match(String((await parse(dag('leaves', 'import os\nos._exit(3)\n'))).importError), /status 3/);
    match(String((await parse(dag('dies', 'import os\nos.kill(os.getpid(), 9)\n'))).importError), /SIGKILL/);
    equal((await parse(dag('stays'))).importError, null, 'control');
  });

  test('a parse has no network, but for the bundles that are named', async () => {
    const server = createServer((socket) => socket.end('reached')).listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const ask = `import socket\nsocket.create_connection(("127.0.0.1", ${port}), 5).recv(7)\n`;
    try {
      match(String((await parse(dag('closed', ask))).importError), /PermissionError/);
      equal((await parse(dag('opened', ask), 'open')).importError, null, 'control');
    } finally {
      server.close();
    }
  });

  test('a bundle may have a Python of its own', async () => {
    const other = await parser({ AIRLOCK__PYTHON__INTERPRETERS: 'special=/usr/nowhere/python3' }, 20_000);
    match(String((await other(dag('a'), 'special')).importError), /\/usr\/nowhere\/python3.*there is no Python/);
    equal((await other(dag('b'), 'usual')).importError, null, 'control');
  });

  test('the top level of a file reads variables and connections through its parent, and by the name of its bundle', async () => {
    const text = dag(
      'reads',
      `from airflow.sdk import Connection, Variable
GOT = [Variable.get("region"), Connection.get("db").password]
if GOT != ["from the server", "p"]: raise ValueError(GOT)
`,
    );
    equal((await parse(text)).importError, null);
    deepEqual(asked.splice(0), ['b get_variable region', 'b get_connection db']);
  });

  test('what it may not read is a clear error, what is absent is absent, and a default helps with that only', async () => {
    const get = (name: string) => parse(dag('reads', `from airflow.sdk import Variable\nVariable.get(${name})\n`));
    match(String((await get('"no_403"')).importError), /Access denied for variable 'no_403'/);
    match(String((await get('"no_403", default=1')).importError), /Access denied for variable 'no_403'/);
    match(String((await get('"no_404"')).importError), /VARIABLE_NOT_FOUND|no_404/);
    equal((await get('"no_404", default=1')).importError, null);
    match(String((await get('"no_503"')).importError), /no_503/);
    const connected = dag('reads', 'from airflow.sdk import Connection\nConnection.get("no_403")\n');
    match(String((await parse(connected)).importError), /Access denied for connection 'no_403'/);
    asked.length = 0;
  });

  test("Airflow's own warnings about a Dag come with it", async () => {
    const varying = `from datetime import datetime
from airflow.sdk import DAG
with DAG("varying", schedule=None, start_date=datetime.now()):
    pass
`;
    const { dagWarnings, dags } = await parse(varying);
    equal(dags.length, 1);
    deepEqual(
      dagWarnings?.map((one) => [one.dag_id, one.warning_type]),
      [['varying', 'runtime varying value']],
    );
    match(dagWarnings![0]!.message, /datetime\.now\(\)/);
    const steady = varying.replace('datetime.now()', 'datetime(2026, 1, 1)').replace('"varying"', '"steady"');
    deepEqual((await parse(steady)).dagWarnings, [], 'control');
  });

  test('without a template a file is parsed as well, each by a process that imports Airflow itself', async () => {
    const cold = await parser({ AIRLOCK__PYTHON__TEMPLATE: 'false', AIRLOCK__PYTHON__POOL_SIZE: '0' }, 20_000);
    const { dags, importError } = await cold(dag('cold'));
    deepEqual([importError, dags.length], [null, 1]);
  });

  test('nobody had to go without a template', () => doesNotMatch(said.join(''), /no template/));
});
