/** Tasks that do what they should not: each ends as failed, its log says why, and the worker takes the next one. */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { ask, logOf, resultOf, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { partsBelow } from '../kit/processes.ts';
import { repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';

const LOG_LIMIT = 4 * 1024 * 1024;
const fixture = (name: string) => join(repositoryRoot, 'tests/fixtures/dags', name);

describe('tasks that misbehave', () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone({
      dagFiles: [fixture('misbehaving.ts'), fixture('with_params.ts')],
      env: { AIRLOCK__LOGGING__MAX_LOG_BYTES: String(LOG_LIMIT) },
    });
  });
  after(async () => {
    await airlock.stop();
  });

  /** Runs the one task of a Dag. @returns how it ended, and the messages of its log */
  async function run(dagId: string, timeoutMs = 120_000) {
    const runId = await trigger(airlock, dagId);
    const state = await runEnd(airlock, dagId, runId, timeoutMs);
    const lines = await logOf(airlock, { dagId, runId, taskId: 't' });
    const tasks = await taskInstances(airlock, dagId, runId);
    assert.deepEqual(
      tasks.map((task) => [task.task_id, task.state, task.try_number]),
      [['t', state, 1]],
      'a task without retries has one try',
    );
    return { runId, state, lines, messages: lines.map((line) => line.event) };
  }
  const last = (messages: readonly string[], text: string) =>
    assert.ok(
      messages.includes(text),
      `the log lacks ${JSON.stringify(text)}; it ends ${JSON.stringify(messages.slice(-5))}`,
    );

  test('one that behaves succeeds, and its result comes back: the control', async () => {
    const { runId, state } = await run('behaves');
    assert.equal(state, 'success');
    assert.deepEqual(await resultOf(airlock, { dagId: 'behaves', runId, taskId: 't' }), { answer: 42 });
  });

  test('one that throws fails with name, message and the line of its own file', async () => {
    const { state, lines, messages } = await run('throws');
    assert.equal(state, 'failed');
    last(messages, 'The task failed: RangeError: the well is dry');
    const stack = String(lines.find((line) => line.event.startsWith('The task failed'))?.stack);
    assert.match(stack, /misbehaving\.ts:\d+:\d+/);
    assert.ok(!stack.includes('sdk/src'), 'frames of ours are of no use to the author');
  });

  test('one that returns a function fails, and is told where in the result it stands', async () => {
    const { runId, state, messages } = await run('returns_function');
    assert.equal(state, 'failed');
    last(
      messages,
      'The task failed: ResultError: The result, at $.rows[0], is the function later. Results are sent as JSON. Return what it computes instead.',
    );
    const path = `/api/v2/dags/returns_function/dagRuns/${encodeURIComponent(runId)}/taskInstances/t/xcomEntries/return_value`;
    assert.equal((await ask(airlock, 'GET', path)).status, 404);
  });

  test('one that returns 100 MB fails, and is told the size, the limit and what to do', async () => {
    const { state, messages } = await run('returns_100_mb');
    assert.equal(state, 'failed');
    last(
      messages,
      'The task failed: ResultError: The result is 100.0 MiB as JSON; the limit is 16 MiB. Write it to a file or store, and return its name.',
    );
  });

  test('one that ends by a signal fails, and the log names the signal', async () => {
    const { state, messages } = await run('ends_by_signal');
    assert.equal(state, 'failed');
    last(messages, "The task's process was killed by SIGKILL before the task had a result.");
  });

  test('one that calls process.exit(0) fails: an exit is no result', async () => {
    const { state, messages } = await run('ends_by_exit');
    assert.equal(state, 'failed');
    last(messages, 'The task failed: ProcessExit: The task ended its own process with status 0, instead of returning.');
  });

  test('one that never ends is killed at its timeout', async () => {
    const { state, messages } = await run('never_ends');
    assert.equal(state, 'failed');
    last(messages, 'The task ran longer than its timeout of 2 s and was killed.');
  });

  test('so is one that never gives the event loop back', async () => {
    const { state, messages } = await run('never_yields');
    assert.equal(state, 'failed');
    last(messages, 'The task ran longer than its timeout of 2 s and was killed.');
  });

  test('one that writes 1 GB to its log succeeds; the log ends at its limit and says so, and nobody grows by it', async () => {
    const resident = () =>
      (['control', 'supervisor'] as const).map((part) => residentKb(partsBelow(airlock.pid, part)[0]!.pid));
    const before = resident();
    const { runId, state, messages } = await run('fills_log', 280_000);
    assert.equal(state, 'success');
    last(messages, `The log of this try has reached its limit of ${LOG_LIMIT} bytes; further output is dropped.`);
    last(messages, 'The task succeeded.');
    const file = join(airlock.home, `logs/dag_id=fills_log/run_id=${runId}/task_id=t/attempt=1.log`);
    assert.ok(statSync(file).size <= LOG_LIMIT, `${statSync(file).size} bytes`);
    resident().forEach((now, i) => {
      const grownMb = (now - before[i]!) / 1024;
      // A tenth of what was written; buffers and young garbage of an idle process are a few tens.
      assert.ok(grownMb < 100, `${['control', 'supervisor'][i]} has grown by ${grownMb.toFixed(0)} MB`);
    });
  });

  test('after all that the worker still works', async () => {
    assert.equal((await run('behaves')).state, 'success');
  });

  test('wrong params are refused when the run is asked for, with the param and the reason', async () => {
    await trigger(airlock, 'with_params', { target: 'test' });
    const refused = async (conf: unknown) => {
      const { status, json } = await ask(airlock, 'POST', '/api/v2/dags/with_params/dagRuns', {
        body: { logical_date: null, conf },
      });
      return [status, (json as { detail: unknown }).detail];
    };
    const missing = await refused({});
    assert.deepEqual(missing, [400, 'Invalid input for param target: No value passed and Param has no default value']);
    const [tooMany, text] = await refused({ target: 'test', copies: 6 });
    assert.equal(tooMany, 400);
    assert.match(String(text), /^Invalid input for param copies: 6 is greater than the maximum of 5/);
    const [wrongType, type] = await refused({ target: 'test', copies: 'two' });
    assert.equal(wrongType, 400);
    assert.match(String(type), /^Invalid input for param copies: 'two' is not of type 'integer'/);
    const [notOne, choice] = await refused({ target: 'production' });
    assert.equal(notOne, 400);
    assert.match(String(choice), /^Invalid input for param target: 'production' is not one of \['test', 'live'\]/);
    const { total_entries: runs } = await airlock.api<{ total_entries: number }>(
      'GET',
      '/api/v2/dags/with_params/dagRuns',
    );
    assert.equal(runs, 1, 'a refused request makes no run');
  });
});

/** Memory of a process that is in RAM, kB. */
function residentKb(pid: number): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);
}
