/** Callbacks that the server starts, whole: of Dags and of tasks whose process was killed, in TypeScript and in Python. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { runEnd, runPath, trigger } from '../kit/api.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

type Callback = {
  kind: string;
  event: string;
  state: string;
  reason: string;
  task_id: string;
  message: string | null;
  output: string | null;
};

/** The callbacks of an ended run, once all of them have ended too. */
async function callbacksOf(airlock: Standalone, dagId: string, runId: string, count: number): Promise<Callback[]> {
  const read = async () =>
    (await airlock.api<{ callbacks: Callback[] }>('GET', `${runPath(dagId, runId)}/callbacks`)).callbacks;
  const ended = async () => {
    const found = await read();
    return found.length >= count && found.every(({ state }) => state === 'success' || state === 'failed')
      ? found
      : null;
  };
  return waitFor(`${count} ended callbacks of ${dagId}`, ended, { timeoutMs: 120_000 }).catch(async (cause: Error) => {
    throw new Error(`${cause.message}: ${JSON.stringify(await read())}`, { cause });
  });
}

const typescript = `
import { callback, dag, result, variable } from '@airlock/sdk';
export default dag('told', {
  schedule: null,
  onSuccess: ({ reason }) => console.log('ended with', reason),
  onFailure: callback({
    needs: { channel: variable('channel'), rows: result('works'), lost: result('dies') },
    run: ({ needs, reason, task }) => console.log('TELL', needs.channel, reason, task.taskId, needs.rows, needs.lost),
  }),
}, (d) => {
  d.task('works', { run: () => 1 })();
  d.task('dies', {
    run: async (_, { params }) => { process.kill(process.pid, 'SIGKILL'); await new Promise(() => {}); },
    onFailure: ({ task }, error) => console.log('LOST', task.taskId, error.message),
  })();
});`;

const python = `
import os, signal
from airflow.sdk import BaseNotifier, Variable, dag, task

def tell(context):
    left = context["ti"].xcom_pull(task_ids="works")
    print("TELL", Variable.get("channel"), context["reason"], context["ti"].task_id, context["dag_run"].run_id, left)

def break_down(context):
    raise RuntimeError("no such room")

class Notifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        print("NOTIFIED", self.text)

def lost(context):
    print("LOST", context["ti"].task_id, context["ti"].try_number)

@dag(schedule=None, on_failure_callback=[tell, Notifier(text="of {{ dag.dag_id }}"), break_down])
def told_python():
    @task(on_failure_callback=lost)
    def kills_its_supervisor():
        os.kill(os.getppid(), signal.SIGKILL)
        signal.pause()

    @task
    def works():
        return {"rows": 3}

    works() >> kills_its_supervisor()

told_python()
`;

async function withChannel(airlock: Standalone): Promise<void> {
  await airlock.api('POST', '/api/v2/variables', { key: 'channel', value: 'ops-room' });
}

test('a TypeScript Dag hears of the end of its run, and a task of the end that its process did not see', async () => {
  await using airlock = await startStandalone({ dags: { 'told.ts': typescript } });
  await withChannel(airlock);
  const runId = await trigger(airlock, 'told');
  assert.equal(await runEnd(airlock, 'told', runId), 'failed');
  const found = await callbacksOf(airlock, 'told', runId, 2);
  assert.deepEqual(
    found.map(({ kind, event, state, task_id }) => [kind, event, state, task_id]),
    [
      ['task', 'failure', 'success', 'dies'],
      ['dag', 'failure', 'success', 'dies'],
    ],
    JSON.stringify(found),
  );
  assert.match(found[0]!.output ?? '', /LOST dies .*killed by SIGKILL/);
  assert.match(found[1]!.output ?? '', /TELL ops-room task_failure dies 1 undefined/);
});

describe('a Python Dag', { skip: withoutPython }, () => {
  let airlock: Standalone;
  before(async () => {
    ensureVenv(findPython()!);
    airlock = await startStandalone({
      dags: { 'told.py': python },
      env: { AIRLOCK__PYTHON__INTERPRETER: airflowVenv },
    });
    await withChannel(airlock);
  });
  after(() => airlock?.stop());

  test('its callbacks and notifiers run by Airflow’s own code, with what Airflow gives them; one that raises is shown as failed', async () => {
    const runId = await trigger(airlock, 'told_python');
    assert.equal(await runEnd(airlock, 'told_python', runId, 240_000), 'failed');
    const found = await callbacksOf(airlock, 'told_python', runId, 2);
    assert.deepEqual(
      found.map(({ kind, event, state }) => [kind, event, state]),
      [
        ['task', 'failure', 'success'],
        ['dag', 'failure', 'failed'],
      ],
      JSON.stringify(found),
    );
    assert.match(found[0]!.output ?? '', /LOST kills_its_supervisor 1/);
    const output = found[1]!.output ?? '';
    assert.match(
      output,
      new RegExp(`TELL ops-room task_failure kills_its_supervisor ${runId.replaceAll(/[+.]/g, '.')} \\{'rows': 3\\}`),
    );
    assert.match(output, /NOTIFIED of told_python/);
    assert.match(found[1]!.message ?? '', /RuntimeError: no such room/);
  });
});
