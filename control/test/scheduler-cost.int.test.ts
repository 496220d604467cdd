/** What the scheduler asks of the database must not grow with history. */
import { deepEqual, ok } from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { type Db, openDatabase, raw, sql } from '@airlock/store';
import { findNextDue, findRunningRuns } from '@airlock/store/queries/schedule/due';
import { refreshPoolWarnings } from '@airlock/store/queries/schedule/pool-warnings';
import { findOverdueRuns } from '@airlock/store/queries/schedule/sweep';
import { testDatabase } from '../../tests/kit/database.ts';
import { clearTaskInstances, createDagRun, failTry, setDagRunState } from '../src/runs/index.ts';
import { createDueRuns } from '../src/scheduler/create-runs.ts';
import { createTurns } from '../src/scheduler/decide/turns.ts';
import { runPass } from '../src/scheduler/pass.ts';
import { sweepTries } from '../src/scheduler/sweep.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';

/** Tables that hold the past. Any scan of one of them from end to end is a cost that grows. */
const GROWING = [
  'task_instance',
  'task_instance_history',
  'dag_run',
  'xcom',
  'event_log',
  'task_reschedule',
  'dag_version',
];

type Plan = { 'Node Type': string; 'Relation Name'?: string; Plans?: Plan[] };

function* nodes(plan: Plan): Generator<Plan> {
  yield plan;
  for (const inner of plan.Plans ?? []) yield* nodes(inner);
}

test('no statement of the scheduler reads a table of the past from end to end', async () => {
  await using t = await testDatabase();
  const owner = openDatabase({
    url: t.ownerUrl,
    maxConnections: 2,
    applicationName: 'owner',
    onError: () => undefined,
  });
  const nowMs = Date.now();
  const nowIso = new Date(nowMs).toISOString();
  await withBundle(t.db);
  await ingest(
    t.db,
    'a.ts',
    [
      dagDocument('a', [
        { id: 't', retries: 1 },
        { id: 'u', after: ['t'] },
      ]),
    ],
    nowIso,
  );
  await owner.query(sql`
    INSERT INTO dag_run (dag_id, run_id, state, run_type, triggered_by, logical_date, run_after, updated_at, start_date, end_date)
    SELECT 'a', 'old' || i, 'success', 'scheduled', 'timetable', at, at, at, at, at
    FROM generate_series(1, 3000) i, LATERAL (SELECT '2020-01-01'::timestamptz + i * interval '1 hour' AS at) x`);
  await owner.query(sql`
    INSERT INTO task_instance (id, dag_run_id, dag_id, run_id, task_id, dag_version_id, state, try_number, task_display_name, pool, queue, updated_at)
    SELECT gen_random_uuid(), r.id, r.dag_id, r.run_id, 't' || j, d.current_version_id, 'success', 1, 't', 'default_pool', 'q', r.updated_at
    FROM dag_run r, dag d, generate_series(1, 10) j`);
  await owner.query(sql`
    INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
    SELECT dag_run_id, task_id, map_index, 'return_value', dag_id, run_id, '1', updated_at FROM task_instance`);
  await owner.query(sql`
    INSERT INTO task_instance_history (id, dag_run_id, dag_id, run_id, task_id, map_index, try_number, max_tries, task_display_name, pool,
      pool_slots, queue, priority_weight, hostname)
    SELECT gen_random_uuid(), dag_run_id, dag_id, run_id, task_id, map_index, 0, 1, 't', 'default_pool', 1, 'q', 1, '' FROM task_instance`);
  await owner.query(sql`
    INSERT INTO task_reschedule (ti_id, start_date, end_date, reschedule_at)
    SELECT id, updated_at, updated_at, updated_at FROM task_instance`);
  await owner.query(sql`
    INSERT INTO dag_version (id, dag_id, version_number, bundle_name, digest, document, source, created_at)
    SELECT gen_random_uuid(), 'a', i, 'dags-folder', 'd', '{}', repeat('x', 1000), '2020-01-01' FROM generate_series(2, 1000) i`);
  await owner.query(sql`ANALYZE`);

  const seen = new Map<string, string>();
  const recording = (db: Db): Db => ({
    query: (statement, name) => {
      seen.set(name ?? statement.text, statement.text);
      return db.query(statement, name);
    },
  });
  const run = (work: (tx: Db) => Promise<unknown>) => t.db.transaction((tx) => work(recording(tx)));
  const pass = (dirty: readonly number[]) =>
    run((tx) =>
      runPass(tx, {
        dirty,
        start: 32,
        queue: true,
        nowMs,
        instanceId: randomUUID(),
        parallelism: 10,
        maxQueued: 10,
        turns: createTurns(),
      }),
    );
  let created = { id: 0, runId: '' };
  await run(async (tx) => {
    created = await createDagRun(tx, {
      dagId: 'a',
      runType: 'manual',
      triggeredBy: 'test',
      triggeringUserName: null,
      logicalDate: nowIso,
      nowIso,
    });
  });
  await pass([created.id, 1]);
  await run((tx) => createDueRuns(tx, { nowMs, limit: 10 }));
  await run((tx) =>
    sweepTries(tx, {
      nowMs: nowMs + 1_000_000,
      availableSinceMs: 0,
      heartbeatTimeoutMs: 300_000,
      queueTimeoutMs: 600_000,
      supervisorTimeoutMs: 30_000,
      maxRetryDelaySeconds: 60,
    }),
  );
  await run(async (tx) => {
    await findRunningRuns(tx);
    await findNextDue(tx, nowIso);
    await findOverdueRuns(tx, nowIso);
    await refreshPoolWarnings(tx, nowIso);
  });
  await pass([created.id]);
  const [ti] = await t.db.query<{ id: string }>(
    sql`SELECT id FROM task_instance WHERE dag_run_id = ${created.id} AND task_id = 't'`,
  );
  await run((tx) => failTry(tx, { id: ti!.id, reason: 'test', nowIso }));
  await run((tx) => clearTaskInstances(tx, { dagId: 'a', dagRunIds: [created.id], nowIso }));
  await run((tx) => setDagRunState(tx, { dagId: 'a', runId: created.runId, state: 'success', nowIso }));

  const scans: string[] = [];
  for (const [name, text] of seen) {
    const rows = await owner.query<{ 'QUERY PLAN': { Plan: Plan }[] }>(
      sql`EXPLAIN (GENERIC_PLAN, FORMAT JSON) ${raw(text)}`,
    );
    for (const node of nodes(rows[0]!['QUERY PLAN'][0]!.Plan)) {
      if (node['Node Type'] === 'Seq Scan' && GROWING.includes(node['Relation Name'] ?? '')) {
        scans.push(`${name}: ${node['Relation Name']}`);
      }
    }
  }
  await owner.close();
  ok(seen.size > 20, `only ${seen.size} statements were seen`);
  deepEqual(scans, []);
});
