/** Python Dag files parsed by the real Airflow, one sandboxed child each: what ends a parse, and what it may reach. */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { chmodSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { constants, deflateRawSync } from 'node:zlib';
import { detectTier } from '@airlock/proc/sandbox/index';
import { pino } from 'pino';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import { type ZipEntry, zipOf } from '../../tests/kit/zip.ts';
import type { ParsedFile, ParseReads } from '../src/parse/parse-child.ts';
import { createPythonHosts } from '../src/python/host.ts';
import { makePythonParse } from '../src/python/parse.ts';
import type { PythonPool } from '../src/python/pool.ts';
import { Masker } from '../src/task/mask.ts';
import { testRoleContext } from './kit/role-context.ts';

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
  /** Parses a file of the bundle; `parse` writes it first. */
  let parseAt: (relative: string, bundle?: string) => Promise<ParsedFile>;
  let parse: (text: string, bundle?: string) => Promise<ParsedFile>;
  let files = 0;
  const writing =
    (at: typeof parseAt): typeof parse =>
    (text, bundle) => {
      const relative = `f${files++}.py`;
      writeFileSync(join(root, relative), text);
      return at(relative, bundle);
    };
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
  async function parser(env: Record<string, string>, timeoutMs: number): Promise<typeof parseAt> {
    const log = pino({}, { write: (line: string) => void said.push(line) });
    const ctx = await testRoleContext({ AIRLOCK__PYTHON__INTERPRETER: airflowVenv, ...env }, { log });
    const open = new Set(ctx.config.dag_processor.network_bundles);
    const hosts = createPythonHosts(ctx, (bundle) => (open.has(bundle) ? 'host' : 'none'));
    pools.push(hosts);
    const parseFile = makePythonParse({
      hosts,
      timeoutMs,
      ownUser: tier !== 'none',
      reads,
      newMasker: () => new Masker(5),
    });
    return (relative, bundle = 'b') =>
      parseFile({ bundleName: bundle, root, shownRoot: root, relative }, new AbortController().signal);
  }

  before(async () => {
    ensureVenv(findPython()!);
    chmodSync(root, 0o755);
    const limits = { AIRLOCK__CORE__DAGBAG_IMPORT_TIMEOUT: '3', AIRLOCK__SANDBOX__MEMORY_LIMIT_MB: '1024' };
    parseAt = await parser({ ...limits, AIRLOCK__DAG_PROCESSOR__NETWORK_BUNDLES: 'open' }, 3_000);
    parse = writing(parseAt);
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

  test('what the top level of a file read as a secret shows neither in its import error nor in its output', async () => {
    const read = (name: string) => `from airflow.sdk import Variable
VALUE = Variable.get("${name}")
print("got", VALUE)
raise ValueError("refused " + VALUE)
`;
    const { importError, output } = await parse(dag('blabs', read('my_password')));
    match(String(importError), /ValueError: refused \*\*\*/);
    match(output, /got \*\*\*/);
    doesNotMatch(`${importError}${output}`, /from the server/);
    const open = await parse(dag('tells', read('region')));
    match(`${open.importError}${open.output}`, /refused from the server[\s\S]*got from the server/, 'control');
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
    const other = writing(await parser({ AIRLOCK__PYTHON__INTERPRETERS: 'special=/usr/nowhere/python3' }, 20_000));
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
    asked.length = 0;
    equal((await parse(text)).importError, null);
    deepEqual(asked, ['b get_variable region', 'b get_connection db']);
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
    const cold = writing(await parser({ AIRLOCK__PYTHON__TEMPLATE: 'false', AIRLOCK__PYTHON__POOL_SIZE: '0' }, 20_000));
    const { dags, importError } = await cold(dag('cold'));
    deepEqual([importError, dags.length], [null, 1]);
  });

  describe('in a zip archive', () => {
    const words = { name: 'words.py', content: 'GREETING = "good day"\n' };
    const archive = (name: string, entries: readonly ZipEntry[]) => writeFileSync(join(root, name), zipOf(entries));
    const one = (content: string, name = 'one.py'): ZipEntry => ({ name, content });

    test('each module is a file of its own, and finds its neighbours in the archive and beside it', async () => {
      writeFileSync(join(root, 'beside_archive.py'), 'HERE = 1\n');
      const reads = `from words import GREETING\nfrom pkg.inner import DEEP\nfrom beside_archive import HERE\n`;
      archive('z1.zip', [
        one(dag('zipped_one', reads)),
        one(dag('zipped_two'), 'two.py'),
        words,
        { name: 'pkg/__init__.py', content: '' },
        { name: 'pkg/inner.py', content: 'DEEP = 1\n' },
      ]);
      const { dags, importError, inputs } = await parseAt('z1.zip/one.py');
      equal(importError, null);
      const [found] = dags as Array<{ dag: { dag_id: string; fileloc: string } }>;
      deepEqual([dags.length, found?.dag.dag_id], [1, 'zipped_one']);
      equal(found?.dag.fileloc, join(root, 'z1.zip/one.py'));
      ok(inputs.includes('beside_archive.py') && inputs.includes('z1.zip/words.py'), inputs.join());
      deepEqual((await parseAt('z1.zip/two.py')).dags.length, 1);
      const helper = await parseAt('z1.zip/words.py');
      deepEqual([helper.dags, helper.importError], [[], null]);
    });

    test('one that fails has its traceback, and says nothing of its neighbours', async () => {
      archive('z2.zip', [one('from airflow.sdk import dag\n1 / 0\n', 'broken.py'), one(dag('whole'))]);
      match(String((await parseAt('z2.zip/broken.py')).importError), /broken\.py", line 2[\s\S]*ZeroDivisionError/);
      const { dags, importError } = await parseAt('z2.zip/one.py');
      deepEqual([dags.length, importError], [1, null]);
    });

    test('what unpacks to more than memory, or takes too long, is an import error, and its neighbours go on', async () => {
      const spaces = deflateRawSync(Buffer.alloc(64 * 1024 * 1024, ' '), { finishFlush: constants.Z_FULL_FLUSH });
      const empty = deflateRawSync(Buffer.alloc(0));
      const bomb = { name: 'bomb.py', content: '', packed: Buffer.concat([...Array(24).fill(spaces), empty]) };
      archive('z3.zip', [one(dag('bombed', 'import bomb\n')), bomb, one(dag('spared'), 'two.py')]);
      match(
        String((await parseAt('z3.zip/one.py')).importError),
        /MemoryError|can't decompress|ended with|took longer/,
        'a slow machine is stopped first',
      );
      equal((await parseAt('z3.zip/two.py')).importError, null, 'control');
      archive('z4.zip', [one(dag('slow', 'while True: time.sleep(0.01)\n'))]);
      match(String((await parseAt('z4.zip/one.py')).importError), /took longer than 3 s/);
    });

    test('nothing is imported by a name that leads out, and an archive that can not be read is an error with a remedy', async () => {
      archive('z5.zip', [one('open("/tmp/out", "w")', '../up.py'), one(dag('inside'))]);
      for (const name of ['z5.zip/../up.py', 'z5.zip/up.py', 'z5.zip/gone.py', 'gone.zip/one.py'])
        deepEqual((await parseAt(name)).dags, [], name);
      equal((await parseAt('z5.zip/one.py')).dags.length, 1, 'control');
      const bad = zipOf([one(dag('x'))]);
      bad.writeUInt16LE(0xffff, bad.length - 12);
      writeFileSync(join(root, 'z7.zip'), bad);
      match(String((await parseAt('z7.zip')).importError), /^z7\.zip: The (?:archive|directory)/);
    });

    test('a module that can not be unpacked is an import error, and its neighbour goes on', async () => {
      const good = one(dag('unpacked'), 'good.py');
      const size = 4 * 1024 * 1024;
      for (const [bad, reason] of [
        [{ ...one(dag('a')), method: 98 }, /The module can not be unpacked/],
        [{ ...one(dag('a')), packed: Buffer.from('what?') }, /The module can not be unpacked/],
        [{ ...one(dag('a')), declaredBytes: 100_000 }, /The module can not be unpacked/],
        // A thousand times what it is packed to, and not what is declared.
        [{ ...one(''), packed: deflateRawSync(Buffer.alloc(8 * size, ' ')) }, /more than 4 MiB/],
        [one(`${dag('a')}#${' '.repeat(size)}`), /more than 4 MiB/],
      ] as const) {
        archive('z6.zip', [bad, good]);
        const { importError, dags } = await parseAt('z6.zip/one.py');
        match(String(importError), reason);
        match(String(importError), /^z6\.zip\/one\.py: The module .*\nHint: Pack/);
        equal(dags.length, 0);
      }
      archive('z6.zip', [{ ...one(dag('a')), encrypted: true }, good]);
      match(String((await parseAt('z6.zip/one.py')).importError), /encrypted/);
      equal((await parseAt('z6.zip/good.py')).importError, null, 'control');
      archive('z6.zip', [one(`${dag('large')}#${' '.repeat(size - 1000)}`)]);
      equal((await parseAt('z6.zip/one.py')).importError, null, 'control: just as large as allowed');
    });

    test('the source that is shown is what was there before the module could say anything', async () => {
      const liar = dag('liar', 'import __main__\n__main__.send({"type": "source", "text": "harmless"})\n');
      archive('z9.zip', [one(liar)]);
      const { importError, source } = await parseAt('z9.zip/one.py');
      deepEqual([importError, source], [null, liar]);
    });

    test('an archive that only its owner may read is an error that says so', async (t) => {
      if (process.getuid?.() !== 0) return t.skip('needs root');
      archive('z8.zip', [one(dag('closed'))]);
      chmodSync(join(root, 'z8.zip'), 0o600);
      match(String((await parseAt('z8.zip/one.py')).importError), /z8\.zip may not be read by other users/);
      chmodSync(join(root, 'z8.zip'), 0o644);
      equal((await parseAt('z8.zip/one.py')).importError, null, 'control');
    });
  });

  test('nobody had to go without a template', () => doesNotMatch(said.join(''), /no template/));
});
