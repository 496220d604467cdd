/**
 * Hostile Python on a whole Airlock that runs as somebody without rights: at the import of a Dag file and in a task, against
 * the parts of the installation, a task beside it and the data folder. There is one user id for all of them, so the sandbox
 * alone stands between. Every probe has its control: the same code as the same user with nothing around it.
 */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { blockedBy } from '../../proc/src/enter.ts';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { logOf, resultOf, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { allProcesses, descendantsOf, kill9, partsBelow } from '../kit/processes.ts';
import { repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

/** Has no account, no home and no rights. */
const NOBODY = 1_999_903;
const isRoot = process.getuid!() === 0;
const probesFile = join(repositoryRoot, 'supervisor/test/kit/probes.py');
const NONE_THERE = ['token in own environment', 'token in own memory'];
/** Seconds that daemons sleep, by which they are found. */
const AT_IMPORT = '4712.25';
const IN_TASK = '4713.25';

const sibling = `from airflow.sdk import Variable, dag, task
import os, time

@dag(schedule=None)
def sibling():
    @task
    def waits():
        with open(os.environ["HOME"] + "/loot", "w") as file:
            file.write("WORK CANARY")
        print("HOME", os.environ["HOME"], "RELAY", os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"])
        while Variable.get("go", default=None) is None:
            time.sleep(0.5)
    waits()

sibling()
`;
/** Ends with the probes' text above it. Its Dag carries what the import got; its task gives what a task gets. */
const hostile = `
import subprocess, urllib.error, urllib.request
from airflow.sdk import dag, task

def daemons(seconds):
    subprocess.Popen(["setsid", "sh", "-c", "(setsid sleep " + seconds + " &); sleep " + seconds + " & exec sleep " + seconds], start_new_session=True)

def ask(url, bearer):
    request = urllib.request.Request(url + "variables/go", headers={"Authorization": "Bearer " + bearer})
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code

def own_bearer():
    frame = sys._getframe()
    while frame is not None:
        order = frame.f_locals.get("order")
        if isinstance(order, dict) and "workload" in order:
            return order["workload"]["token"]
        frame = frame.f_back

daemons("${AT_IMPORT}")

@dag(schedule=None, doc_md=json.dumps({"loot": run(FACTS), "network": network(FACTS)}))
def hostile():
    @task
    def inside():
        got = {"loot": run(FACTS), "network": network(FACTS), "sibling": ask(FACTS["relay"], own_bearer())}
        got["own"] = ask(os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"], own_bearer())
        daemons("${IN_TASK}")
        return got
    inside()

hostile()
`;

/** One that this user may run, without its packages. */
const python = join(airflowVenv, 'bin/python');

type Loot = Record<string, string>;
type Got = { readonly loot: Loot; readonly network: Loot };

const sleeping = (seconds: string) => allProcesses().filter(({ command }) => command.includes(`sleep ${seconds}`));
/** Any file below a folder. */
function fileIn(folder: string): string {
  const found = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name))
    .find((path) => statSync(path).isFile());
  ok(found, `nothing is in ${folder}`);
  return found;
}
/** A program as the user that Airlock runs as. */
const asUser = (...command: string[]): [string, string[]] =>
  isRoot
    ? ['setpriv', [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--', ...command]]
    : [command[0]!, command.slice(1)];

const unreachable = () => isRoot && blockedBy(realpathSync(join(airflowVenv, 'bin/python')), NOBODY, NOBODY) !== null;

describe('hostile Python on an Airlock of somebody without rights', { skip: withoutPython }, () => {
  let airlock: Standalone;
  let atImport: Got;
  let inTask: Got & { readonly sibling: number; readonly own: number };
  let unprotected: Got;
  let skipped = false;
  const undo: Array<() => unknown> = [];
  const dispose = (one: () => unknown) => undo.unshift(one);

  before(async () => {
    ensureVenv(findPython()!);
    skipped = unreachable();
    if (skipped) return;
    airlock = await startStandalone({
      dags: { 'sibling.py': sibling },
      env: { AIRLOCK__PYTHON__INTERPRETER: airflowVenv, AIRLOCK__CORE__TASK_SUCCESS_OVERTIME: '2' },
      ...(isRoot ? { runAs: NOBODY } : {}),
    });
    dispose(() => airlock.stop());
    const decoy = spawn(...asUser(python, '-c', 'import time; time.sleep(600)'), { stdio: 'ignore' });
    dispose(() => decoy.kill('SIGKILL'));
    await waitFor('the decoy', () =>
      allProcesses().some((one) => one.pid === decoy.pid && one.command.includes('sleep(600)')),
    );
    const abstract = `airlock-python-isolation-${process.pid}`;
    const open = createServer((socket) => socket.on('error', () => undefined).end('CANARY')).listen(`\0${abstract}`);
    const web = createServer((socket) => socket.on('error', () => undefined).end('CANARY')).listen(0, '127.0.0.1');
    await new Promise((resolve) => web.once('listening', resolve));
    dispose(() => [open, web].map((server) => server.close()));

    if (isRoot) chownSync(join(airlock.home, 'dags/sibling.py'), NOBODY, NOBODY);

    // A task of the same user that runs beside the hostile one.
    const besides = await trigger(airlock, 'sibling');
    const said = await waitFor(
      'the sibling speaks',
      async () => {
        const lines = await logOf(airlock, { dagId: 'sibling', runId: besides, taskId: 'waits' });
        return lines.map((line) => /^HOME (\S+) RELAY (\S+)$/.exec(line.event)).find((found) => found !== null);
      },
      { timeoutMs: 120_000 },
    );
    const [task] = (await taskInstances(airlock, 'sibling', besides)) as unknown as Array<{ id: string }>;
    const below = descendantsOf(airlock.pid);
    const named = (text: string) => below.find(({ command }) => command.includes(text))?.pid;
    const part = (name: Parameters<typeof partsBelow>[1]) => partsBelow(airlock.pid, name)[0]!.pid;
    const template = named('airlock_host.py template');
    const processes: Record<string, number> = {
      standalone: airlock.pid,
      supervisor: part('supervisor'),
      control: part('control'),
      'token service': part('token-service'),
      postgres: part('postgres'),
      sibling: named(`airflow worker -- ${task!.id}`)!,
      "sibling's SDK": named(`airflow supervisor: ${task!.id}`)!,
      decoy: decoy.pid!,
      ...(template === undefined ? {} : { template }),
    };
    ok(
      Object.values(processes).every((pid) => pid > 0),
      JSON.stringify(processes),
    );
    const key = fileIn(join(airlock.home, 'keys'));
    const facts = {
      processes,
      files: {
        'signing key': key,
        'signing key, relative': `/proc/self/cwd/../../../..${key}`,
        'database files': join(airlock.home, 'postgres/data/PG_VERSION'),
        logs: fileIn(join(airlock.home, 'logs')),
        "sibling's work folder": `${said[1]}/loot`,
      },
      folders: { keys: join(airlock.home, 'keys'), database: join(airlock.home, 'postgres') },
      sockets: { database: join(airlock.home, 'run/postgres/.s.PGSQL.5432') },
      written: { bundle: join(airlock.home, 'dags/sibling.py'), logs: fileIn(join(airlock.home, 'logs')) },
      abstract,
      port: (web.address() as { port: number }).port,
      relay: said[2]!,
    };
    const text = `${readFileSync(probesFile, 'utf8')}\nFACTS = json.loads(${JSON.stringify(JSON.stringify(facts))})\n${hostile}`;
    writeFileSync(join(airlock.home, 'dags/hostile.py'), text);
    const runId = await trigger(airlock, 'hostile');
    equal(await runEnd(airlock, 'hostile', runId, 200_000), 'success');
    const { doc_md: doc } = await airlock.api<{ doc_md: string }>('GET', '/api/v2/dags/hostile/details');
    atImport = JSON.parse(doc) as Got;
    inTask = (await resultOf(airlock, { dagId: 'hostile', runId, taskId: 'inside' })) as typeof inTask;

    const planted = join(airlock.home, 'control-loot');
    writeFileSync(planted, 'WORK CANARY', { mode: 0o600 });
    if (isRoot) chownSync(planted, NOBODY, NOBODY);
    const facing = {
      ...facts,
      processes: Object.fromEntries(Object.keys(processes).map((who) => [who, decoy.pid!])),
      files: { ...facts.files, "sibling's work folder": planted },
    };
    const [program, args] = asUser(python, probesFile, JSON.stringify(facing));
    const env = { PATH: process.env.PATH ?? '/usr/bin:/bin', AIRLOCK_CANARY: 'x' };
    unprotected = JSON.parse(execFileSync(program, args, { encoding: 'utf8', env, cwd: airlock.home })) as Got;
    await airlock.api('POST', '/api/v2/variables', { key: 'go', value: 'yes' });
    equal(await runEnd(airlock, 'sibling', besides), 'success', 'what ran beside it has not noticed');
  });
  after(async () => {
    for (const one of undo) await one();
  });

  for (const [where, got] of [
    ['at the import of a Dag file', () => atImport],
    ['in a task', () => inTask],
  ] as const)
    test(`${where}: it gets nothing`, async (t) => {
      if (skipped) return t.skip('the interpreter lies where that user may not go');
      const { loot } = got();
      const probes = Object.keys(loot);
      ok(probes.length >= 75, `a probe that did not run proves nothing: ${probes.length}`);
      deepEqual(probes.sort(), Object.keys(unprotected.loot).sort());
      for (const [probe, found] of Object.entries(loot)) {
        await t.test(`refused: ${probe}`, () => {
          match(found, /^refused/);
          if (NONE_THERE.includes(probe)) match(found, /none there$/);
        });
        await t.test(`control: ${probe}`, () => doesNotMatch(unprotected.loot[probe]!, /^refused/));
      }
    });

  test('an import has no network; a task has that of its host', (t) => {
    if (skipped) return t.skip('the interpreter lies where that user may not go');
    deepEqual(atImport.network, { tcp: 'refused: PermissionError', udp: 'refused: PermissionError' });
    deepEqual(unprotected.network, { tcp: 'connected', udp: 'sent 1' });
    deepEqual(inTask.network, unprotected.network);
  });

  test('the bearer of a task opens its own relay, and not that of the task beside it', (t) => {
    if (skipped) return t.skip('the interpreter lies where that user may not go');
    // 404: it may ask, and the variable is not there yet.
    deepEqual({ own: inTask.own, sibling: inTask.sibling }, { own: 404, sibling: 401 });
  });

  test('what they leave behind ends with them', async (t) => {
    if (skipped) return t.skip('the interpreter lies where that user may not go');
    await waitFor('no daemon of the import is left', () => sleeping(AT_IMPORT).length === 0);
    await waitFor('no daemon of the task is left', () => sleeping(IN_TASK).length === 0);
    const control = spawn(...asUser('sh', '-c', '(setsid sleep 4714.25 &); setsid sleep 4714.25 & exit'), {
      stdio: 'ignore',
    });
    await new Promise((resolve) => control.once('exit', resolve));
    const left = await waitFor(
      'the daemons of nobody’s sandbox',
      () => sleeping('4714.25').length >= 2 && sleeping('4714.25'),
    );
    for (const { pid } of left || []) kill9(pid);
  });
});
