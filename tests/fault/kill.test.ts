/**
 * The promise: whatever single process is killed while work is under way, standalone brings it back, every run ends in
 * success, and each task has succeeded exactly once. The fan-out of 100 of tests/bench, with tries enough for what is killed.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, sql } from '@airlock/store';
import { dagKnown, runEnd, taskInstances, trigger } from '../kit/api.ts';
import { databaseOf } from '../kit/inside.ts';
import { kill9, type Part, partsBelow } from '../kit/processes.ts';
import { scaled, seededRandom } from '../kit/seed.ts';
import { repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { waitFor } from '../kit/wait.ts';

const DAG = 'fan100_retries';
const DAG_FILE = join(repositoryRoot, 'tests/fixtures/dags/fan100_retries.ts');
const TASKS = 102;
const VICTIMS: readonly Part[] = ['control', 'supervisor', 'runner', 'postgres'];
/** Rounds of all victims, each in a run of its own: 20 deaths of each with `npm run soak`. */
const ROUNDS = scaled(20, 2);
/** Longest pause before the next kill: the whole run takes some seconds. */
const LONGEST_PAUSE_MS = 1500;
/** Far beyond what a slow machine needs, and short of the five minutes after which silence alone ends a try. */
const RUN_MS = 200_000;

/** What the store says of a run when it is over. */
type Tally = {
  readonly task_id: string;
  readonly successes: number;
  readonly accepted: number;
  readonly tries: number;
};

/** Per task: tries in state success (live and past), accepted reports of success, and tries. */
function tallyOf(db: Database, runId: string): Promise<Tally[]> {
  return db.query<Tally>(sql`
    WITH tries AS (
      SELECT task_id, state, try_number FROM task_instance WHERE dag_id = ${DAG} AND run_id = ${runId}
      UNION ALL
      SELECT task_id, state, try_number FROM task_instance_history WHERE dag_id = ${DAG} AND run_id = ${runId}
    )
    SELECT task_id, count(*) FILTER (WHERE state = 'success')::integer AS successes, count(*)::integer AS tries,
      (SELECT count(*)::integer FROM event_log e WHERE e.dag_id = ${DAG} AND e.run_id = ${runId}
        AND e.task_id = tries.task_id AND e.event = 'success' AND e.owner = 'task') AS accepted
    FROM tries GROUP BY task_id ORDER BY task_id`);
}

async function assertEachSucceededOnce(db: Database, runId: string): Promise<number> {
  const tally = await tallyOf(db, runId);
  assert.equal(tally.length, TASKS);
  const wrong = tally.filter(({ successes, accepted }) => successes !== 1 || accepted !== 1);
  assert.deepEqual(wrong, [], 'each task has exactly one try that succeeded, and one report of it that was accepted');
  return tally.reduce((sum, { tries }) => sum + tries, 0) - TASKS;
}

/** Lines of the installation's own log that tell of an honest report turned away by a conflict. */
function conflicts(airlock: Standalone): string[] {
  return ['standalone.log.1', 'standalone.log'].flatMap((name) => {
    try {
      return readFileSync(join(airlock.home, 'run', name), 'utf8')
        .split('\n')
        .filter((line) => /did not (take a state|let a try start)/.test(line) && /status\\?":409/.test(line));
    } catch {
      return [];
    }
  });
}

describe('kill -9 while the fan-out of 100 runs', () => {
  const random = seededRandom('kill');
  let airlock: Standalone;
  let db: Database;
  before(async () => {
    airlock = await startStandalone({ dagFiles: [DAG_FILE] });
    db = databaseOf(airlock);
    await dagKnown(airlock, DAG);
  });
  after(async () => {
    await db?.close();
    // Fails when a process, a socket or a listener is left.
    await airlock?.stop();
  });

  /** One of the part's processes; waits for one, since it may just be starting again. */
  async function kill(part: Part): Promise<void> {
    await waitFor(
      `a ${part} to kill`,
      () => {
        const found = partsBelow(airlock.pid, part);
        return found.length > 0 && kill9(random.pick(found).pid);
      },
      { timeoutMs: 60_000 },
    );
  }

  for (let round = 1; round <= ROUNDS; round++) {
    test(`round ${round}: control, supervisor, a runner and PostgreSQL die, and each task succeeds once`, async () => {
      const order = random.shuffle(VICTIMS);
      const pauses = order.map(() => random.below(LONGEST_PAUSE_MS));
      const beganMs = performance.now();
      const runId = await waitFor('the run is triggered', () => trigger(airlock, DAG), { timeoutMs: 60_000 });
      for (const [i, part] of order.entries()) {
        await sleep(pauses[i]!);
        await kill(part);
      }
      const killedMs = performance.now() - beganMs;
      assert.equal(await runEnd(airlock, DAG, runId, RUN_MS), 'success');
      const seconds = ((performance.now() - beganMs) / 1000).toFixed(1);
      const repeated = await assertEachSucceededOnce(db, runId);
      assert.deepEqual(conflicts(airlock), []);
      const deaths = order.map((part, i) => `${part} +${pauses[i]} ms`).join(', ');
      process.stdout.write(
        `kill round ${round}: ${deaths}; last after ${(killedMs / 1000).toFixed(1)} s; run ended after ${seconds} s, ${repeated} tries repeated\n`,
      );
    });
  }

  test('the REST API agrees: all task instances of the newest run are successes', async () => {
    const { dag_runs: runs } = await airlock.api<{ dag_runs: { dag_run_id: string; state: string }[] }>(
      'GET',
      `/api/v2/dags/${DAG}/dagRuns?limit=100`,
    );
    assert.equal(runs.length, ROUNDS);
    assert.ok(runs.every((run) => run.state === 'success'));
    const tasks = await taskInstances(airlock, DAG, runs.at(-1)!.dag_run_id);
    assert.equal(tasks.length, TASKS);
    assert.ok(tasks.every((task) => task.state === 'success'));
  });
});

describe('kill -9 of standalone itself', () => {
  test('takes all that it started with it, and the next start on the folder finishes the run', async () => {
    const random = seededRandom('crash');
    using home = tempHome();
    const first = await startStandalone({ home: home.path, dagFiles: [DAG_FILE] });
    await dagKnown(first, DAG);
    const runId = await trigger(first, DAG);
    await sleep(random.below(LONGEST_PAUSE_MS));
    await first.crash();
    const second = await startStandalone({ home: home.path });
    try {
      assert.equal(await runEnd(second, DAG, runId, RUN_MS), 'success');
      const db = databaseOf(second);
      await assertEachSucceededOnce(db, runId).finally(() => db.close());
    } finally {
      await second.stop();
    }
  });

  test('a stop in the middle of a run is one too: the next start finishes it', async () => {
    const random = seededRandom('stop');
    using home = tempHome();
    const first = await startStandalone({ home: home.path, dagFiles: [DAG_FILE] });
    await dagKnown(first, DAG);
    const runId = await trigger(first, DAG);
    await sleep(random.below(LONGEST_PAUSE_MS));
    const tookMs = await first.stop();
    // The promise is 5 s; the rest is for a machine that is busy with other things.
    assert.ok(tookMs < 10_000, `the stop took ${Math.round(tookMs)} ms`);
    const second = await startStandalone({ home: home.path });
    try {
      assert.equal(await runEnd(second, DAG, runId, RUN_MS), 'success');
      const db = databaseOf(second);
      await assertEachSucceededOnce(db, runId).finally(() => db.close());
    } finally {
      await second.stop();
    }
  });
});
