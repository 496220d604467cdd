// Promise L15: a task makes and clears runs of the Dags that its needs name, and of no other.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { dagDocument, ingest } from '../kit/dags.ts';
import { type Send, type Server, startExecutionApi, type Try } from './kit.ts';

const post = (server: Server, ti: Try, path: string, json?: unknown) => {
  const send: Send = { key: ti.key, token: ti.token };
  return server.call('POST', path, json === undefined ? send : { ...send, json });
};
const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];
const runsOf = (server: Server, dagId: string) =>
  server.db.query<Record<string, unknown>>(sql`SELECT * FROM dag_run WHERE dag_id = ${dagId} ORDER BY id`);
const denied = (dagId: string) => [
  403,
  { detail: { reason: 'access_denied', message: `Task does not have access to Dag ${dagId}` } },
];

test('a run is made queued, by an operator, with the given facts, and carries nobody’s name', async () => {
  await using server = await startExecutionApi();
  const own = await server.seedRun('dag_own');
  await server.db.query(sql`UPDATE dag_run SET triggering_user_name = 'alice' WHERE id = ${own.dagRunId}`);
  await server.seedRun('dag_far');
  const ti = await server.startTry({ needs: { dags: ['dag_far'] } }, own);
  const body = {
    logical_date: '2026-07-01T03:00:00.123456+02:00',
    run_after: '2026-07-01T04:00:00Z',
    conf: { full: true },
    note: 'from etl',
    reset_dag_run: true,
  };
  const answer = await post(server, ti, '/dag-runs/dag_far/r1', body);
  assert.deepEqual([answer.status, answer.text], [204, '']);
  const [, run] = await runsOf(server, 'dag_far');
  const { run_type, triggered_by, triggering_user_name, state, conf, note, run_id } = run!;
  assert.deepEqual(
    { run_type, triggered_by, triggering_user_name, state, conf, note, run_id },
    {
      run_type: 'operator_triggered',
      triggered_by: 'operator',
      triggering_user_name: null,
      state: 'queued',
      conf: { full: true },
      note: 'from etl',
      run_id: 'r1',
    },
  );
  const at = await server.one<
    Record<string, string>
  >(sql`SELECT logical_date = '2026-07-01T01:00:00.123456Z' AS logical,
    run_after = '2026-07-01T04:00:00Z' AS after, data_interval_start = run_after AS start FROM dag_run WHERE run_id = 'r1'`);
  assert.deepEqual(at, { logical: true, after: true, start: true });
  const tasks = await server.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM task_instance WHERE run_id = 'r1'`,
  );
  assert.equal(tasks.n, 4);
  const event = await server.one<{ owner: string; dag_id: string; extra: string }>(
    sql`SELECT owner, dag_id, extra FROM event_log WHERE event = 'trigger_dag_run'`,
  );
  assert.deepEqual([event.owner, event.dag_id, JSON.parse(event.extra).by.dag_id], ['task', 'dag_far', 'dag_own']);
});

test('a run without facts starts now, has no dates, and a paused Dag takes it', async () => {
  await using server = await startExecutionApi();
  await server.seedRun('dag_far');
  await server.db.query(sql`UPDATE dag SET is_paused = true WHERE dag_id = 'dag_far'`);
  const ti = await server.startTry({ needs: { dags: ['dag_far'] } });
  assert.equal((await post(server, ti, '/dag-runs/dag_far/manual__2026-07-01T00:00:00+00:00x', {})).status, 204);
  const [, run] = await runsOf(server, 'dag_far');
  assert.deepEqual([run!.logical_date, run!.data_interval_start, run!.conf], [null, null, {}]);
  assert.equal(Date.parse(run!.run_after as string), server.nowMs());
});

test('the same call again is a success without effect; the same name with other facts is a conflict', async () => {
  await using server = await startExecutionApi();
  await server.seedRun('dag_far');
  const ti = await server.startTry({ needs: { dags: ['dag_far'] } });
  const other = await server.startTry({ needs: { dags: ['dag_far'] } });
  const facts = { conf: { a: 1 }, logical_date: '2026-07-01T00:00:00Z' };
  assert.equal((await post(server, ti, '/dag-runs/dag_far/r1', facts)).status, 204);
  const repeats = await Promise.all(Array.from({ length: 5 }, () => post(server, ti, '/dag-runs/dag_far/r1', facts)));
  assert.deepEqual(
    repeats.map((answer) => answer.status),
    [204, 204, 204, 204, 204],
  );
  const exists = {
    detail: { reason: 'already_exists', message: "A run already exists for Dag 'dag_far' with run_id 'r1'" },
  };
  for (const [who, body] of [
    [other, facts],
    [ti, { ...facts, conf: { a: 2 } }],
    [ti, { conf: { a: 1 } }],
  ] as const) {
    assert.deepEqual(shown(await post(server, who, '/dag-runs/dag_far/r1', body)), [409, exists]);
  }
  const taken = await post(server, ti, '/dag-runs/dag_far/r2', facts);
  assert.equal(taken.status, 409);
  assert.equal(taken.json<{ detail: { reason: string } }>().detail.reason, 'Unique constraint violation');
  assert.equal((await runsOf(server, 'dag_far')).length, 2);
  const audited = await server.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM event_log WHERE event = 'trigger_dag_run'`,
  );
  assert.equal(audited.n, 1);
});

test('every refusal of a run names its reason, and nothing is made', async () => {
  await using server = await startExecutionApi();
  for (const dagId of ['dag_broken', 'dag_stale', 'dag_typed', 'dag_far']) await server.seedRun(dagId);
  await server.db.query(sql`UPDATE dag SET has_import_errors = dag_id = 'dag_broken', is_stale = dag_id = 'dag_stale',
    allowed_run_types = CASE WHEN dag_id = 'dag_typed' THEN ARRAY['scheduled'] END`);
  const ti = await server.startTry({
    needs: { dags: ['dag_broken', 'dag_stale', 'dag_typed', 'dag_far', 'dag_absent'] },
  });
  const reason = (status: number, reason: string, message: string) => [status, { detail: { reason, message } }];
  for (const [path, body, expected] of [
    ['dag_absent/r', {}, reason(404, 'not_found', "Dag with dag_id: 'dag_absent' not found")],
    ['dag_stale/r', {}, reason(404, 'not_found', "Dag with dag_id: 'dag_stale' not found")],
    [
      'dag_broken/r',
      {},
      reason(400, 'import_errors', "Dag with dag_id 'dag_broken' has import errors and cannot be triggered"),
    ],
    [
      'dag_typed/r',
      {},
      reason(400, 'denied_run_type', "Dag with dag_id 'dag_typed' does not allow operator-triggered runs"),
    ],
    [
      'dag_far/r',
      { partition_key: 'eu' },
      reason(400, 'not_partitioned', "Dag 'dag_far' is not a partitioned Dag and does not accept a partition_key."),
    ],
  ] as const) {
    assert.deepEqual(shown(await post(server, ti, `/dag-runs/${path}`, body)), expected);
  }
  for (const name of ['bad%20id!', 'scheduled__x', 'a..b', 'x'.repeat(251)]) {
    const answer = await post(server, ti, `/dag-runs/dag_far/${name}`, {});
    assert.deepEqual(
      [answer.status, answer.json<{ detail: { reason: string } }>().detail.reason],
      [400, 'value_error'],
      name,
    );
  }
  for (const body of [
    { conf: null },
    { conf: 'x' },
    { extra: 1 },
    { logical_date: '2026-07-01T00:00:00' },
    { partition_key: 'k'.repeat(251) },
    { note: 'n'.repeat(1001) },
    [],
  ]) {
    assert.equal((await post(server, ti, '/dag-runs/dag_far/r', body)).status, 422, JSON.stringify(body));
  }
  assert.equal((await post(server, ti, '/dag-runs/dag_far/r', {})).status, 204);
  const made = await server.one<{ n: number }>(
    sql`SELECT count(*)::integer AS n FROM dag_run WHERE run_type = 'operator_triggered'`,
  );
  assert.equal(made.n, 1);
});

test('a run is cleared whole: new tries, queued again, counted; repeated, nothing more happens', async () => {
  await using server = await startExecutionApi();
  const far = await server.seedRun('dag_far');
  const done = await server.seedTask(far, { taskId: 'extract', state: 'success' });
  await server.seedTask(far, { taskId: 'load', state: 'failed' });
  await server.db.query(sql`UPDATE dag_run SET state = 'failed', end_date = start_date WHERE id = ${far.dagRunId}`);
  const ti = await server.startTry({ needs: { dags: ['dag_far'] } });
  const clear = () => post(server, ti, `/dag-runs/dag_far/${far.runId}/clear`);
  const run = async () => (await runsOf(server, 'dag_far'))[0]!;
  assert.equal((await clear()).status, 204);
  const first = await run();
  assert.deepEqual([first.state, first.clear_number, first.end_date], ['queued', 1, null]);
  const tis = await server.db.query<{ id: string; state: string | null }>(
    sql`SELECT id, state FROM task_instance WHERE dag_run_id = ${far.dagRunId}`,
  );
  assert.deepEqual(
    tis.map((row) => row.state),
    [null, null],
  );
  assert.ok(tis.every((row) => row.id !== done.id));
  assert.equal((await clear()).status, 204);
  assert.equal((await run()).clear_number, 1, 'the lost answer was repeated');
  await server.db.query(sql`UPDATE dag_run SET state = 'success' WHERE id = ${far.dagRunId}`);
  assert.equal((await clear()).status, 204);
  assert.equal((await run()).clear_number, 2, 'a run that has ended since is cleared anew');
  const message = (text: string) => ({ detail: { reason: 'not_found', message: text } });
  assert.deepEqual(shown(await post(server, ti, '/dag-runs/dag_far/nope/clear')), [
    404,
    message("Dag run with run_id: 'nope' not found"),
  ]);
});

test('a run of a bundle with versions is cleared at its commit, or at the newest where its Dag or the configuration says', async () => {
  const [old, newest] = ['a'.repeat(40), 'b'.repeat(40)];
  for (const [configured, said, expected] of [
    ['', null, old],
    ['', true, newest],
    ['true', null, newest],
    ['true', false, old],
  ] as const) {
    await using server = await startExecutionApi({ AIRLOCK__CORE__RERUN_WITH_LATEST_VERSION: configured });
    const { db } = server;
    const nowIso = new Date(server.nowMs()).toISOString();
    const ti = await server.startTry({ needs: { dags: ['far'] } });
    const read = (version: string, retries: number) =>
      ingest(
        db,
        'far.ts',
        [dagDocument('far', [{ id: 't', retries }], said === null ? {} : { rerun_with_latest_version: said })],
        nowIso,
        { bundle_version: version },
      );
    await read(old, 0);
    assert.equal((await post(server, ti, '/dag-runs/far/r', {})).status, 204);
    await db.query(sql`UPDATE dag_run SET state = 'failed' WHERE dag_id = 'far'`);
    await db.query(sql`UPDATE task_instance SET state = 'failed', try_number = 1 WHERE dag_id = 'far'`);
    await read(newest, 1);
    assert.equal((await post(server, ti, '/dag-runs/far/r/clear')).status, 204);
    const run = await server.one(sql`SELECT bundle_version, state FROM dag_run WHERE dag_id = 'far'`);
    assert.deepEqual(run, { bundle_version: expected, state: 'queued' }, `${configured} ${said}`);
  }
});

test('a try that clears its own run loses its token with it', async () => {
  await using server = await startExecutionApi();
  const own = await server.seedRun('dag_own');
  const ti = await server.startTry({ needs: { dags: ['dag_own'] } }, own);
  assert.equal((await post(server, ti, `/dag-runs/dag_own/${own.runId}/clear`)).status, 204);
  assert.equal((await post(server, ti, `/dag-runs/dag_own/${own.runId}/clear`)).status, 403);
  assert.equal((await runsOf(server, 'dag_own'))[0]!.clear_number, 1);
});

test('what was not declared is neither triggered nor cleared, with the same answer whether or not it exists', async () => {
  await using server = await startExecutionApi();
  const [own, far] = [await server.seedRun('dag_own'), await server.seedRun('dag_far')];
  await server.seedTask(far, { taskId: 'extract', state: 'success' });
  const before = await server.db.query(sql`SELECT * FROM dag_run ORDER BY id`);
  const bound = await server.startTry({ needs: { dags: ['dag_other', 'dag_far2', 'DAG_FAR'] } }, own);
  let refused = 0;
  for (const dagId of ['dag_own', 'dag_far', 'dag_fa', 'dag_far%20', 'dag_absent']) {
    for (const [path, json] of [
      [`/dag-runs/${dagId}/r1`, {}],
      [`/dag-runs/${dagId}/r1`, { conf: { a: 1 } }],
      [`/dag-runs/${dagId}/${far.runId}/clear`, undefined],
      [`/dag-runs/${dagId}/absent/clear`, undefined],
    ] as const) {
      assert.deepEqual(shown(await post(server, bound, path, json)), denied(decodeURIComponent(dagId)), path);
      refused++;
    }
  }
  assert.equal(refused, 20);
  assert.deepEqual(await server.db.query(sql`SELECT * FROM dag_run ORDER BY id`), before);
  const free = await server.startTry({ needs: { dags: ['dag_far'] }, taskId: 'load' }, own);
  assert.equal((await post(server, free, '/dag-runs/dag_far/r1', {})).status, 204);
  assert.equal((await post(server, free, `/dag-runs/dag_far/${far.runId}/clear`)).status, 204);
});

test('strict mode without needs triggers nothing, airflow mode anything of its team and nothing of another', async () => {
  for (const [mode, status] of [
    ['strict', 403],
    ['airflow', 204],
  ] as const) {
    await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: mode });
    await server.seedRun('dag_far');
    const ti = await server.startTry({ needs: null });
    assert.equal((await post(server, ti, '/dag-runs/dag_far/r1', {})).status, status, mode);
  }
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const [a, b, none] = [
    await server.seedRun('dag_a', 'a'),
    await server.seedRun('dag_b', 'b'),
    await server.seedRun('dag_n'),
  ];
  const ti = await server.startTry({ needs: null }, a);
  assert.equal((await post(server, ti, '/dag-runs/dag_a/r1', {})).status, 204);
  for (const run of [b, none]) {
    assert.deepEqual(shown(await post(server, ti, `/dag-runs/${run.dagId}/r1`, {})), denied(run.dagId));
    assert.deepEqual(shown(await post(server, ti, `/dag-runs/${run.dagId}/${run.runId}/clear`)), denied(run.dagId));
  }
});

test('an ended try makes no run, though it was entitled to', async () => {
  await using server = await startExecutionApi();
  await server.seedRun('dag_far');
  const ti = await server.startTry({ needs: { dags: ['dag_far'] } });
  await server.db.query(sql`UPDATE task_instance SET state = 'failed' WHERE id = ${ti.id}`);
  assert.deepEqual(shown(await post(server, ti, '/dag-runs/dag_far/r1', {})), [403, { detail: 'Invalid auth token' }]);
  assert.equal((await runsOf(server, 'dag_far')).length, 1);
});
