/** Why a task does not go on: each cause is brought about in a real database, and is the one that is named. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, beforeEach, test } from 'node:test';
import { TASK_INSTANCE_STATES } from '@airlock/contract/states';
import { type Sql, sql } from '@airlock/store';
import { CAUSES, type WaitingQuestion, waitingCause } from '../src/scheduler/waiting-cause.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
const run = (statement: Sql) => kit.database.db.query(statement);
const named = new Set<string>();
const FUTURE = '2999-01-01T00:00:00Z';

before(async () => {
  kit = await restKit({ config: { AIRLOCK__CORE__PARALLELISM: '5' } });
  await withBundle(kit.database.db);
  const tasks = [
    { id: 'a', pool: 'p', pool_slots: 2, max_active_tis_per_dag: 3, max_active_tis_per_dagrun: 2 },
    { id: 'b', after: ['a'] },
    { id: 'c', depends_on_past: true },
  ];
  await ingest(
    kit.database.db,
    'd.ts',
    [dagDocument('d', tasks, { max_active_tasks: 4, max_active_runs: 2 })],
    new Date().toISOString(),
  );
  await kit.as.op('POST', '/pools', { name: 'p', slots: 4 });
});
after(() => kit[Symbol.asyncDispose]());

/** A running run of a Dag that is scheduled by a scheduler that lives, with a worker for every queue. */
beforeEach(async () => {
  for (const rows of [
    sql`DELETE FROM dag_run`,
    sql`DELETE FROM backfill`,
    sql`DELETE FROM supervisor`,
    sql`DELETE FROM job`,
  ])
    await run(rows);
  await run(sql`UPDATE dag SET is_paused = false, is_stale = false`);
  await run(sql`UPDATE slot_pool SET slots = 4 WHERE name = 'p'`);
  for (const logical of ['2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'])
    await kit.as.user('POST', '/dags/d/dagRuns', { logical_date: logical, dag_run_id: logical.slice(8, 10) });
  await run(sql`UPDATE dag_run SET state = 'running', start_date = run_after WHERE run_id = '02'`);
  const now = new Date().toISOString();
  await run(sql`INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
    VALUES ('SchedulerJob', ${randomUUID()}::uuid, 'running', 'h', 'u', ${now}, ${now})`);
  await run(sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at, has_claimed)
    VALUES (${randomUUID()}::uuid, 'k', '{}', 'w1', 'u', 1, ARRAY['worker'], 'none', '1', ${now}, ${now}, true)`);
});

const set = (task: string, state: string | null, runId = '02') =>
  run(sql`UPDATE task_instance SET state = ${state} WHERE task_id = ${task} AND run_id = ${runId}`);
/** The trigger that the task `a` waits for. */
const newTrigger = (isTaken: boolean) =>
  run(sql`WITH g AS (INSERT INTO trigger (ti_id, dag_run_id, classpath, kwargs, is_encrypted, created_at, supervisor_id)
    SELECT t.id, t.dag_run_id, 'my.Trigger', '{}', false, t.updated_at,
      CASE WHEN ${isTaken}::boolean THEN (SELECT id FROM supervisor) END
    FROM task_instance t WHERE t.task_id = 'a' AND t.run_id = '02' RETURNING id, ti_id)
    UPDATE task_instance t SET trigger_id = g.id FROM g WHERE t.id = g.ti_id`);
async function causeOf(task: string, runId = '02'): Promise<{ cause: string; text: string; until: string | null }> {
  const { status, body } = await kit.as.viewer('GET', `/dags/d/dagRuns/${runId}/waiting?task_id=${task}`);
  assert.equal(status, 200);
  assert.equal(body.waiting.length, 1, 'it waits');
  named.add(body.waiting[0].cause);
  return body.waiting[0];
}

/** What is done to a task that nothing holds, and the cause that is named then. */
const CASES: ReadonlyArray<readonly [cause: string, task: string, does: () => Promise<unknown>, until?: string]> = [
  ['scheduler', 'a', async () => undefined],
  ['upstream', 'b', async () => undefined],
  ['past', 'c', () => set('c', 'failed', '01')],
  ['dag_paused', 'a', () => run(sql`UPDATE dag SET is_paused = true`)],
  ['dag_stale', 'a', () => run(sql`UPDATE dag SET is_stale = true`)],
  ['no_scheduler', 'a', () => run(sql`UPDATE job SET latest_heartbeat = '2020-01-01'`)],
  ['run_ended', 'a', () => run(sql`UPDATE dag_run SET state = 'failed' WHERE run_id = '02'`)],
  ['run_starting', 'a', () => run(sql`UPDATE dag_run SET state = 'queued' WHERE run_id = '02'`)],
  [
    'run_not_due',
    'a',
    () => run(sql`UPDATE dag_run SET state = 'queued', run_after = ${FUTURE} WHERE run_id = '02'`),
    FUTURE,
  ],
  [
    'run_limit',
    'a',
    async () => {
      for (const id of ['x', 'y']) await kit.as.user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: id });
      await run(
        sql`UPDATE dag_run SET state = CASE WHEN run_id = '02' THEN 'queued' ELSE 'running' END WHERE run_id <> '01'`,
      );
    },
  ],
  [
    'backfill_paused',
    'a',
    () =>
      run(sql`WITH b AS (INSERT INTO backfill (dag_id, from_date, to_date, is_paused, reprocess_behavior, max_active_runs, created_at, updated_at)
        VALUES ('d', '2026-01-01', '2026-01-02', true, 'none', 1, '2026-01-03', '2026-01-03') RETURNING id)
        UPDATE dag_run SET state = 'queued', backfill_id = b.id FROM b WHERE run_id = '02'`),
  ],
  [
    'logical_date_in_future',
    'a',
    () => run(sql`UPDATE dag_run SET logical_date = ${FUTURE} WHERE run_id = '02'`),
    FUTURE,
  ],
  ['no_task', 'a', () => run(sql`UPDATE task_instance SET task_id = 'zz' WHERE task_id = 'a' AND run_id = '02'`)],
  [
    'retry_delay',
    'a',
    () =>
      run(
        sql`UPDATE task_instance SET state = 'up_for_retry', retry_at = ${FUTURE} WHERE task_id = 'a' AND run_id = '02'`,
      ),
    FUTURE,
  ],
  [
    'reschedule_delay',
    'a',
    () =>
      run(
        sql`UPDATE task_instance SET state = 'up_for_reschedule', reschedule_at = ${FUTURE} WHERE task_id = 'a' AND run_id = '02'`,
      ),
    FUTURE,
  ],
  [
    'pool_missing',
    'a',
    () => run(sql`UPDATE task_instance SET state = 'scheduled', pool = 'none' WHERE task_id = 'a' AND run_id = '02'`),
  ],
  [
    'pool_too_small',
    'a',
    async () => [await set('a', 'scheduled'), await run(sql`UPDATE slot_pool SET slots = 1 WHERE name = 'p'`)],
  ],
  [
    'pool_full',
    'a',
    async () => [
      await set('a', 'scheduled'),
      await set('a', 'running', '01'),
      await run(sql`UPDATE slot_pool SET slots = 3 WHERE name = 'p'`),
    ],
  ],
  [
    'max_active_tasks',
    'a',
    async () => [
      await set('a', 'scheduled'),
      await run(sql`UPDATE dag SET max_active_tasks = 1`),
      await set('b', 'running'),
    ],
  ],
  [
    'max_active_tis_per_dag',
    'a',
    async () => [
      await set('a', 'scheduled'),
      await run(sql`UPDATE task_instance SET max_active_per_dag = 1, pool_slots = 1 WHERE task_id = 'a'`),
      await set('a', 'deferred', '01'),
    ],
  ],
  [
    'max_active_tis_per_dagrun',
    'a',
    async () => [
      await set('a', 'scheduled'),
      await run(sql`UPDATE task_instance SET max_active_per_run = 0 WHERE task_id = 'a'`),
    ],
  ],
  [
    'parallelism',
    'a',
    async () => {
      for (const id of ['x', 'y']) await kit.as.user('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: id });
      await run(sql`UPDATE task_instance SET state = 'running' WHERE task_id IN ('b', 'c') AND run_id <> '02'`);
      await set('a', 'scheduled');
    },
  ],
  [
    'no_worker',
    'a',
    async () => [await set('a', 'queued'), await run(sql`UPDATE supervisor SET ended_at = last_seen_at`)],
  ],
  [
    'queue_not_served',
    'a',
    async () => [await set('a', 'queued'), await run(sql`UPDATE supervisor SET queues = ARRAY['gpu']`)],
  ],
  ['workers_busy', 'a', () => set('a', 'queued')],
  [
    'worker_starting',
    'a',
    () =>
      run(
        sql`UPDATE task_instance SET state = 'queued', supervisor_id = (SELECT id FROM supervisor) WHERE task_id = 'a' AND run_id = '02'`,
      ),
  ],
  ['stopping', 'a', () => set('a', 'restarting')],
  [
    'trigger_starting',
    'a',
    async () => [await set('a', 'deferred'), await run(sql`UPDATE supervisor SET roles = '{trigger}'`)],
  ],
  [
    'triggerers_busy',
    'a',
    async () => [
      await set('a', 'deferred'),
      await run(sql`UPDATE supervisor SET roles = '{trigger}'`),
      await newTrigger(false),
      await run(sql`UPDATE trigger SET created_at = created_at - interval '31 seconds', queue = 'far'`),
    ],
  ],
  ['no_triggerer', 'a', () => set('a', 'deferred')],
  ['trigger', 'a', async () => [await set('a', 'deferred'), await newTrigger(true)]],
  ['human_input', 'a', () => set('a', 'awaiting_input')],
];

for (const [name, task, does, until] of CASES) {
  test(`the cause ${name}`, async () => {
    await run(sql`UPDATE dag SET max_active_tasks = 4`);
    await does();
    const found = await causeOf(name === 'no_task' ? 'zz' : task);
    assert.equal(found.cause, name, found.text);
    assert.ok(found.text.endsWith('.'), found.text);
    assert.equal(found.until, until ?? null);
  });
}

test('every name of the list was brought about', () => {
  assert.deepEqual([...named].sort(), [...CAUSES].sort());
});

test('what runs and what has ended is not among those that wait', async () => {
  await set('a', 'running');
  await set('b', 'success');
  const { body } = await kit.as.viewer('GET', '/dags/d/dagRuns/02/waiting');
  assert.deepEqual(
    body.waiting.map((row: { task_id: string }) => row.task_id),
    ['c'],
  );
  assert.equal(body.total_entries, 1);
});

test('every state in which a task instance waits has a cause, whatever else is so', () => {
  const facts = {
    run: {
      state: 'running',
      run_after: FUTURE,
      is_paused: false,
      is_stale: false,
      backfill_paused: false,
      max_active_runs: 1,
      running_runs: 0,
      max_active_tasks: 1,
      active_in_run: 0,
      active_in_deployment: 0,
      schedulers: 1,
    },
    snapshot: null,
    parallelism: 1,
    nowMs: 0,
  };
  const ti = {
    task_id: 't',
    map_index: -1,
    try_number: 1,
    queue: 'q',
    pool: 'p',
    pool_slots: 1,
    pool_size: 1,
    pool_taken: 0,
    max_active_per_dag: null,
    active_per_dag: 0,
    max_active_per_run: null,
    active_per_run: 0,
    retry_at: null,
    reschedule_at: null,
    trigger_timeout: null,
    held_by: null,
    workers: 1,
    workers_of_queue: 1,
  };
  for (const state of [null, ...TASK_INSTANCE_STATES]) {
    const found = waitingCause({ ...facts, ti: { ...ti, state } } as WaitingQuestion);
    assert.ok(CAUSES.includes(found.name), String(state));
  }
});

test('an unknown run is 404, nobody is 401, an odd page is 422', async () => {
  assert.equal((await kit.as.viewer('GET', '/dags/d/dagRuns/ghost/waiting')).status, 404);
  assert.equal((await kit.as.viewer('GET', '/dags/ghost/dagRuns/02/waiting')).status, 404);
  assert.equal((await kit.anonymous('GET', '/dags/d/dagRuns/02/waiting')).status, 401);
  assert.equal((await kit.as.viewer('GET', '/dags/d/dagRuns/02/waiting?limit=-1')).status, 422);
});
