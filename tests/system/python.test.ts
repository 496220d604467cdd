/** Python Dags, unmodified, by the real Airflow: parsed and run in the sandbox, as root and as somebody without rights. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { blockedBy } from '../../proc/src/enter.ts';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { importErrorOf, logOf, resultOf, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';
import { zipOf } from '../kit/zip.ts';

const isRoot = process.getuid!() === 0;
/** Has no account, no home and no rights. */
const NOBODY = 1_999_902;

const hello = `"""The words above the Dag."""
from airflow.sdk import dag, task
from airflow.providers.standard.operators.bash import BashOperator
from words import GREETING

@dag(schedule=None, tags=["greeting"], params={"count": 6})
def hello():
    """What it is for."""
    @task
    def one() -> dict:
        import os
        print(GREETING)
        return {"answer": 41, "uid": os.getuid(), "secrets": [n for n in os.environ if "AIRLOCK" in n or "TOKEN" in n]}

    @task
    def two(found: dict) -> int:
        return found["answer"] + 1

    two(one()) >> BashOperator(task_id="sh", bash_command="echo $(({{ params.count }} * 7))")

hello()
`;
/** In a zip archive: what it imports lies beside it there. */
const packed = `from airflow.sdk import dag, task
from inner.words import NAME

@dag(schedule=None)
def packed():
    @task
    def where():
        return [NAME, __file__]
    where()

packed()
`;
/** What a Dag file and a task must not reach; each answer is a word, and \`None\` what was refused. */
const probe = `import os, socket
from airflow.sdk import dag, task

def attempt(action):
    try:
        return action()
    except BaseException as error:
        return None

def look(home):
    return {
        "data": attempt(lambda: os.listdir(home + "/keys")),
        "root": attempt(lambda: open("/etc/shadow").read()),
        "parent": attempt(lambda: open("/proc/%d/environ" % os.getppid(), "rb").read().decode() if "AIRLOCK_" in open("/proc/%d/environ" % os.getppid(), "rb").read().decode() else None),
        "bundle": attempt(lambda: open(__file__, "a").write("#")),
        "mount": attempt(lambda: os.unshare(os.CLONE_NEWUSER)) if hasattr(os, "unshare") else None,
    }

PORT = int(os.environ.get("PROBE_PORT", "0"))
AT_IMPORT = look(HOME)
AT_IMPORT["network"] = attempt(lambda: bool(socket.create_connection(("127.0.0.1", PORT), 2)))
AT_IMPORT["udp"] = attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("127.0.0.1", PORT)) or "sent")

@dag(schedule=None, doc_md=repr(AT_IMPORT))
def probe():
    @task
    def inside() -> dict:
        return {**look(HOME), "network": attempt(lambda: bool(socket.create_connection(("127.0.0.1", PORT), 2))), "own": attempt(lambda: open(os.environ["HOME"] + "/x", "w").write("x"))}
    inside()
probe()
`;

async function whole(airlock: Standalone): Promise<{ uid: number }> {
  const runId = await trigger(airlock, 'hello');
  assert.equal(await runEnd(airlock, 'hello', runId), 'success');
  const at = { dagId: 'hello', runId };
  const tasks = await taskInstances(airlock, 'hello', runId);
  assert.deepEqual(tasks.map((t) => `${t.task_id} ${t.state} ${t.try_number}`).sort(), [
    'one success 1',
    'sh success 1',
    'two success 1',
  ]);
  assert.equal(await resultOf(airlock, { ...at, taskId: 'two' }), 42);
  assert.equal(await resultOf(airlock, { ...at, taskId: 'sh' }), '42');
  const log = await logOf(airlock, { ...at, taskId: 'one' });
  assert.ok(log.some((line) => line.logger === 'task.stdout' && line.event === 'good day'));
  const found = (await resultOf(airlock, { ...at, taskId: 'one' })) as { uid: number; secrets: string[] };
  assert.deepEqual(found.secrets, []);
  return found;
}

describe('Python Dags', { skip: withoutPython }, () => {
  before(() => ensureVenv(findPython()!));
  const env = { AIRLOCK__PYTHON__INTERPRETER: airflowVenv };
  const dags = { 'hello.py': hello, 'words.py': 'GREETING = "good day"\n' };

  test('a Dag with tasks, results and a shell runs to success; its tags, params, text and source are shown', async (t) => {
    await using airlock = await startStandalone({ dags, env });
    const { uid } = await whole(airlock);
    if (isRoot) assert.ok(uid >= 2_000_000, `ran as ${uid}`);
    const dag = await airlock.api<{
      tags: Array<{ name: string }>;
      params: Record<string, { value: unknown }>;
      doc_md: string;
    }>('GET', '/api/v2/dags/hello/details');
    assert.deepEqual(
      dag.tags.map((tag) => tag.name),
      ['greeting'],
    );
    assert.equal(dag.params.count?.value, 6);
    assert.equal(dag.doc_md, 'What it is for.');
    const source = await airlock.api<{ content: string }>('GET', '/api/v2/dagSources/hello');
    assert.equal(source.content, hello);

    await t.test('and so does one in a zip archive, until its module is gone from there', async () => {
      const archive = join(airlock.home, 'dags/packed.zip');
      const words = { name: 'inner/words.py', content: 'NAME = "the archive"\n' };
      const inner = [{ name: 'inner/__init__.py', content: '' }, words];
      const broken = { name: 'broken.py', content: 'from airflow.sdk import dag\nimport nowhere\n' };
      writeFileSync(archive, zipOf([{ name: 'packed.py', content: packed }, ...inner, broken]));
      const runId = await trigger(airlock, 'packed');
      assert.equal(await runEnd(airlock, 'packed', runId), 'success');
      const result = await resultOf(airlock, { dagId: 'packed', runId, taskId: 'where' });
      assert.deepEqual(result, ['the archive', `${archive}/packed.py`]);
      const { relative_fileloc: file } = await airlock.api<{ relative_fileloc: string }>('GET', '/api/v2/dags/packed');
      assert.equal(file, 'packed.zip/packed.py');
      const { content } = await airlock.api<{ content: string }>('GET', '/api/v2/dagSources/packed');
      assert.equal(content, packed);
      assert.match((await importErrorOf(airlock, 'packed.zip/broken.py')).stack_trace, /No module named 'nowhere'/);
      writeFileSync(archive, zipOf(inner));
      await waitFor('the Dag is stale', async () => {
        const { is_stale: isStale } = await airlock.api<{ is_stale: boolean }>('GET', '/api/v2/dags/packed');
        return isStale;
      });
    });
  });

  const reachable = () => blockedBy(realpathSync(join(airflowVenv, 'bin/python')), NOBODY, NOBODY) === null;
  test('the same as a user without rights', { skip: isRoot ? false : 'needs root' }, async (t) => {
    if (!reachable()) return t.skip('the interpreter lies where that user may not go');
    await using airlock = await startStandalone({ dags, env, runAs: NOBODY });
    await whole(airlock);
  });

  test("a file that fails shows Python's traceback, and a TypeScript Dag beside it goes on", async () => {
    const good = `import { dag } from '@airlock/sdk';
export default dag('beside', { schedule: null, startDate: '2026-01-01', paused: false }, (d) => { d.task('t', { run: async () => 1 })(); });`;
    const broken = 'from airflow.sdk import dag\n\ndef inner():\n    return 1 / 0\n\ninner()\n';
    await using airlock = await startStandalone({ dags: { 'broken.py': broken, 'beside.ts': good }, env });
    const { stack_trace: text } = await importErrorOf(airlock, 'broken.py');
    assert.match(text, /^Traceback \(most recent call last\):\n/);
    assert.match(text, /broken\.py", line 4, in inner/);
    assert.match(text, /ZeroDivisionError: division by zero\s*$/);
    const runId = await trigger(airlock, 'beside');
    assert.equal(await runEnd(airlock, 'beside', runId), 'success');
  });

  test('its providers are listed as Airflow lists them, and its plugins, imported without a network', async () => {
    const plugin = `from airflow.plugins_manager import AirflowPlugin
import socket

class Greeter(AirflowPlugin):
    name = "greeter"
    external_views = [{"name": "Docs", "href": "https://example.org", "url_route": "greeter"}]
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        macros = [print]
    except OSError:
        macros = []
`;
    const packages = mkdtempSync(join(tmpdir(), 'airlock-packages-'));
    chmodSync(packages, 0o755);
    mkdirSync(join(packages, 'greeter-1.dist-info'));
    writeFileSync(join(packages, 'greeter_plugin.py'), plugin);
    writeFileSync(join(packages, 'greeter-1.dist-info/METADATA'), 'Metadata-Version: 2.1\nName: greeter\nVersion: 1\n');
    const points = '[airflow.plugins]\ngreeter = greeter_plugin:Greeter\nbroken = greeter_nowhere:Plugin\n';
    writeFileSync(join(packages, 'greeter-1.dist-info/entry_points.txt'), points);
    try {
      const more = { AIRLOCK__PYTHON__ENV: 'PYTHONPATH', PYTHONPATH: packages, AIRLOCK__PYTHON__PATHS: packages };
      await using airlock = await startStandalone({ env: { ...env, ...more } });
      const list = await waitFor(
        'providers',
        async () => {
          const found = await airlock.api<{ providers: Array<Record<string, unknown>> }>('GET', '/api/v2/providers');
          return found.providers.length > 0 ? found.providers : null;
        },
        { timeoutMs: 120_000 },
      );
      const standard = list.find((each) => each.package_name === 'apache-airflow-providers-standard')!;
      const url = `https://airflow.apache.org/docs/${standard.package_name}/${standard.version}`;
      assert.deepEqual([standard.description, standard.documentation_url], ['Airflow Standard Provider', url]);
      const { plugins } = await airlock.api<{ plugins: Array<Record<string, unknown>> }>('GET', '/api/v2/plugins');
      const [greeter] = plugins;
      assert.equal(plugins.length, 1);
      assert.deepEqual([greeter?.name, greeter?.macros], ['greeter', []]);
      const [view] = greeter!.external_views as Array<{ destination: string }>;
      assert.equal(view?.destination, 'nav');
      const errors = await airlock.api<{ import_errors: Array<{ error: string }> }>(
        'GET',
        '/api/v2/plugins/importErrors',
      );
      assert.match(errors.import_errors[0]?.error ?? '', /greeter_nowhere/);
    } finally {
      rmSync(packages, { recursive: true });
    }
  });

  test('a hostile file at import and a hostile task reach no key, no parent, no other file and no network of a parse', async () => {
    // The port of a control that answers everybody: what a parse may not even reach.
    await using other = await startStandalone({});
    const port = new URL(other.url).port;
    const text = probe.replaceAll('HOME)', `"${other.home}")`);
    await using airlock = await startStandalone({
      dags: { 'probe.py': text },
      env: { ...env, AIRLOCK__PYTHON__ENV: 'PROBE_PORT', PROBE_PORT: port },
    });
    const runId = await trigger(airlock, 'probe');
    assert.equal(await runEnd(airlock, 'probe', runId), 'success');
    const inside = (await resultOf(airlock, { dagId: 'probe', runId, taskId: 'inside' })) as Record<string, unknown>;
    const { own, network, ...refused } = inside;
    assert.deepEqual(refused, { data: null, root: null, parent: null, bundle: null, mount: null });
    assert.equal(own, 1, 'control: its own folder is writable');
    assert.equal(network, true, 'control: the port answers who may ask');
    const { doc_md: doc } = await airlock.api<{ doc_md: string }>('GET', '/api/v2/dags/probe/details');
    assert.match(doc, /^\{('\w+': None(, )?)+\}$/);
    const errors = await airlock.api<{ total_entries: number }>('GET', '/api/v2/importErrors');
    assert.equal(errors.total_entries, 0);
  });
});

test('without a Python, a Python file has an import error with a remedy', async () => {
  await using airlock = await startStandalone({
    dags: { 'hello.py': hello },
    env: { AIRLOCK__PYTHON__INTERPRETER: '/nowhere/python' },
  });
  const { stack_trace: text } = await importErrorOf(airlock, 'hello.py');
  assert.match(text, /\/nowhere\/python.*there is no Python/);
  assert.match(text, /Hint: Install Airflow 3 in a virtual environment, and name it by \[python\] interpreter\./);
});
