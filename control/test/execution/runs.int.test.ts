// What a try may ask about Dags, runs and tasks, in each mode, and which version knows which path.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const get = (server: Server, ti: Try, path: string, version?: string) =>
  server.call('GET', path, {
    key: ti.key,
    token: ti.token,
    headers: version ? { 'airflow-api-version': version } : {},
  });
const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];
const notFound = (message: string) => [404, { detail: { reason: 'not_found', message } }];
const denied = (what: string) => [
  403,
  { detail: { reason: 'access_denied', message: `Task does not have access to ${what}` } },
];
const INSTANT = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{6})?Z$/;

/** Three runs of one Dag a day apart, the last of them the caller's, and one of another Dag. */
async function history(server: Server, needs: object | null) {
  const runs = [];
  for (const [n, state] of [
    [1, 'success'],
    [2, 'failed'],
    [3, 'running'],
  ] as const) {
    const run = await server.seedRun('dag_own');
    await server.db.query(sql`UPDATE dag_run SET logical_date = ${`2026-06-0${n}T00:00:00Z`}::timestamptz, state = ${state}
      WHERE id = ${run.dagRunId}`);
    runs.push(run);
  }
  for (const run of runs.slice(0, 2)) await server.seedTask(run, { taskId: 'extract', state: 'success' });
  const far = await server.seedRun('dag_far');
  await server.seedTask(far, { taskId: 'extract', state: 'success' });
  const ti = await server.startTry({ taskId: 'extract', needs: needs as never }, runs[2]);
  await server.seedTask(runs[2]!, { taskId: 'load', state: 'skipped' });
  await server.seedTask(runs[2]!, { taskId: 'report', state: null });
  return { ti, runs: runs as [(typeof runs)[0], (typeof runs)[0], (typeof runs)[0]], far };
}

test('a run is told with the keys of the newest version, and one that is not there is 404', async () => {
  await using server = await startExecutionApi();
  const { ti, far } = await history(server, null);
  const answer = await get(server, ti, `/dag-runs/dag_far/${far.runId}`);
  const run = answer.json<Record<string, unknown>>();
  assert.match(run.run_after as string, INSTANT);
  assert.match(run.start_date as string, INSTANT);
  assert.deepEqual(
    { ...run, run_after: '', start_date: '' },
    {
      dag_id: 'dag_far',
      run_id: far.runId,
      logical_date: null,
      data_interval_start: null,
      data_interval_end: null,
      run_after: '',
      start_date: '',
      end_date: null,
      clear_number: 0,
      run_type: 'manual',
      state: 'running',
      conf: {},
      triggering_user_name: null,
      consumed_asset_events: [],
      partition_key: null,
      partition_date: null,
      note: null,
      team_name: null,
    },
  );
  assert.deepEqual(shown(await get(server, ti, `/dag-runs/dag_far/${far.runId}/state`)), [200, { state: 'running' }]);
  for (const path of ['/dag-runs/dag_far/nope', '/dag-runs/dag_far/nope/state']) {
    assert.deepEqual(
      shown(await get(server, ti, path)),
      notFound("Dag run with dag_id 'dag_far' and run_id 'nope' was not found"),
    );
  }
});

test('runs are counted by date, id and state, and a word that is no state matches nothing', async () => {
  await using server = await startExecutionApi();
  const { ti, runs } = await history(server, null);
  for (const [query, count] of [
    ['', 3],
    ['&states=success&states=failed', 2],
    ['&states=bogus', 0],
    [`&run_ids=${runs[0].runId}`, 1],
    ['&logical_dates=2026-06-01T00:00:00Z&logical_dates=2026-06-02T02:00:00%2B02:00', 2],
    ['&logical_dates=2026-06-01T00:00:01Z', 0],
  ] as const) {
    assert.deepEqual(shown(await get(server, ti, `/dag-runs/count?dag_id=dag_own${query}`)), [200, count], query);
  }
  assert.equal((await get(server, ti, '/dag-runs/count')).status, 422);
  assert.equal((await get(server, ti, '/dag-runs/count?dag_id=dag_own&logical_dates=2026-06-01T00:00:00')).status, 422);
});

test('the previous run is the latest before a date, of a state when asked, or null as the whole body', async () => {
  await using server = await startExecutionApi();
  const { ti, runs } = await history(server, null);
  const ask = async (query: string) =>
    (await get(server, ti, `/dag-runs/previous?dag_id=dag_own&${query}`)).json<{ run_id: string } | null>();
  assert.equal((await ask('logical_date=2026-06-03T00:00:00Z'))?.run_id, runs[1].runId);
  assert.equal((await ask('logical_date=2026-06-03T00:00:00Z&state=success'))?.run_id, runs[0].runId);
  assert.equal(await ask('logical_date=2026-06-01T00:00:00Z'), null);
  assert.equal(
    (await get(server, ti, '/dag-runs/previous?dag_id=dag_own&logical_date=2026-06-03T00:00:00Z&state=x')).status,
    422,
  );
  assert.equal((await get(server, ti, '/dag-runs/previous?dag_id=dag_own')).status, 422);
});

test('a Dag is told with sorted tags, and one that is not there is 404', async () => {
  await using server = await startExecutionApi();
  const { ti } = await history(server, null);
  await server.db.query(
    sql`INSERT INTO dag_tag (dag_id, name) VALUES ('dag_own', 'orders'), ('dag_own', 'Etl'), ('dag_own', 'etl')`,
  );
  assert.deepEqual(shown(await get(server, ti, '/dags/dag_own')), [
    200,
    {
      dag_id: 'dag_own',
      is_paused: false,
      bundle_name: 'dags-folder',
      bundle_version: null,
      relative_fileloc: 'a.ts',
      owners: '',
      tags: ['Etl', 'etl', 'orders'],
      next_dagrun: null,
    },
  ]);
  assert.deepEqual(
    shown(await get(server, ti, '/dags/no%2Fpe')),
    notFound('The Dag with dag_id: `no/pe` was not found'),
  );
});

test('breadcrumbs name the finished tasks of a run, and the previous instance of a task is found by date', async () => {
  await using server = await startExecutionApi();
  const { ti, runs } = await history(server, null);
  assert.deepEqual(shown(await get(server, ti, `/task-instances/breadcrumbs?dag_id=dag_own&run_id=${ti.run.runId}`)), [
    200,
    { breadcrumbs: [{ task_id: 'load', map_index: -1, state: 'skipped', operator: null, duration: null }] },
  ]);
  const ask = async (query: string) =>
    (await get(server, ti, `/task-instances/previous/dag_own/extract?${query}`)).json<{ run_id: string } | null>();
  assert.equal((await ask('logical_date=2026-06-02T00:00:00Z'))?.run_id, runs[0].runId);
  assert.equal((await ask(''))?.run_id, runs[2].runId);
  assert.equal((await ask('state=success'))?.run_id, runs[1].runId);
  assert.equal(await ask('map_index=7'), null);
  assert.equal((await get(server, ti, '/task-instances/previous/dag_own/extract?state=x')).status, 422);
});

/** Every question about runs, Dags and their tasks, by what it is about. */
const QUESTIONS = (
  dagId: string,
  runId: string,
): ReadonlyArray<readonly [string, 'run' | 'dag' | 'runs' | 'tasks of run' | 'tasks', string]> => [
  [`/dag-runs/${dagId}/${runId}`, 'run', 'this Dag run'],
  [`/dag-runs/${dagId}/${runId}/state`, 'run', 'this Dag run'],
  [`/dag-runs/count?dag_id=${dagId}&run_ids=${runId}`, 'run', 'these Dag runs'],
  [`/dag-runs/count?dag_id=${dagId}`, 'runs', 'these Dag runs'],
  [`/dag-runs/previous?dag_id=${dagId}&logical_date=2026-06-03T00:00:00Z`, 'runs', 'this Dag run'],
  [`/dags/${dagId}`, 'dag', `Dag ${dagId}`],
  [`/task-instances/breadcrumbs?dag_id=${dagId}&run_id=${runId}`, 'tasks of run', 'these task instances'],
  [`/task-instances/previous/${dagId}/extract`, 'tasks', 'these task instances'],
];

test('under declared needs a try asks about its own run and Dag, and about the Dags that it may trigger', async () => {
  await using server = await startExecutionApi();
  const { ti, runs, far } = await history(server, { dags: ['dag_declared'] });
  const declared = await server.seedRun('dag_declared');
  const cells: Array<[string, string, boolean, boolean]> = [];
  for (const [relation, dagId, runId, may] of [
    ['own run', 'dag_own', runs[2].runId, ['run', 'dag', 'tasks of run']],
    ['another run of the own Dag', 'dag_own', runs[0].runId, ['dag']],
    ['an absent run of the own Dag', 'dag_own', 'absent', ['dag']],
    ['a declared Dag', 'dag_declared', declared.runId, ['run', 'runs', 'dag']],
    ['a foreign Dag', 'dag_far', far.runId, []],
    ['a foreign Dag with the own run id', 'dag_far', runs[2].runId, []],
    ['an absent Dag', 'dag_absent', runs[2].runId, []],
  ] as ReadonlyArray<readonly [string, string, string, readonly string[]]>) {
    for (const [path, about, what] of QUESTIONS(dagId, runId)) {
      const answer = await get(server, ti, path);
      cells.push([relation, path, may.includes(about), answer.status !== 403]);
      if (answer.status === 403) assert.deepEqual(shown(answer), denied(what));
    }
  }
  assert.deepEqual(
    cells.filter(([, , right, seen]) => right !== seen),
    [],
  );
  assert.equal(cells.length, 56);
});

test('strict mode without needs leaves a try its own run; airflow mode opens every question', async () => {
  for (const [mode, open] of [
    ['strict', false],
    ['airflow', true],
  ] as const) {
    await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: mode });
    const { ti, runs, far } = await history(server, null);
    for (const [path] of QUESTIONS('dag_far', far.runId)) {
      assert.equal((await get(server, ti, path)).status === 200, open, `${mode} ${path}`);
    }
    assert.equal((await get(server, ti, `/dag-runs/dag_own/${runs[2].runId}`)).status, 200);
  }
});

test('in multi-team mode another team’s Dag answers as an absent one, and a teamless Dag is open', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const [a, b, none] = [
    await server.seedRun('dag_a', 'a'),
    await server.seedRun('dag_b', 'b'),
    await server.seedRun('dag_n'),
  ];
  const ti = await server.startTry({ needs: null }, a);
  for (const [run, open] of [
    [a, true],
    [none, true],
    [b, false],
  ] as const) {
    for (const [path] of QUESTIONS(run.dagId, run.runId)) {
      assert.equal((await get(server, ti, path)).status === 200, open, path);
    }
  }
  for (const [at] of QUESTIONS('dag_b', b.runId).entries()) {
    const [there, absent] = [QUESTIONS('dag_b', b.runId)[at]!, QUESTIONS('dag_x', b.runId)[at]!];
    const [seen, other] = [await get(server, ti, there[0]), await get(server, ti, absent[0])];
    assert.equal(other.status, 403);
    assert.equal(other.text.replaceAll('dag_x', 'dag_b'), seen.text);
  }
});

test('the keys of variables are those that the try may read, total included', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  for (const [team, key] of [
    [null, 'region'],
    [null, 'Region'],
    ['a', 'region'],
    ['a', 'only_a'],
    ['b', 'only_b'],
    [null, 'reg%ion'],
  ] as const) {
    if (team) await server.db.query(sql`INSERT INTO team (name) VALUES (${team}) ON CONFLICT DO NOTHING`);
    await server.db.query(sql`INSERT INTO variable (team, key, val) VALUES (${team}, ${key}, 'x')`);
  }
  const keys = async (ti: Try, query = '') => (await get(server, ti, `/variables/keys${query}`)).json();
  const inA = await server.startTry({ needs: null }, await server.seedRun('dag_a', 'a'));
  const inB = await server.startTry({ needs: null }, await server.seedRun('dag_b', 'b'));
  const bound = await server.startTry(
    { needs: { variables: ['region', 'absent', 'only_b'] } },
    await server.seedRun('dag_c', 'a'),
  );
  assert.deepEqual(await keys(inA), { keys: ['Region', 'only_a', 'reg%ion', 'region'], total_entries: 4 });
  assert.deepEqual(await keys(inB), { keys: ['Region', 'only_b', 'reg%ion', 'region'], total_entries: 4 });
  assert.deepEqual(await keys(bound), { keys: ['region'], total_entries: 1 });
  assert.deepEqual(await keys(inA, '?prefix=reg%25'), { keys: ['reg%ion'], total_entries: 1 });
  assert.deepEqual(await keys(inA, '?limit=1&offset=1'), { keys: ['only_a'], total_entries: 4 });
  for (const query of ['?limit=0', '?limit=10001', '?offset=-1']) {
    assert.equal((await get(server, inA, `/variables/keys${query}`)).status, 422, query);
  }
});

test('a path that a version does not have is unknown to it, refused by its methods, or taken by another route', async () => {
  await using server = await startExecutionApi();
  const { ti, runs } = await history(server, null);
  const own = runs[2].runId;
  const date = 'logical_date=2026-06-03T00:00:00Z';
  for (const [version, path, status] of [
    ['2026-06-30', '/variables/keys', 200],
    ['2026-04-06', '/variables/keys', 404], // the variable of that name
    ['2026-04-06', `/dag-runs/dag_own/${own}`, 200],
    ['2026-04-06', '/dags/dag_own', 200],
    ['2025-11-05', '/dags/dag_own', 404],
    ['2026-04-06', `/dag-runs/previous?dag_id=dag_own&${date}`, 200],
    ['2025-11-05', `/dag-runs/previous?dag_id=dag_own&${date}`, 404],
    ['2025-11-05', `/dag-runs/dag_own/previous?${date}`, 200],
    ['2025-08-10', `/dag-runs/dag_own/previous?${date}`, 200],
    ['2026-04-06', `/dag-runs/dag_own/previous?${date}`, 404], // the run of that name
  ] as const) {
    assert.equal((await get(server, ti, path, version)).status, status, `${version} ${path}`);
  }
  const message = (text: string) => ({ detail: { reason: 'not_found', message: text } });
  assert.deepEqual(
    (await get(server, ti, '/variables/keys', '2026-04-06')).json(),
    message("Variable with key 'keys' not found"),
  );
  assert.deepEqual(
    (await get(server, ti, '/dag-runs/dag_own/previous', '2026-06-30')).json(),
    message("Dag run with dag_id 'dag_own' and run_id 'previous' was not found"),
  );
  assert.deepEqual((await get(server, ti, '/dags/dag_own', '2025-11-05')).json(), { detail: 'Not Found' });
});

test('an older client reads a run without the keys that it would refuse', async () => {
  await using server = await startExecutionApi();
  const { ti, far } = await history(server, null);
  const keys = async (path: string, version: string) =>
    Object.keys((await get(server, ti, path, version)).json<Record<string, unknown>>());
  const newest = await keys(`/dag-runs/dag_far/${far.runId}`, '2026-06-30');
  const at = async (path: string, version: string) => {
    const seen = await keys(path, version);
    return newest.filter((key) => !seen.includes(key));
  };
  assert.deepEqual(await at(`/dag-runs/dag_far/${far.runId}`, '2026-04-06'), ['partition_date', 'team_name']);
  assert.deepEqual(await at('/dag-runs/dag_own/previous?logical_date=2026-06-03T00:00:00Z', '2025-08-10'), [
    'triggering_user_name',
    'partition_key',
    'partition_date',
    'note',
    'team_name',
  ]);
});
