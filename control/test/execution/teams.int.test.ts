/**
 * Teams in the Execution API: a try of one team asks every route for the things of another, without declared needs, so that
 * nothing but the team stands between. The team is that of the try's stored row, whatever the request says. @see promise L14
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { raw, sql } from '@airlock/store';
import { EXECUTION_POLICY, SELF_PARAMETERS } from '../../src/api/execution/policy.ts';
import { secretOwner } from '../../src/api/secrets/stored.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const CANARY = 'canary-of-b';
const AT = '2026-07-01T00:00:00Z';
let server: Server;
/** Tries of each team; `victim` is the one of team b whose things are asked for. */
let tries: { a: Try; victim: Try; b: Try };

before(async () => {
  server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const { db } = server;
  const asset = { __type: 'asset', __var: { name: 'orders-b', uri: 's3://orders-b', group: 'asset', extra: {} } };
  const runB = await server.seedRun('dag_b', 'b', { tasks: { extract: { outlets: [asset] } } });
  tries = {
    a: await server.startTry({ needs: null }, await server.seedRun('dag_a', 'a')),
    victim: await server.startTry({ needs: null, mapIndex: 0 }, runB),
    b: await server.startTry({ needs: null, mapIndex: 1 }, runB),
  };
  const { secrets } = server.deps;
  await db.query(
    sql`UPDATE dag_run SET conf = ${JSON.stringify({ of: CANARY })}::json, note = ${CANARY} WHERE dag_id = 'dag_b'`,
  );
  await db.query(sql`UPDATE dag SET description = ${CANARY} WHERE dag_id = 'dag_b'`);
  await db.query(sql`INSERT INTO variable (team, key, val, is_encrypted)
    VALUES ('b', 'of-b', ${secrets.seal(CANARY, secretOwner.variable('of-b'))}, ${secrets.encrypts})`);
  await db.query(sql`INSERT INTO connection (team, conn_id, conn_type, host) VALUES ('b', 'of-b', 'http', ${CANARY})`);
  await db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
    VALUES (${runB.dagRunId}, 'extract', -1, 'k', 'dag_b', ${runB.runId}, ${JSON.stringify(CANARY)}::json, ${AT})`);
  await db.query(sql`INSERT INTO asset_event (asset_id, extra, source_dag_id, source_run_id, source_task_id, at)
    SELECT id, ${JSON.stringify({ of: CANARY })}::json, 'dag_b', ${runB.runId}, 'extract', ${AT} FROM asset`);
  await db.query(
    sql`INSERT INTO asset_state (asset_id, key, value, updated_at) SELECT id, 'k', ${JSON.stringify(CANARY)}::json, ${AT} FROM asset`,
  );
  await db.query(sql`INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at)
    VALUES (${runB.dagRunId}, 'extract', 0, 'k', ${JSON.stringify(CANARY)}::json, ${AT})`);
  await server.seedTask(runB, { taskId: 'load', state: 'failed' });
});
after(() => server.close());

/** What a route is sent besides the ids in its path; where nothing is said, nothing. */
const SENT: Readonly<Record<string, readonly { readonly query?: string; readonly json?: unknown }[]>> = {
  'PATCH /task-instances/:task_instance_id/run': [
    { json: { state: 'running', hostname: 'worker-1', unixname: 'airflow', pid: 4242, start_date: AT } },
  ],
  'PATCH /task-instances/:task_instance_id/state': [{ json: { state: 'failed', end_date: AT } }],
  'PUT /task-instances/:task_instance_id/heartbeat': [{ json: { hostname: 'worker-1', pid: 4242 } }],
  'PUT /task-instances/:task_instance_id/rtif': [{ json: { a: 'b' } }],
  'PATCH /task-instances/:task_instance_id/rendered-map-index': [{ json: 'label' }],
  'PATCH /task-instances/:task_instance_id/skip-downstream': [{ json: { tasks: ['load'] } }],
  'GET /task-instances/count': [{ query: 'dag_id=dag_b' }],
  'GET /task-instances/states': [{ query: 'dag_id=dag_b' }],
  'GET /task-instances/breadcrumbs': [{ query: 'dag_id=dag_b&run_id=RUN' }],
  'GET /task-instances/previous/:dag_id/:task_id': [{ query: 'map_index=-1' }],
  'GET /dag-runs/count': [{ query: 'dag_id=dag_b' }],
  'GET /dag-runs/previous': [{ query: 'dag_id=dag_b&logical_date=2030-01-01T00:00:00Z' }],
  'GET /dag-runs/:dag_id/previous': [{ query: 'logical_date=2030-01-01T00:00:00Z' }],
  'POST /dag-runs/:dag_id/:run_id': [{ json: { conf: { a: 1 } } }],
  'GET /assets/by-name': [{ query: 'name=orders-b' }],
  'GET /assets/by-uri': [{ query: 'uri=s3://orders-b' }],
  'GET /assets/by-alias': [{ query: 'alias_name=any' }],
  'GET /asset-events/by-asset': [{ query: 'name=orders-b&uri=' }, { query: 'name=&uri=s3://orders-b' }],
  'GET /asset-events/by-asset-alias': [{ query: 'name=any' }],
  'POST /hitlDetails/:task_instance_id': [
    { json: { ti_id: '00000000-0000-4000-8000-000000000000', options: ['A'], subject: 's' } },
  ],
  'PATCH /hitlDetails/:task_instance_id': [
    { json: { ti_id: '00000000-0000-4000-8000-000000000000', chosen_options: ['A'] } },
  ],
  'PUT /store/ti/:task_instance_id/*': [{ json: { value: 'x' } }],
  'GET /store/asset/by-name/value': [{ query: 'name=orders-b&key=k' }],
  'PUT /store/asset/by-name/value': [{ query: 'name=orders-b&key=k', json: { value: 'x' } }],
  'DELETE /store/asset/by-name/value': [{ query: 'name=orders-b&key=k' }],
  'DELETE /store/asset/by-name/clear': [{ query: 'name=orders-b' }],
  'GET /store/asset/by-uri/value': [{ query: 'uri=s3://orders-b&key=k' }],
  'PUT /store/asset/by-uri/value': [{ query: 'uri=s3://orders-b&key=k', json: { value: 'x' } }],
  'DELETE /store/asset/by-uri/value': [{ query: 'uri=s3://orders-b&key=k' }],
  'DELETE /store/asset/by-uri/clear': [{ query: 'uri=s3://orders-b' }],
  'POST /xcoms/:dag_id/:run_id/:task_id/*': [{ json: 'x' }, { query: 'map_index=0', json: 'x' }],
  'PUT /variables/*': [{ json: { val: 'x' } }],
};
const REPORT = 'PATCH /task-instances/:task_instance_id/state';
const turn = (route: string): number => (route === REPORT ? 2 : route.startsWith('GET') ? 0 : 1);
/** Every route that a try may call: reads first, and last the one that ends it. */
const ROUTES = Object.entries(EXECUTION_POLICY)
  .filter(([, row]) => Array.isArray(row.tokens) && row.tokens.includes('execution'))
  .sort(([a], [b]) => turn(a) - turn(b));

/** All that belongs to team b; the audit log aside, where a refusal is written down. */
async function fingerprint(): Promise<string> {
  const tables = [
    'dag',
    'dag_run',
    'task_instance',
    'xcom',
    'variable',
    'connection',
    'asset',
    'asset_event',
    'asset_state',
    'task_state',
    'hitl_detail',
    'dag_version',
  ];
  const texts: string[] = [];
  for (const table of tables) {
    const where =
      {
        dag: `t.dag_id = 'dag_b'`,
        dag_run: `t.dag_id = 'dag_b'`,
        task_instance: `t.dag_id = 'dag_b'`,
        xcom: `t.dag_id = 'dag_b'`,
        variable: `t.key = 'of-b'`,
        connection: `t.conn_id = 'of-b'`,
      }[table] ?? 'true';
    const rows = await server.db.query<{ text: string }>(
      sql`SELECT t::text AS text FROM ${raw(table)} t WHERE ${raw(where)} ORDER BY 1`,
    );
    texts.push(...rows.map((row) => row.text));
  }
  return texts.join('\n');
}

type Asked = { readonly route: string; readonly status: number; readonly text: string };
/** Asks every route for the victim's things. `subject` is what stands where a route wants the caller's own id. */
async function askAll(
  who: Try,
  subject: string,
  extra: { query: string; headers: Record<string, string> },
): Promise<Asked[]> {
  const asked: Asked[] = [];
  for (const [route, row] of ROUTES) {
    const [method, path] = route.split(' ') as [string, string];
    const named: Record<string, string> = {
      ...Object.fromEntries(SELF_PARAMETERS.map((name) => [name, subject])),
      dag_id: 'dag_b',
      run_id: method === 'POST' && path === '/dag-runs/:dag_id/:run_id' ? 'new' : tries.victim.run.runId,
      task_id: 'extract',
      conn_id: 'of-b',
    };
    const star = /^\/(variables)/.test(path) ? 'of-b' : 'k';
    const at = path.replace('/*', `/${star}`).replace(/:(\w+)/g, (_, name: string) => named[name] ?? 'x');
    const version = row.servedIn?.until ?? row.servedIn?.since;
    for (const { query = '', json } of SENT[route] ?? [{}]) {
      const all = [query.replace('RUN', tries.victim.run.runId), extra.query].filter((part) => part !== '').join('&');
      const answer = await server.call(method, `${at}${all && `?${all}`}`, {
        token: who.token,
        key: who.key,
        ...(json === undefined ? {} : { json }),
        headers: { ...extra.headers, ...(version === undefined ? {} : { 'airflow-api-version': version }) },
      });
      asked.push({ route, status: answer.status, text: answer.text });
    }
  }
  return asked;
}

test('0 reads and 0 writes of another team over every route, whatever team the request claims', async (t) => {
  const before = await fingerprint();
  const claims: ReadonlyArray<{ query: string; headers: Record<string, string> }> = [
    { query: '', headers: {} },
    { query: 'team_name=b&team=b', headers: { 'x-team': 'b', 'airflow-team': 'b', 'x-airflow-team': 'b' } },
  ];
  let asked = 0;
  for (const claim of claims) {
    for (const answer of await askAll(tries.a, tries.victim.id, claim)) {
      asked++;
      assert.ok(!answer.text.includes(CANARY), `${answer.route} shows ${answer.text}`);
      assert.ok(answer.status < 500, `${answer.route}: ${answer.status} ${answer.text}`);
    }
    assert.equal(await fingerprint(), before);
  }
  // The control: a try of the team itself reads and changes what the first could not.
  const own = await askAll(tries.b, tries.b.id, claims[0]!);
  const shown = own.filter((answer) => answer.text.includes(CANARY));
  assert.ok(new Set(shown.map(({ route }) => route)).size >= 5, shown.map(({ route }) => route).join());
  assert.notEqual(await fingerprint(), before);
  t.diagnostic(
    `L14: ${asked} requests of another team on ${ROUTES.length} routes: 0 reads, 0 writes; its own reads on ${shown.length} of them`,
  );
});

test('the team is that of the row, now: a try whose Dag comes to another team reads that team’s things and no more the first’s', async () => {
  await server.db.query(sql`INSERT INTO variable (team, key, val) VALUES ('a', 'mine', 'of-a'), ('b', 'mine', 'of-b')`);
  const ti = await server.startTry({ needs: null }, await server.seedRun('dag_moves', 'a'));
  const read = async () => server.call('GET', '/variables/mine', { token: ti.token, key: ti.key });
  assert.deepEqual((await read()).json(), { key: 'mine', value: 'of-a' });
  await server.db.query(sql`UPDATE task_instance SET team = 'b' WHERE id = ${ti.id}`);
  assert.deepEqual((await read()).json(), { key: 'mine', value: 'of-b' });
  await server.db.query(sql`UPDATE task_instance SET team = NULL WHERE id = ${ti.id}`);
  assert.equal((await read()).status, 404);
});
