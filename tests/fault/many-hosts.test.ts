/**
 * The promise: of three schedulers and two triggerers any may be killed at any time. Every run ends, no task runs twice, nothing
 * that is reported counts twice, limits hold, and what the dead had taken up goes on within a stated time.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, sql } from '@airlock/store';
import { createDagRun } from '../../control/src/runs/index.ts';
import { type Watch, watchTransitions } from '../../control/test/kit/transitions.ts';
import { type Host, schedulerHost, supervisorHost } from '../kit/hosts.ts';
import { type Replicas, startReplicas } from '../kit/replicas.ts';
import { scaled, seededRandom } from '../kit/seed.ts';
import { waitFor } from '../kit/wait.ts';

const WAITS = 4;
const WORK = 14;
/** Task runs of a run: a list, the waits, what is mapped over the list, and the sum. */
const PER_RUN = WAITS + WORK + 2;
/** 2,000 task runs and 100 deaths with `npm run soak`, in rounds that can be run one by one. */
const ROUNDS = scaled(4);
const RUNS = scaled(25, 5);
const KILLS = scaled(25, 10);
const SLOTS = 6;
const PARALLELISM = 32;
/** Silence after which a triggerer counts as dead. The others have what it ran two seconds later. */
const TRIGGERER_SILENCE_S = 10;
const TRIGGER_BOUND_S = TRIGGERER_SILENCE_S + 2;
/** A scheduler looks at everything once a minute, whatever it has heard. */
const DECISION_BOUND_S = 60;
/** What a slow machine may take on top of a bound. */
const SLOW_S = 60;

const DAG = `import { dag, until } from '@airlock/sdk';
export default dag('many', { schedule: null, startDate: '2026-01-01', paused: false, maxActiveRuns: 8, maxActiveTasks: 64 }, (d) => {
  const list = d.task('list', { run: async () => Array.from({ length: ${WORK} }, (_, i) => i) });
  const work = d.task('work', { pool: 'few', run: async ({ i }: { i: number }) => i * i });
  const sum = d.task('sum', { run: async ({ all }: { all: number[] }) => all.reduce((a, b) => a + b, 0) });
  const waits = Array.from({ length: ${WAITS} }, (_, i) => d.wait('w' + i, { until: until.delay((i + 1) + 's') })());
  sum({ all: work.map({ i: list() }) }).after(...waits);
});
`;
const SUM = ((WORK - 1) * WORK * (2 * WORK - 1)) / 6;

async function trigger(db: Database, runId: string): Promise<void> {
  await db.transaction((tx) =>
    createDagRun(tx, {
      dagId: 'many',
      runType: 'manual',
      triggeredBy: 'test',
      triggeringUserName: null,
      logicalDate: null,
      runId,
      nowIso: new Date().toISOString(),
    }),
  );
}

const count = async (db: Database, what: 'tasks' | 'runs' | 'overdue'): Promise<number> => {
  const statement = {
    tasks: sql`SELECT count(*)::integer AS n FROM task_instance WHERE state = 'success'`,
    runs: sql`SELECT count(*)::integer AS n FROM dag_run WHERE state IN ('queued', 'running')`,
    // Far behind its time: the waits are of at most four seconds.
    overdue: sql`SELECT count(*)::integer AS n FROM trigger WHERE created_at < now() - interval '1 second' * ${WAITS + 2}`,
  }[what];
  return (await db.query<{ n: number }>(statement))[0]!.n;
};

/** What the store and the audit log say of one task instance. */
type Tally = {
  readonly run_id: string;
  readonly task_id: string;
  readonly map_index: number;
  readonly state: string;
  readonly try_number: number;
  readonly started: number;
  readonly waited: number;
  readonly resumed: number;
  readonly succeeded: number;
};

const tally = (db: Database): Promise<Tally[]> =>
  db.query<Tally>(sql`
    SELECT t.run_id, t.task_id, t.map_index, t.state, t.try_number,
      count(*) FILTER (WHERE e.event = 'running')::integer AS started, count(*) FILTER (WHERE e.event = 'deferred')::integer AS waited,
      count(*) FILTER (WHERE e.event = 'resumed')::integer AS resumed,
      count(*) FILTER (WHERE e.event = 'success' AND e.owner = 'task')::integer AS succeeded
    FROM task_instance t JOIN event_log e USING (dag_id, run_id, task_id, map_index)
    GROUP BY t.id ORDER BY t.run_id, t.task_id, t.map_index`);

/** Longest time from the end of what a task waited for to the decision about it, seconds. */
async function slowestDecision(db: Database): Promise<number> {
  const [row] = await db.query<{ s: number }>(sql`
    SELECT max(EXTRACT(EPOCH FROM t.scheduled_at - u.ended))::double precision AS s FROM task_instance t
    JOIN (SELECT dag_run_id, task_id = 'list' AS is_list, max(end_date) AS ended FROM task_instance WHERE task_id <> 'sum'
      GROUP BY 1, 2) u ON u.dag_run_id = t.dag_run_id AND (t.task_id = 'work' AND u.is_list OR t.task_id = 'sum' AND NOT u.is_list)`);
  return row!.s;
}

describe('three schedulers and two triggerers on five hosts', () => {
  const random = seededRandom('many-hosts');
  let cluster: Replicas;
  let db: Database;
  let mortals: Host[] = [];
  let hosts: Host[] = [];
  let watch: Watch;
  before(async () => {
    cluster = await startReplicas({
      count: 1,
      env: {
        AIRLOCK__CORE__PARALLELISM: String(PARALLELISM),
        AIRLOCK__CORE__LOAD_EXAMPLES: 'false',
        AIRLOCK__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD: String(TRIGGERER_SILENCE_S),
      },
    });
    db = cluster.database.db;
    watch = await watchTransitions(cluster.database.ownerUrl, PARALLELISM);
    mkdirSync(join(cluster.home, 'dags'));
    writeFileSync(join(cluster.home, 'dags/many.ts'), DAG);
    await db.query(sql`INSERT INTO slot_pool (name, slots) VALUES ('few', ${SLOTS})`);
    mortals = [
      ...[1, 2, 3].map((n) => schedulerHost(cluster, `scheduler-${n}`)),
      ...[1, 2].map((n) => supervisorHost(cluster, `triggerer-${n}`, ['trigger'], n)),
    ];
    hosts = [...mortals, supervisorHost(cluster, 'worker', ['worker', 'parse'], 3)];
    await Promise.all(hosts.map((host) => host.start()));
    const known = async () => (await db.query(sql`SELECT 1 FROM dag WHERE dag_id = 'many'`)).length > 0;
    await waitFor('the Dag is known', known, { timeoutMs: 60_000 }).catch((error: Error) => {
      throw new Error(`${error.message}\n${hosts.at(-1)!.output()}`);
    });
  });
  after(async () => {
    await Promise.all(hosts.map((host) => host.stop()));
    await watch?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  for (let round = 1; round <= ROUNDS; round++)
    test(`round ${round}: killed at random, they lose nothing, double nothing, and leave nothing lying`, () =>
      perform(round));

  async function perform(round: number): Promise<void> {
    const movesBefore = watch.moves();
    const beganMs = performance.now();
    for (let run = 0; run < RUNS; run++) await trigger(db, `r${round}-${run}`);
    const total = RUNS * PER_RUN;
    const killed = new Map<string, number>();
    let restarting: Promise<unknown> = Promise.resolve();
    // Spread over the work, and not over time: however slow the machine is, all of them fall in the midst of it.
    const before = await count(db, 'tasks');
    const marks = Array.from({ length: KILLS }, () => before + random.below(total * 0.95)).sort((a, b) => a - b);
    const victims = Array.from({ length: Math.ceil(KILLS / mortals.length) }, () => random.shuffle(mortals)).flat();
    for (const [i, mark] of marks.entries()) {
      await waitFor(`${mark} tasks have ended`, async () => (await count(db, 'tasks')) >= mark, { timeoutMs: 300_000 });
      const victim = victims[i]!;
      await sleep(random.below(50));
      // One that is just starting is killed when it has started.
      await restarting;
      await victim.kill();
      killed.set(victim.name, (killed.get(victim.name) ?? 0) + 1);
      restarting = victim.start();
      restarting.catch(() => undefined); // seen by the next await
      await watch.check();
    }
    await restarting;
    const lastKillMs = performance.now();
    const overdueTimeout = (TRIGGER_BOUND_S + SLOW_S) * 1000;
    await waitFor('no trigger is overdue', async () => (await count(db, 'overdue')) === 0, {
      timeoutMs: overdueTimeout,
    });
    const overdueMs = performance.now() - lastKillMs;
    await waitFor('every run has ended', async () => (await count(db, 'runs')) === 0, { timeoutMs: 300_000 });
    await watch.check();

    const rows = (await tally(db)).filter(({ run_id: id }) => id.startsWith(`r${round}-`));
    assert.equal(rows.length, total);
    const wrong = rows.filter(({ task_id: task, state, try_number: tries, started, waited, resumed, succeeded }) => {
      const waits = task.startsWith('w') && task !== 'work' ? 1 : 0;
      const right = [started, waited, resumed, succeeded].join() === [1 + waits, waits, waits, 1].join();
      return state !== 'success' || tries !== 1 || !right;
    });
    assert.deepEqual(
      wrong,
      [],
      'each task has started once, waited once if it waits, and succeeded once, in its first try',
    );
    const sums = await db.query<{ value: unknown }>(
      sql`SELECT value FROM xcom WHERE task_id = 'sum' AND key = 'return_value' AND run_id LIKE ${`r${round}-%`}`,
    );
    assert.deepEqual(
      sums.map(({ value }) => Number(value)),
      Array.from({ length: RUNS }, () => SUM),
    );
    const decisionS = await slowestDecision(db);
    assert.ok(decisionS < DECISION_BOUND_S + SLOW_S, `a decision took ${decisionS} s`);
    const deaths = [...killed].map(([name, n]) => `${name} ${n}`).join(', ');
    process.stdout.write(
      `many hosts, round ${round}: ${total} task runs in ${((performance.now() - beganMs) / 1000).toFixed(1)} s, ${KILLS} deaths (${deaths}); 0 lost, 0 doubled, ${watch.moves() - movesBefore} changes of state; slowest decision ${decisionS.toFixed(1)} s, no trigger overdue ${(overdueMs / 1000).toFixed(1)} s after the last death (bound ${TRIGGER_BOUND_S} s)\n`,
    );
  }
});
