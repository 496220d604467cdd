/** Python tasks of every behaviour, by the real Task SDK: how each ends, what its log says, and what it can not do. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { logOf, resultOf, runEnd, taskInstances, triesOf, trigger } from '../kit/api.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';

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

    raises(), again(), kills_itself(), kills_its_supervisor(), leaves_quietly(), leaves_a_process(), steals(), prints_a_secret()

behaves()
`;

describe('Python tasks', { skip: withoutPython }, () => {
  let airlock: Standalone;
  let runId: string;
  const states = new Map<string, string | null>();
  const at = (taskId: string) => ({ dagId: 'behaves', runId, taskId });
  const eventsOf = async (taskId: string, tryNumber = 1) =>
    (await logOf(airlock, { ...at(taskId), tryNumber })).map((line) => line.event).join('\n');

  before(async () => {
    ensureVenv(findPython()!);
    // The address of the server is known only when it runs: the file comes after it.
    airlock = await startStandalone({
      env: { AIRLOCK__PYTHON__INTERPRETER: airflowVenv, AIRLOCK__CORE__TASK_SUCCESS_OVERTIME: '2' },
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
  after(() => airlock?.stop());

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
});
