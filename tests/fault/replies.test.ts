/**
 * The promise: whatever becomes of replies on the way between worker and server, no result is lost, none is accepted twice, and
 * no honest try fails by a conflict with itself. Each call of each try is attacked: its request or its reply is lost, the reply
 * comes later than the worker waits, comes twice, or is overtaken by others. @see issue 5; promises L3 and L5
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { type Database, sql } from '@airlock/store';
import { airflowVenv, ensureVenv, findPython, withoutPython } from '../kit/airflow-venv.ts';
import { resultOf, runEnd, runPath, taskInstances, trigger } from '../kit/api.ts';
import { FAULTS, type FaultProxy, startFaultProxy } from '../kit/fault-proxy.ts';
import { databaseOf } from '../kit/inside.ts';
import { joinTicket, type RemoteWorker, startRemoteWorker } from '../kit/remote-worker.ts';
import { scaled, seededRandom } from '../kit/seed.ts';
import { type Standalone, startStandalone } from '../kit/standalone.ts';

/** Tries: 500 with `npm run soak`. */
const TYPESCRIPT_RUNS = scaled(4);
const TYPESCRIPT_WIDTH = scaled(100, 40);
const PYTHON_WIDTH = scaled(90, 8);
/** The worker waits 5 s by default, and the promise names 30 s: both scaled, to no less than a busy machine needs for an answer. */
const TIMEOUT_SECONDS = 2;
const DELAY_MS = 12_000;
const RUN_MS = 600_000;

const typescript = `import { dag } from '@airlock/sdk';
export default dag('attacked', { schedule: null, startDate: '2026-01-01', paused: false, maxActiveTasks: 256 }, (d) => {
  const list = d.task('list', { queue: 'far', run: async () => Array.from({ length: ${TYPESCRIPT_WIDTH} }, (_, i) => i) });
  const work = d.task('work', { queue: 'far', run: async ({ i }: { i: number }, { log }) => {
    log.info('at work on ' + i);
    return i * i;
  } });
  // Longer than half the life of a token, so that tokens are renewed on the way.
  const slow = d.task('slow', { queue: 'far', run: async () => { await new Promise((resolve) => setTimeout(resolve, 20_000)); return 1; } });
  const sum = d.task('sum', { queue: 'far', run: async ({ all }: { all: number[] }) => all.reduce((a, b) => a + b, 0) });
  sum({ all: work.map({ i: list() }) }).after(slow());
});
`;
const python = `
import datetime
from airflow.sdk import dag, task

@dag(schedule=None, max_active_tasks=256, default_args={"queue": "far"})
def attacked_python():
    @task
    def names():
        return list(range(${PYTHON_WIDTH}))

    @task
    def work(i, ti=None):
        ti.xcom_push(key="also", value=i)
        print(f"at work on {i}")
        return i * i

    @task
    def total(all):
        return sum(all)

    total(work.expand(i=names()))

attacked_python()
`;
const sumOfSquares = (count: number) => ((count - 1) * count * (2 * count - 1)) / 6;

/** What the store says of one task instance when the run is over. */
type Tally = {
  readonly task_id: string;
  readonly map_index: number;
  readonly tries: number;
  readonly successes: number;
  readonly accepted: number;
};

function tallyOf(db: Database, dagId: string, runId: string): Promise<Tally[]> {
  return db.query<Tally>(sql`
    WITH tries AS (
      SELECT task_id, map_index, state FROM task_instance WHERE dag_id = ${dagId} AND run_id = ${runId}
      UNION ALL
      SELECT task_id, map_index, state FROM task_instance_history WHERE dag_id = ${dagId} AND run_id = ${runId}
    )
    SELECT task_id, map_index, count(*)::integer AS tries, count(*) FILTER (WHERE state = 'success')::integer AS successes,
      (SELECT count(*)::integer FROM event_log e WHERE e.dag_id = ${dagId} AND e.run_id = ${runId}
        AND e.task_id = tries.task_id AND e.map_index = tries.map_index AND e.event = 'success' AND e.owner = 'task') AS accepted
    FROM tries GROUP BY task_id, map_index ORDER BY task_id, map_index`);
}

describe('a worker whose replies are lost, late, doubled and out of order', () => {
  const random = seededRandom('replies');
  let airlock: Standalone;
  let db: Database;
  let proxy: FaultProxy;
  let worker: RemoteWorker;
  let total = 0;
  before(async () => {
    if (!withoutPython) ensureVenv(findPython()!);
    airlock = await startStandalone({
      dags: { 'attacked.ts': typescript, ...(withoutPython ? {} : { 'attacked_python.py': python }) },
      env: {
        AIRLOCK__WORKERS__QUEUES: 'near', // its own worker runs none of this
        AIRLOCK__EXECUTION_API__JWT_EXPIRATION_TIME: '30',
        AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
      },
    });
    db = databaseOf(airlock);
    proxy = await startFaultProxy({
      target: airlock.url,
      random,
      delayMs: DELAY_MS,
      // A ticket is good once, by intention: joining is no call of a run.
      spare: (method, path) => method === 'POST' && path === '/execution/supervisors',
    });
    worker = startRemoteWorker(proxy.url, joinTicket(airlock), {
      AIRLOCK__WORKERS__QUEUES: 'far',
      AIRLOCK__WORKERS__EXECUTION_API_TIMEOUT: String(TIMEOUT_SECONDS),
      AIRLOCK__WORKERS__MIN_HEARTBEAT_INTERVAL: '1',
      AIRLOCK__PYTHON__INTERPRETER: airflowVenv,
    });
  });
  after(async () => {
    proxy?.relent();
    await worker?.stop();
    await proxy?.[Symbol.asyncDispose]();
    await db?.close();
    await airlock?.stop();
  });

  /** What a failure of this test needs to be understood: the logs of the first tries that went wrong, and what the worker said. */
  async function explain(dagId: string, runId: string, wrong: readonly Tally[]): Promise<string> {
    const logs = wrong.slice(0, 3).map(async ({ task_id: taskId, map_index: index }) => {
      const path = `${runPath(dagId, runId)}/taskInstances/${taskId}/logs/1?full_content=true&map_index=${index}`;
      return `${taskId}[${index}]: ${JSON.stringify(await airlock.api('GET', path).catch(String))}`;
    });
    const refusals = worker
      .output()
      .split('\n')
      .filter((line) => /"status":4|did not|could not/.test(line));
    return [...(await Promise.all(logs)), ...refusals.slice(-20)].join('\n');
  }

  async function carriedThrough(dagId: string, expected: number, width: number, sumTask: string): Promise<void> {
    const beganMs = performance.now();
    const runId = await trigger(airlock, dagId);
    const state = await runEnd(airlock, dagId, runId, RUN_MS);
    const tally = await tallyOf(db, dagId, runId);
    const wrong = tally.filter(({ tries, successes, accepted }) => tries !== 1 || successes !== 1 || accepted !== 1);
    assert.deepEqual(wrong, [], await explain(dagId, runId, wrong));
    assert.equal(state, 'success');
    assert.equal(tally.length, expected);
    assert.doesNotMatch(worker.output(), /did not take a state/);
    // No result was lost or taken for another's: the last task has read them all.
    assert.equal(Number(await resultOf(airlock, { dagId, runId, taskId: sumTask })), sumOfSquares(width));
    for (const { task_id: taskId, map_index: index } of (await taskInstances(airlock, dagId, runId)).slice(0, 200)) {
      if (taskId !== 'work') continue;
      const path = `${runPath(dagId, runId)}/taskInstances/work/logs/1?full_content=true&map_index=${index}`;
      const { content } = await airlock.api<{ content: Array<{ event: string }> }>('GET', path);
      const lines = content.filter(({ event }) => event === `at work on ${index}`);
      assert.equal(lines.length, 1, `the line of ${index} is in its log once: ${JSON.stringify(content)}`);
    }
    total += tally.length;
    process.stdout.write(`${dagId}: ${tally.length} tries in ${((performance.now() - beganMs) / 1000).toFixed(1)} s\n`);
  }

  for (let round = 1; round <= TYPESCRIPT_RUNS; round++)
    test(`TypeScript, run ${round}: each task succeeds once, at its first try`, () =>
      carriedThrough('attacked', TYPESCRIPT_WIDTH + 3, TYPESCRIPT_WIDTH, 'sum'));

  test('Python: each task succeeds once, at its first try', { skip: withoutPython }, () =>
    carriedThrough('attacked_python', PYTHON_WIDTH + 2, PYTHON_WIDTH, 'total'),
  );

  test('each fault has struck, and each kind of call was struck', () => {
    for (const fault of FAULTS) assert.ok(proxy.total(fault) > 0, fault);
    for (const action of ['run', 'state', 'heartbeat', 'logs']) {
      const row = [...proxy.counts].find(([shape]) => shape.endsWith(`/task-instances/*/${action}`))?.[1];
      const struck = [...(row ?? [])].filter(([fault]) => fault !== 'none').length;
      assert.ok(struck >= 3, `${action}: ${struck} kinds of faults`);
    }
    const figures = FAULTS.map((fault) => `${proxy.total(fault)} × ${fault}`).join(', ');
    process.stdout.write(
      `replies: ${total} task runs; ${figures}; ${proxy.total('none')} calls passed; 0 lost, 0 accepted twice, 0 failed\n`,
    );
  });
});
