/** Python tasks of every behaviour, by the real Task SDK: how each ends, what its log says, and what it can not do. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { logOf, resultOf, runEnd, taskInstances, triesOf, trigger } from '../kit/api.ts';
import { installHandler, LOGGING_CONFIG_CLASS, type LogStore, startLogStore } from '../kit/remote-logs.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';

const text = `
import os, signal, subprocess, sys, time, urllib.request, urllib.error
from datetime import timedelta
from airflow.sdk import Variable, dag, task

def ask(base, token):
    request = urllib.request.Request(base + "variables/plain", headers={"Authorization": "Bearer " + token})
    try:
        return urllib.request.urlopen(request, timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code

@dag(schedule=None)
def behaves():
    @task
    def raises():
        raise ValueError("no such day")

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def again(ti=None):
        if ti.try_number == 1:
            raise RuntimeError("busy")
        return ti.try_number

    @task
    def kills_itself():
        os.kill(os.getpid(), signal.SIGKILL)

    @task
    def kills_its_supervisor():
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(60)

    @task
    def leaves_quietly():
        os._exit(0)

    @task
    def leaves_a_process():
        subprocess.Popen(["sleep", "987654"], start_new_session=True)
        return "left"

    @task
    def steals():
        # A fork has all that its parent had: here the order that the host was given, in a frame below.
        token, frame = None, sys._getframe()
        while frame is not None:
            order = frame.f_locals.get("order")
            token = order["workload"]["token"] if isinstance(order, dict) and "workload" in order else token
            frame = frame.f_back
        relay = os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
        return {"found": bool(token), "relay": ask(relay, token), "server": ask("@ORIGIN@/execution/", token), "other": ask(relay, "x" * 43)}

    @task
    def prints_a_secret():
        print("it is " + Variable.get("api_token"))

    @task
    def is_not_stored_elsewhere():
        print("the other store is broken")

    raises(), again(), kills_itself(), kills_its_supervisor(), leaves_quietly(), leaves_a_process(), steals(), prints_a_secret(), is_not_stored_elsewhere()

behaves()
`;

describe('Python tasks', { skip: withoutPython }, () => {
  let airlock: Standalone;
  let runId: string;
  let store: LogStore;
  const packages = tempHome();
  const states = new Map<string, string | null>();
  const at = (taskId: string) => ({ dagId: 'behaves', runId, taskId });
  const eventsOf = async (taskId: string, tryNumber = 1) =>
    (await logOf(airlock, { ...at(taskId), tryNumber })).map((line) => line.event).join('\n');

  before(async () => {
    ensureVenv(findPython()!);
    installHandler(packages.path);
    store = await startLogStore((path) => path.includes('is_not_stored_elsewhere'));
    const handedOn = {
      PYTHONPATH: packages.path,
      AIRFLOW__LOGGING__REMOTE_LOGGING: 'True',
      AIRFLOW__LOGGING__REMOTE_BASE_LOG_FOLDER: `loopback://${store.address}`,
      AIRFLOW__LOGGING__REMOTE_LOG_CONN_ID: 'log_store',
      AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS: LOGGING_CONFIG_CLASS,
    };
    // The address of the server is known only when it runs: the file comes after it.
    airlock = await startStandalone({
      env: {
        AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
        AIRLOCK__CORE__TASK_SUCCESS_OVERTIME: '2',
        AIRLOCK__PYTHON__PATHS: packages.path,
        AIRLOCK__PYTHON__ENV: Object.keys(handedOn).join(','),
        ...handedOn,
        // In the environment of the worker, but not named.
        AIRFLOW__LOGGING__DELETE_LOCAL_LOGS: 'True',
        NOT_NAMED: 'canary',
      },
    });
    await airlock.api('POST', '/api/v2/connections', {
      connection_id: 'log_store',
      conn_type: 'http',
      password: 'opens-the-log-store',
    });
    writeFileSync(`${airlock.home}/dags/behaves.py`, text.replace('@ORIGIN@', airlock.url));
    for (const [key, value] of [
      ['plain', 'v'],
      ['api_token', 'open-sesame-1234'],
    ])
      await airlock.api('POST', '/api/v2/variables', { key, value });
    runId = await trigger(airlock, 'behaves');
    assert.equal(await runEnd(airlock, 'behaves', runId, 280_000), 'failed');
    for (const task of await taskInstances(airlock, 'behaves', runId)) states.set(task.task_id, task.state);
  });
  after(async () => {
    await airlock?.stop();
    store?.[Symbol.dispose]();
    packages[Symbol.dispose]();
  });

  test('one that raises ends as failed, with the exception in its log', async () => {
    assert.equal(states.get('raises'), 'failed');
    const lines = (await logOf(airlock, at('raises'))) as Array<{ event: string; error_detail?: unknown }>;
    assert.match(JSON.stringify(lines), /ValueError.*no such day/);
  });

  test('one with a retry left is tried again', async () => {
    assert.equal(states.get('again'), 'success');
    assert.equal(await resultOf(airlock, at('again')), 2);
    assert.equal((await triesOf(airlock, at('again'))).length, 2);
  });

  test('one that kills its process, or the SDK above it, or leaves without a word, ends as failed', async () => {
    assert.equal(states.get('kills_itself'), 'failed');
    assert.equal(states.get('kills_its_supervisor'), 'failed');
    assert.match(await eventsOf('kills_its_supervisor'), /killed by SIGKILL before the task had a result/);
    assert.equal(states.get('leaves_quietly'), 'failed');
    assert.match(await eventsOf('leaves_quietly'), /ended with status 0 before the task had a result/);
  });

  test('one that leaves a process behind ends as it said, when the overtime is over, and the process is gone', async () => {
    assert.equal(states.get('leaves_a_process'), 'success');
    assert.equal(await resultOf(airlock, at('leaves_a_process')), 'left');
    const all = execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' });
    assert.doesNotMatch(all, /sleep 987654/);
  });

  test('the bearer that a task finds opens its relay, and nothing at the server', async () => {
    assert.equal(states.get('steals'), 'success', JSON.stringify(await logOf(airlock, at('steals'))).slice(-6000));
    assert.deepEqual(await resultOf(airlock, at('steals')), { found: true, relay: 200, server: 403, other: 401 });
  });

  test('a secret that passed through the relay does not show in the log', async () => {
    assert.equal(states.get('prints_a_secret'), 'success');
    const events = await eventsOf('prints_a_secret');
    assert.match(events, /it is \*\*\*/);
    assert.doesNotMatch(JSON.stringify(await logOf(airlock, at('prints_a_secret'))), /open-sesame/);
  });

  describe('with the remote logging of their SDK', () => {
    const path = (taskId: string, tryNumber = 1) =>
      `dag_id=behaves/run_id=${runId}/task_id=${taskId}/attempt=${tryNumber}.log`;

    test('each try’s log is uploaded under the name that it has on Airflow, by the connection that the options name', () => {
      assert.match(store.uploads.get(path('raises'))?.text ?? '', /no such day/);
      for (const tryNumber of [1, 2])
        assert.equal(store.uploads.get(path('again', tryNumber))?.password, 'opens-the-log-store');
      assert.match(store.uploads.get(path('kills_itself'))?.text ?? '', /signal/);
    });

    test('what was masked here is masked there, and the password of the store is in no log', async () => {
      const { text: uploaded } = store.uploads.get(path('prints_a_secret'))!;
      assert.match(uploaded, /it is \*\*\*/);
      assert.doesNotMatch([...store.uploads.values()].map((each) => each.text).join(), /open-sesame|opens-the-log/);
      for (const taskId of states.keys()) assert.doesNotMatch(await eventsOf(taskId), /opens-the-log-store/);
    });

    test('the process that uploads has the options that [python] env names, and no other variable of the worker', () => {
      const names = new Set([...store.uploads.values()].flatMap((each) => each.environment));
      for (const name of ['REMOTE_LOGGING', 'REMOTE_BASE_LOG_FOLDER', 'REMOTE_LOG_CONN_ID', 'LOGGING_CONFIG_CLASS'])
        assert.ok(names.has(`AIRFLOW__LOGGING__${name}`), name);
      const others = [...names].filter((name) => /NOT_NAMED|DELETE_LOCAL|AIRLOCK|PASSWORD|TOKEN/.test(name));
      assert.deepEqual(others, []);
    });

    test('a store that fails fails no task, and the log that is kept here says so', async () => {
      assert.equal(states.get('is_not_stored_elsewhere'), 'success');
      assert.equal(store.uploads.has(path('is_not_stored_elsewhere')), false);
      assert.match(
        await eventsOf('is_not_stored_elsewhere'),
        /the other store is broken[\s\S]*Failed to upload remote logs: HTTPError: .*500/,
      );
    });

    test('a try that was killed from outside of the SDK has its log here, and nowhere else', async () => {
      assert.equal(store.uploads.has(path('kills_its_supervisor')), false);
      assert.match(await eventsOf('kills_its_supervisor'), /killed by SIGKILL/);
    });
  });
});
