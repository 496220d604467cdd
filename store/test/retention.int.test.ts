import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { test } from 'node:test';
import { type Db, sql } from '@airlock/store';
import { type RetentionRules, sweep } from '@airlock/store/queries/retention/sweep';
import { testDatabase } from '../../tests/kit/database.ts';

const NOW = Date.parse('2026-06-01T00:00:00Z');
const DAY = 86_400_000;
const daysAgo = (days: number) => new Date(NOW - days * DAY).toISOString();
const RULES: RetentionRules = {
  dag_run_days: 30,
  event_log_days: 30,
  dag_versions: 2,
  job_days: 7,
  batch_rows: 1000,
  rendered_fields_runs: 2,
};
const run = (db: Db, rules: Partial<RetentionRules> = {}) =>
  sweep(db, { nowMs: NOW, sinceMs: NOW - DAY, rules: { ...RULES, ...rules } });

async function dag(db: Db, dagId: string): Promise<void> {
  await db.query(sql`INSERT INTO dag_bundle (name, kind, path) VALUES ('b', 'local', '/b') ON CONFLICT DO NOTHING`);
  await db.query(sql`INSERT INTO dag (dag_id, bundle_name, relative_fileloc, fileloc, display_name, timetable_type, is_paused,
    max_active_runs, max_active_tasks, last_parsed_at) VALUES (${dagId}, 'b', 'f', 'f', ${dagId}, 't', false, 1, 1, ${daysAgo(0)})`);
}

async function version(db: Db, dagId: string, number: number, module: string | null = null, age = 40): Promise<string> {
  const id = randomUUID();
  await db.query(sql`INSERT INTO dag_version (id, dag_id, version_number, bundle_name, digest, document, source, module_hash, created_at)
    VALUES (${id}, ${dagId}, ${number}, 'b', 'd', '{}', '', ${module}, ${daysAgo(age)})`);
  return id;
}

async function dagRun(db: Db, dagId: string, age: number, versionId: string, state = 'success'): Promise<void> {
  const [row] = await db.query<{
    id: number;
  }>(sql`INSERT INTO dag_run (dag_id, run_id, state, run_type, triggered_by, run_after, end_date, updated_at)
    VALUES (${dagId}, ${`r${age}`}, ${state}, 'manual', 'test', ${daysAgo(age)}, ${state === 'running' ? null : daysAgo(age)}, ${daysAgo(age)}) RETURNING id`);
  await db.query(sql`INSERT INTO task_instance (id, dag_run_id, dag_id, run_id, task_id, dag_version_id, state, task_display_name, pool, queue, rendered_fields, updated_at)
    VALUES (${randomUUID()}, ${row!.id}, ${dagId}, ${`r${age}`}, 't', ${versionId}, 'success', 't', 'p', 'q', '{}', ${daysAgo(age)})`);
  await db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
    VALUES (${row!.id}, 't', -1, 'return_value', ${dagId}, ${`r${age}`}, '1', ${daysAgo(age)})`);
}

/** Gives the rows of the audit log their places, as the linker does. */
const link = (db: Db) =>
  db.query(sql`UPDATE event_log l SET seq = x.seq, hash = '\\x00'
    FROM (SELECT id, row_number() OVER (ORDER BY id) AS seq FROM event_log) x WHERE x.id = l.id`);

const runsOf = async (db: Db, dagId: string) =>
  (await db.query<{ run_id: string }>(sql`SELECT run_id FROM dag_run WHERE dag_id = ${dagId} ORDER BY run_id`)).map(
    (row) => row.run_id,
  );

test('Finished runs beyond their age go with all that belongs to them; running ones and the newest of a Dag stay', async () => {
  await using database = await testDatabase();
  const { db } = database;
  for (const id of ['busy', 'quiet']) await dag(db, id);
  const busy = await version(db, 'busy', 1);
  const quiet = await version(db, 'quiet', 1);
  await dagRun(db, 'busy', 50, busy);
  await dagRun(db, 'busy', 45, busy, 'running');
  await dagRun(db, 'busy', 40, busy, 'failed');
  await dagRun(db, 'busy', 10, busy);
  await dagRun(db, 'quiet', 300, quiet);
  const result = await run(db);
  assert.deepEqual(result.runs.map((row) => row.run_id).sort(), ['r40', 'r50']);
  assert.deepEqual(await runsOf(db, 'busy'), ['r10', 'r45']);
  assert.deepEqual(await runsOf(db, 'quiet'), ['r300']); // its newest
  for (const table of ['task_instance', 'xcom'] as const) {
    const rows =
      table === 'xcom' ? await db.query(sql`SELECT 1 FROM xcom`) : await db.query(sql`SELECT 1 FROM task_instance`);
    assert.equal(rows.length, 3, table);
  }
  assert.equal((await run(db)).runs.length, 0);
});

test('Zero days keep runs and audit entries for ever', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await dag(db, 'd');
  const id = await version(db, 'd', 1);
  await dagRun(db, 'd', 5000, id);
  await dagRun(db, 'd', 1, id);
  await db.query(sql`INSERT INTO event_log (at, event) VALUES (${daysAgo(5000)}, 'old')`);
  await link(db);
  const kept = await run(db, { dag_run_days: 0, event_log_days: 0 });
  assert.deepEqual(kept.runs, []);
  assert.equal((await db.query(sql`SELECT 1 FROM event_log`)).length, 1);
  await run(db); // control: with a limit both go
  assert.deepEqual(await runsOf(db, 'd'), ['r1']);
  assert.equal((await db.query(sql`SELECT 1 FROM event_log`)).length, 0);
});

test('A sweep takes one batch and says that there is more', async () => {
  await using database = await testDatabase();
  const { db } = database;
  for (let i = 0; i < 25; i++) await db.query(sql`INSERT INTO event_log (at, event) VALUES (${daysAgo(65 - i)}, 'e')`);
  await link(db);
  const rounds: number[] = [];
  for (let more = true; more; ) {
    const result = await run(db, { batch_rows: 10 });
    rounds.push(result.counts.event_log!);
    more = result.more;
  }
  assert.deepEqual(rounds, [10, 10, 5]);
});

test('The audit log loses its beginning and nothing else: no entry without a place, none after a newer one', async () => {
  await using database = await testDatabase();
  const { db } = database;
  const left = async () =>
    (await db.query<{ event: string }>(sql`SELECT event FROM event_log ORDER BY id`)).map((row) => row.event);
  for (const [event, age] of [
    ['a', 50],
    ['b', 45],
    ['new', 1],
    ['late', 40],
  ] as const) {
    await db.query(sql`INSERT INTO event_log (at, event) VALUES (${daysAgo(age)}, ${event})`);
  }
  await run(db);
  assert.deepEqual(await left(), ['a', 'b', 'new', 'late']);
  await link(db);
  await db.query(sql`INSERT INTO event_log (at, event) VALUES (${daysAgo(60)}, 'unlinked')`);
  assert.equal((await run(db)).counts.event_log, 2);
  assert.deepEqual(await left(), ['new', 'late', 'unlinked']);
  assert.deepEqual(await db.query(sql`SELECT base_seq FROM event_chain`), [{ base_seq: 2 }]);
  // Where the first is old enough too, the next goes with it.
  await db.query(sql`DELETE FROM event_log WHERE event = 'new'`);
  assert.equal((await run(db)).counts.event_log, 1);
  assert.deepEqual(await left(), ['unlinked']);
});

test('Old versions go when nothing uses them: never the current one, never one of a run, never one of the newest', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await dag(db, 'd');
  const hash = 'a'.repeat(64);
  const used = 'b'.repeat(64);
  for (const each of [hash, used])
    await db.query(sql`INSERT INTO dag_module (hash, code, created_at) VALUES (${each}, '', ${daysAgo(40)})`);
  const ids: string[] = [];
  for (let n = 1; n <= 6; n++) ids.push(await version(db, 'd', n, n === 1 ? hash : used));
  await db.query(sql`UPDATE dag SET current_version_id = ${ids[2]} WHERE dag_id = 'd'`);
  await dagRun(db, 'd', 1, ids[1]!);
  const first = await run(db);
  const left = await db.query<{ version_number: number }>(sql`SELECT version_number FROM dag_version ORDER BY 1`);
  assert.deepEqual(
    left.map((row) => row.version_number),
    [2, 3, 5, 6],
  );
  assert.equal(first.counts.dag_module, 1);
  assert.deepEqual(await db.query(sql`SELECT hash FROM dag_module`), [{ hash: used }]);
});

test('A version or module of today is left alone, whoever uses it', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await dag(db, 'd');
  await db.query(sql`INSERT INTO dag_module (hash, code, created_at) VALUES (${'c'.repeat(64)}, '', ${daysAgo(0.5)})`);
  for (let n = 1; n <= 5; n++) await version(db, 'd', n, null, 0.5);
  const result = await run(db);
  assert.equal(result.counts.dag_version, 0);
  assert.equal(result.counts.dag_module, 0);
});

test('Expired revocations, tickets and silent processes go; a revocation that still counts stays', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await db.query(
    sql`INSERT INTO revoked_token (jti, expires_at) VALUES ('old', ${daysAgo(1)}), ('just', ${new Date(NOW - 1000).toISOString()}), ('live', ${daysAgo(-1)})`,
  );
  await db.query(
    sql`INSERT INTO join_ticket (digest, roles, expires_at) VALUES ('old', '{}', ${daysAgo(1)}), ('live', '{}', ${daysAgo(-1)})`,
  );
  const job = (
    age: number,
  ) => sql`INSERT INTO job (job_type, instance_id, state, hostname, unixname, start_date, latest_heartbeat)
    VALUES ('SchedulerJob', ${randomUUID()}, 'running', 'h', 'u', ${daysAgo(age)}, ${daysAgo(age)})`;
  await db.query(job(8));
  await db.query(job(1));
  const supervisor = (
    id: string,
    age: number,
  ) => sql`INSERT INTO supervisor (id, jkt, public_jwk, hostname, unixname, pid, roles, sandbox_tier, version, registered_at, last_seen_at)
    VALUES (${id}, ${id}, '{}', 'h', 'u', 1, '{}', 'none', '1', ${daysAgo(age)}, ${daysAgo(age)})`;
  const named = randomUUID();
  await db.query(supervisor(randomUUID(), 8));
  await db.query(supervisor(named, 8));
  await dag(db, 'd');
  await dagRun(db, 'd', 1, await version(db, 'd', 1));
  await db.query(sql`UPDATE task_instance SET supervisor_id = ${named}`);
  await run(db);
  assert.deepEqual(await db.query(sql`SELECT jti FROM revoked_token ORDER BY 1`), [{ jti: 'just' }, { jti: 'live' }]);
  assert.deepEqual(await db.query(sql`SELECT digest FROM join_ticket`), [{ digest: 'live' }]);
  assert.equal((await db.query(sql`SELECT 1 FROM job`)).length, 1);
  assert.deepEqual(await db.query(sql`SELECT id FROM supervisor`), [{ id: named }]);
});

test('Rendered fields stay for the newest runs of each Dag that had one end lately', async () => {
  await using database = await testDatabase();
  const { db } = database;
  await dag(db, 'd');
  const id = await version(db, 'd', 1);
  for (const age of [5, 4, 3, 0.1]) await dagRun(db, 'd', age, id);
  const result = await run(db);
  assert.equal(result.counts.rendered_fields, 2);
  const kept = await db.query<{ run_id: string }>(
    sql`SELECT run_id FROM task_instance WHERE rendered_fields IS NOT NULL ORDER BY 1`,
  );
  assert.deepEqual(
    kept.map((row) => row.run_id),
    ['r0.1', 'r3'],
  );
});
