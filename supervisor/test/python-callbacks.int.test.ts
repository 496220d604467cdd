/** Callbacks of Python Dags in their sandbox, by the real Airflow: what each is given, what it may ask for, how it ends. */
import { deepEqual, doesNotMatch, equal, match } from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../../tests/kit/airflow-venv.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { zipOf } from '../../tests/kit/zip.ts';
import type { FakeCallback } from './kit/fake-server.ts';
import { startTestWorker, type TestWorker } from './kit/worker.ts';

const text = `
from airflow.sdk import BaseNotifier, Variable, dag, task

def tell(context):
    print("TELL", Variable.get("channel"), context["reason"], context["ti"].task_id, context["dag_run"].run_id)

class Notifier(BaseNotifier):
    template_fields = ("text",)

    def __init__(self, text):
        super().__init__()
        self.text = text

    def notify(self, context):
        print("NOTIFIED", self.text)

def break_down(context):
    raise RuntimeError("no such room")

def lost(context):
    print("LOST", context["ti"].task_id, context["ti"].try_number)

async def alert(room, context):
    print("ALERT", room, context["deadline"]["name"])

class Called:
    def __init__(self, room):
        self.room = room

    def __call__(self, *, context):
        print("CALLED", self.room, context["deadline"]["name"], context["dag_run"]["dag_id"])

class Unasking(Called):
    def __call__(self, room=None):
        print("CALLED", self.room, room)

def asks_for_more():
    Variable.get("not_mine")

def pulls(context):
    ti = context["ti"]
    print("PULLED", ti.xcom_pull(task_ids="t"), ti.xcom_pull(task_ids="each"), ti.xcom_pull(task_ids="gone"))
    print("ALONE", ti.xcom_pull(task_ids="t", map_indexes=-1), bool(context["prev_start_date_success"]))

def pulls_of_others(context):
    context["ti"].xcom_pull(task_ids="t", run_id="another")

def pushes(context):
    context["ti"].xcom_push(key="k", value=1)

@dag(schedule=None, on_failure_callback=[tell, Notifier(text="of {{ dag.dag_id }}: {{ ti.xcom_pull(task_ids='t') }}"), pulls], on_success_callback=break_down)
def d():
    @task(on_failure_callback=[lost, pulls], on_retry_callback=[pulls_of_others, pushes])
    def t():
        pass

    t()

d()
`;

const ID = '0190f5e3-0000-7000-8000-000000000009';
const TI = {
  id: ID,
  task_id: 't',
  map_index: -1,
  try_number: 2,
  max_tries: 3,
  dag_version_id: ID,
  queue: 'default',
  hostname: 'h',
  state: 'failed',
  start_date: '2026-01-01T00:00:00Z',
  end_date: null,
};
const RUN = {
  dag_id: 'd',
  run_id: 'manual__2026-01-01T00:00:00+00:00',
  logical_date: null,
  data_interval_start: null,
  data_interval_end: null,
  run_after: '2026-01-01T00:00:00Z',
  start_date: '2026-01-01T00:00:00Z',
  end_date: null,
  clear_number: 0,
  run_type: 'manual',
  state: 'failed',
  conf: {},
  triggering_user_name: null,
  consumed_asset_events: [],
  partition_key: null,
  partition_date: null,
  note: null,
  team_name: null,
};

describe('callbacks of a Python Dag', { skip: withoutPython }, () => {
  let worker: TestWorker;
  const bundlePath = mkdtempSync(join(tmpdir(), 'airlock-bundle-'));
  before(async () => {
    ensureVenv(findPython()!);
    chmodSync(bundlePath, 0o755);
    writeFileSync(join(bundlePath, 'd.py'), text);
    writeFileSync(join(bundlePath, 'packed.zip'), zipOf([{ name: 'inside.py', content: text }]));
    worker = await startTestWorker({ AIRLOCK__PYTHON__INTERPRETER: airflowVenv, AIRLOCK__PYTHON__POOL_SIZE: '0' });
    worker.server.variables.set('channel', 'ops-room');
    worker.server.xcoms.set(`/xcoms/d/${RUN.run_id}/t/return_value`, { rows: 3 });
    worker.server.xcoms.set(`/xcoms/d/${RUN.run_id}/each/return_value`, [1, 2]);
  });
  after(async () => {
    await worker?.[Symbol.asyncDispose]();
    rmSync(bundlePath, { recursive: true, force: true });
  });

  const run = async (order: FakeCallback['order'], file?: string, more: Partial<FakeCallback> = {}) => {
    const id = randomUUID();
    const about = { dag_run: RUN, ti: TI, ...order };
    worker.server.addCallback({ id, module: '', bundlePath, file, order: about, ...more });
    await waitFor('the report', () => worker.server.callbackReports.has(id), { timeoutMs: 120_000 });
    return worker.server.callbackReports.get(id)!;
  };
  const missed = (path: string, kwargs: Record<string, unknown>, asynchronous: boolean, module?: string) => ({
    kind: 'deadline' as const,
    event: 'missed' as const,
    ti: null,
    reason: null,
    target: {
      path: `${module ?? 'unusual_prefix_0123_d'}.${path}`,
      kwargs,
      asynchronous,
      deadline: { id: ID, name: 'late', position: 0, deadline_time: '2026-01-01T01:00:00Z' },
    },
  });

  test('functions and notifiers of a Dag run by Airflow’s own code, with what Airflow gives them', async () => {
    const { state, output } = await run({});
    equal(state, 'success', output);
    match(output, /TELL ops-room task_failure t manual__2026-01-01T00:00:00\+00:00/);
    match(output, /NOTIFIED of d: \{'rows': 3\}/);
  });

  test('they pull what tasks of the run have left, and nothing of other runs; they push nothing', async () => {
    const PULLED = /PULLED \{'rows': 3\} \[1, 2\] None/;
    const ofDag = await run({});
    match(ofDag.output, PULLED);
    match(ofDag.output, /ALONE \{'rows': 3\} False/);
    const ofTask = await run({ kind: 'task', reason: 'The host has died.' });
    match(ofTask.output, PULLED);
    deepEqual([ofDag.state, ofTask.state], ['success', 'success']);
    const refused = await run({ kind: 'task', event: 'retry', reason: 'lost' });
    equal(refused.state, 'failed');
    match(refused.output, /in pulls_of_others[\s\S]*access_denied/);
    match(refused.output, /in pushes[\s\S]*Unhandled request/, 'in the words of Airflow’s own Dag processor');
  });

  test('one that raises has failed, and says why', async () => {
    const { state, message } = await run({ event: 'success', reason: 'success' });
    equal(state, 'failed');
    match(message ?? '', /RuntimeError: no such room/);
  });

  test('the callback of a task whose process was lost, and that of a deadline of the same file', async () => {
    const lost = await run({ kind: 'task', reason: 'The host has died.' });
    match(lost.output, /LOST t 2/);
    const late = await run(missed('alert', { room: '#ops' }, true));
    match(late.output, /ALERT #ops late/);
    deepEqual([lost.state, late.state], ['success', 'success']);
  });

  test('a class is made with its arguments and then called, with the context if it takes one', async () => {
    match((await run(missed('Called', { room: '#ops' }, false))).output, /CALLED #ops late d/);
    match((await run(missed('Unasking', { room: '#ops' }, false))).output, /CALLED #ops None/);
    match((await run(missed('Notifier', { text: 'of {{ dag_run.dag_id }}' }, false))).output, /NOTIFIED of d/);
  });

  test('those of a Dag in a zip archive, whose modules have their own names', async () => {
    const ended = await run({}, 'packed.zip/inside.py');
    match(ended.output, /TELL ops-room task_failure t manual/);
    const late = await run(missed('alert', { room: '#ops' }, true, 'inside'), 'packed.zip/inside.py');
    match(late.output, /ALERT #ops late/);
    deepEqual([ended.state, late.state], ['success', 'success']);
  });

  test('those of a run in a git bundle run the code of its commit, not what came later', async () => {
    const root = mkdtempSync(join(tmpdir(), 'airlock-repository-'));
    try {
      chmodSync(root, 0o755);
      const git = (...args: string[]) =>
        execFileSync('git', ['-c', 'user.name=a', '-c', 'user.email=a@example.org', '-C', root, ...args], {
          encoding: 'utf8',
        }).trim();
      const commit = (code: string) => {
        writeFileSync(join(root, 'd.py'), code);
        git('add', '-A');
        git('commit', '-q', '-m', 'x');
        return git('rev-parse', 'HEAD');
      };
      git('init', '-q', '-b', 'main');
      const first = commit(text);
      const second = commit(text.replaceAll('TELL', 'SAID'));
      const at = (version: string) =>
        run({}, undefined, { bundlePath: '', git: { repo_url: `file://${root}`, subdir: null, version } });
      match((await at(first)).output, /TELL ops-room/);
      match((await at(second)).output, /SAID ops-room/);
      const gone = await at('f'.repeat(40));
      deepEqual(
        [gone.state, /no longer has the commit/.test(gone.message ?? '')],
        ['failed', true],
        gone.message ?? '',
      );
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });

  test('what the server refuses stays refused, and no token is in its reach', async () => {
    const { state, message, output } = await run(missed('asks_for_more', {}, false));
    equal(state, 'failed');
    match(message ?? '', /Access denied for variable 'not_mine'/);
    doesNotMatch(output, /execution-|workload-/);
  });
});
