// Promises L6 and L7: a try reaches what its Dag declares, and a refusal says nothing about what exists.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { readForCaller } from '@airlock/store/queries/task-instance/reads';
import * as inSql from '@airlock/store/queries/token/rights';
import * as rights from '../../src/api/execution/rights.ts';
import { secretOwner } from '../../src/api/secrets/stored.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

async function addVariable(server: Server, key: string, val: string, team: string | null = null): Promise<void> {
  const { secrets } = server.deps;
  await server.db.query(sql`INSERT INTO variable (team, key, val, is_encrypted)
    VALUES (${team}, ${key}, ${secrets.seal(val, secretOwner.variable(key))}, ${secrets.encrypts})`);
}
async function addConnection(server: Server, id: string): Promise<void> {
  const { secrets } = server.deps;
  await server.db.query(sql`INSERT INTO connection (conn_id, conn_type, host, login, password, port, extra, schema, is_encrypted)
    VALUES (${id}, 'postgres', 'db.example', 'svc', ${secrets.seal('pw', secretOwner.password(id))}, 5432,
      ${secrets.seal('{"a": 1}', secretOwner.extra(id))}, 'orders', ${secrets.encrypts})`);
}
const get = (server: Server, ti: Try, path: string) => server.call('GET', path, { key: ti.key, token: ti.token });
const denied = (what: string) => [
  403,
  { detail: { reason: 'access_denied', message: `Task does not have access to ${what}` } },
];
const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];

test('a declared variable is read in the clear; declared and absent is 404', async () => {
  await using server = await startExecutionApi();
  await addVariable(server, 'region', 'eu');
  await addVariable(server, 'deep/er+key', 'x');
  const ti = await server.startTry({ needs: { variables: ['region', 'absent', 'deep/er+key'] } });
  assert.deepEqual(shown(await get(server, ti, '/variables/region')), [200, { key: 'region', value: 'eu' }]);
  assert.deepEqual(shown(await get(server, ti, '/variables/deep/er+key')), [200, { key: 'deep/er+key', value: 'x' }]);
  assert.deepEqual(shown(await get(server, ti, '/variables/deep%2Fer%2Bkey')), [
    200,
    { key: 'deep/er+key', value: 'x' },
  ]);
  assert.deepEqual(shown(await get(server, ti, '/variables/absent')), [
    404,
    { detail: { reason: 'not_found', message: "Variable with key 'absent' not found" } },
  ]);
});

test('an undeclared variable or connection is the same 403 whether or not it exists, headers included', async () => {
  await using server = await startExecutionApi();
  await addVariable(server, 'canary', 'SECRET-CANARY');
  await addConnection(server, 'canary');
  const ti = await server.startTry({ needs: { variables: ['x'], connections: ['x'] } });
  for (const kind of ['variable', 'connection']) {
    const [there, absent] = await Promise.all([
      get(server, ti, `/${kind}s/canary`),
      get(server, ti, `/${kind}s/nobody`),
    ]);
    assert.deepEqual(shown(there), denied(`${kind} canary`));
    assert.equal(absent.text.replaceAll('nobody', 'canary'), there.text);
    const comparable = (answer: typeof there) => [...answer.headers].filter(([name]) => name !== 'date');
    assert.deepEqual(comparable(absent), comparable(there));
    assert.ok(!there.text.includes('SECRET'));
  }
});

test('a declared connection comes whole, its extra as text', async () => {
  await using server = await startExecutionApi();
  await addConnection(server, 'warehouse');
  const ti = await server.startTry({ needs: { connections: ['warehouse', 'gone'] } });
  assert.deepEqual(shown(await get(server, ti, '/connections/warehouse')), [
    200,
    {
      conn_id: 'warehouse',
      conn_type: 'postgres',
      host: 'db.example',
      schema: 'orders',
      login: 'svc',
      password: 'pw',
      port: 5432,
      extra: '{"a": 1}',
    },
  ]);
  assert.deepEqual(shown(await get(server, ti, '/connections/gone')), [
    404,
    { detail: { reason: 'not_found', message: 'Connection with ID gone not found' } },
  ]);
  assert.equal((await get(server, ti, '/connections/a/b')).status, 404);
});

test('names that only look declared are refused: other case, spaces, prefixes, patterns', async () => {
  await using server = await startExecutionApi();
  await addVariable(server, 'Region', 'x');
  const ti = await server.startTry({ needs: { variables: ['region'] } });
  for (const name of ['Region', 'region%20', 'region/x', 'regio', '%25']) {
    assert.equal((await get(server, ti, `/variables/${name}`)).status, 403, name);
  }
  assert.equal((await get(server, ti, '/variables/region%00')).status, 422);
  assert.equal((await get(server, ti, '/variables/region')).status, 404);
});

test('under declared needs no variable is written or deleted, and nothing changes', async () => {
  await using server = await startExecutionApi();
  await addVariable(server, 'region', 'eu');
  const ti = await server.startTry({ needs: { variables: ['region'] } });
  const send = { key: ti.key, token: ti.token };
  for (const key of ['region', 'other']) {
    const put = await server.call('PUT', `/variables/${key}`, { ...send, json: { val: 'us' } });
    assert.deepEqual(shown(put), denied(`variable ${key}`));
    assert.deepEqual(shown(await server.call('DELETE', `/variables/${key}`, send)), denied(`variable ${key}`));
  }
  assert.deepEqual(shown(await get(server, ti, '/variables/region')), [200, { key: 'region', value: 'eu' }]);
});

test('without declared needs a try may do what Airflow allows; strict mode holds it to nothing', async () => {
  for (const [mode, allowed] of [
    ['auto', true],
    ['airflow', true],
    ['strict', false],
  ] as const) {
    await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: mode });
    const ti = await server.startTry({ needs: null });
    const send = { key: ti.key, token: ti.token };
    const put = await server.call('PUT', '/variables/k', { ...send, json: { value: 'v', description: 'd' } });
    assert.equal(put.status, allowed ? 201 : 403);
    const read = await get(server, ti, '/variables/k');
    assert.equal(read.status, allowed ? 200 : 403);
    if (!allowed) continue;
    assert.deepEqual(put.json(), { message: 'Variable successfully set' });
    assert.deepEqual(read.json(), { key: 'k', value: 'v' });
    assert.equal((await server.call('DELETE', '/variables/k', send)).status, 204);
    assert.equal((await server.call('DELETE', '/variables/k', send)).status, 204);
    assert.equal((await get(server, ti, '/variables/k')).status, 404);
  }
});

test('airflow mode lifts declared needs as well', async () => {
  await using server = await startExecutionApi({ AIRLOCK__EXECUTION_API__RIGHTS_MODE: 'airflow' });
  await addVariable(server, 'undeclared', 'v');
  const ti = await server.startTry({ needs: {} });
  assert.equal((await get(server, ti, '/variables/undeclared')).status, 200);
});

test('the team’s own variable wins over the shared one, and another team’s is absent', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const [a, b] = [await server.seedRun('dag_a', 'a'), await server.seedRun('dag_b', 'b')];
  await addVariable(server, 'k', 'shared');
  await addVariable(server, 'k', 'of a', 'a');
  await addVariable(server, 'only', 'of a', 'a');
  const [inA, inB] = [await server.startTry({ needs: null }, a), await server.startTry({ needs: null }, b)];
  assert.deepEqual((await get(server, inA, '/variables/k')).json(), { key: 'k', value: 'of a' });
  assert.deepEqual((await get(server, inB, '/variables/k')).json(), { key: 'k', value: 'shared' });
  assert.equal((await get(server, inA, '/variables/only')).status, 200);
  assert.equal((await get(server, inB, '/variables/only')).status, 404);
});

/** Where the thing lies, seen from the caller. */
async function places(server: Server, needs: string[] | null) {
  const [own, other, foreign] = [
    await server.seedRun('dag_own'),
    await server.seedRun('dag_own'),
    await server.seedRun('dag_far'),
  ];
  for (const run of [own, other, foreign]) {
    for (const taskId of ['extract', 'load', 'side']) {
      if (run === own && taskId === 'extract') continue;
      await server.seedTask(run, { taskId, state: 'success' });
      await server.db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
        VALUES (${run.dagRunId}, ${taskId}, -1, 'k', ${run.dagId}, ${run.runId}, '1', '2026-01-01T00:00:00Z')`);
    }
  }
  const ti = await server.startTry({ taskId: 'extract', needs: needs === null ? null : { xcoms: needs } }, own);
  return { ti, own, other, foreign };
}
const at = (run: { dagId: string; runId: string }, taskId: string, key = 'k') =>
  `/xcoms/${run.dagId}/${run.runId}/${taskId}/${key}`;

test('the matrix of XComs under declared needs: own task and declared tasks of the own run, and nothing else', async () => {
  await using server = await startExecutionApi();
  const { ti, own, other, foreign } = await places(server, ['load']);
  const send = { key: ti.key, token: ti.token };
  const cells: Array<[string, string, string]> = [];
  for (const [relation, path, read, write] of [
    ['own task', at(own, 'extract'), 'yes', 'yes'],
    ['declared task of the own run', at(own, 'load'), 'yes', 'no'],
    ['undeclared task of the own run', at(own, 'side'), 'no', 'no'],
    ['absent task of the own run', at(own, 'nobody'), 'no', 'no'],
    ['own task in another run', at(other, 'extract'), 'no', 'no'],
    ['declared task in another run', at(other, 'load'), 'no', 'no'],
    ['declared task in an absent run', at({ dagId: own.dagId, runId: 'absent' }, 'load'), 'no', 'no'],
    ['same names in another Dag', at(foreign, 'load'), 'no', 'no'],
    ['an absent Dag', at({ dagId: 'absent', runId: own.runId }, 'load'), 'no', 'no'],
  ] as const) {
    for (const [method, suffix, right, json] of [
      ['GET', '', read, undefined],
      ['HEAD', '', read, undefined],
      ['GET', '/item/0', read, undefined],
      ['GET', '/slice', read, undefined],
      ['GET', '?map_index=0', read, undefined],
      ['GET', '?include_prior_dates=true', 'no', undefined],
      ['GET', '/slice?include_prior_dates=true', 'no', undefined],
      ['POST', '', write, 5],
      ['POST', '?map_index=3', 'no', 5],
      ['DELETE', '', write, undefined],
      ['DELETE', '?map_index=3', 'no', undefined],
    ] as const) {
      const answer = await server.call(method, path + suffix, { ...send, json });
      cells.push([`${method} ${relation} ${suffix}`, right, answer.status === 403 ? 'no' : 'yes']);
      if (answer.status === 403 && method !== 'HEAD') assert.deepEqual(answer.json(), denied('this XCom')[1]);
    }
  }
  assert.deepEqual(
    cells.filter(([, right, seen]) => right !== seen),
    [],
  );
  const left = await server.one<{ n: number }>(sql`SELECT count(*)::integer AS n FROM xcom WHERE value::text = '1'`);
  assert.equal(left.n, 8, 'nothing that was there is gone or changed');
});

test('without declared needs the same requests are allowed, across Dags', async () => {
  await using server = await startExecutionApi();
  const { ti, other, foreign } = await places(server, null);
  const send = { key: ti.key, token: ti.token };
  for (const run of [other, foreign]) {
    assert.deepEqual((await server.call('GET', at(run, 'load'), send)).json(), { key: 'k', value: 1 });
    assert.equal((await server.call('POST', at(run, 'load'), { ...send, json: 2 })).status, 201);
  }
});

test('in multi-team mode a teamless Dag may be read, another team’s not, and only the own team’s written', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  const runs = {
    a: await server.seedRun('dag_a', 'a'),
    b: await server.seedRun('dag_b', 'b'),
    none: await server.seedRun('dag_n'),
  };
  for (const run of Object.values(runs)) await server.seedTask(run, { taskId: 'load', state: 'success' });
  const ti = await server.startTry({ needs: null }, runs.a);
  const send = { key: ti.key, token: ti.token };
  const read = async (run: typeof runs.a) => (await server.call('GET', at(run, 'load'), send)).status;
  const write = async (run: typeof runs.a) => (await server.call('POST', at(run, 'load'), { ...send, json: 1 })).status;
  assert.deepEqual([await read(runs.a), await read(runs.none), await read(runs.b)], [404, 404, 403]);
  assert.deepEqual([await write(runs.a), await write(runs.none), await write(runs.b)], [201, 403, 403]);
});

test('under declared needs only the own run is counted and listed', async () => {
  await using server = await startExecutionApi();
  const { ti, own, other, foreign } = await places(server, []);
  const ask = async (query: string) => (await get(server, ti, `/task-instances/count?${query}`)).status;
  assert.equal(await ask(`dag_id=${own.dagId}&run_ids=${own.runId}`), 200);
  for (const query of [
    `dag_id=${own.dagId}`,
    `dag_id=${own.dagId}&run_ids=${other.runId}`,
    `dag_id=${own.dagId}&run_ids=${own.runId}&run_ids=${other.runId}`,
    `dag_id=${foreign.dagId}&run_ids=${foreign.runId}`,
    `dag_id=absent&run_ids=${own.runId}`,
    `dag_id=absent&run_ids=${own.runId}&task_group_id=g`,
  ]) {
    assert.equal(await ask(query), 403, query);
    assert.equal((await get(server, ti, `/task-instances/states?${query}`)).status, 403, query);
  }
});

test('under declared needs a try skips what is downstream of it, and no other task of its run', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  for (const taskId of ['load', 'report', 'side']) await server.seedTask(run, { taskId, state: null });
  const ti = await server.startTry({ taskId: 'extract', needs: {} }, run);
  const skip = (tasks: unknown) =>
    server.call('PATCH', `/task-instances/${ti.id}/skip-downstream`, { key: ti.key, token: ti.token, json: { tasks } });
  const states = async () =>
    Object.fromEntries(
      (await server.db.query<{ task_id: string; state: string }>(sql`SELECT task_id, state FROM task_instance`)).map(
        (r) => [r.task_id, r.state],
      ),
    );
  for (const tasks of [['side'], ['load', 'side'], ['absent'], ['extract']])
    assert.equal((await skip(tasks)).status, 403, String(tasks));
  assert.deepEqual(await states(), { extract: 'running', load: null, report: null, side: null });
  assert.equal((await skip([])).status, 204);
  assert.equal((await skip(['load', ['report', -1]])).status, 204);
  assert.deepEqual(await states(), { extract: 'running', load: 'skipped', report: 'skipped', side: null });
});

test('the rules in SQL and in TypeScript say the same over every mode, need and place', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_own');
  let compared = 0;
  const declared = { xcoms: ['load'], variables: ['v'], connections: ['c'], dags: ['dag_far'] };
  for (const needs of [null, {}, declared, { tasks: ['dag_far/load', 'dag_far/side', 'dag_own/load'] }]) {
    const ti = await server.startTry({ taskId: 'extract', needs, mapIndex: compared }, run);
    const claims = JSON.parse(Buffer.from(ti.token.split('.')[1]!, 'base64url').toString());
    const key = { id: ti.id, jti: claims.jti, nowIso: new Date(server.nowMs()).toISOString() };
    const ask = async (name: string, allowed: ReturnType<typeof sql>) =>
      (await readForCaller<boolean>(server.db, key, { name, allowed, value: sql`true` }))!;
    for (const mode of ['auto', 'strict', 'airflow'] as const) {
      const context = { mode, multiTeam: false };
      for (const name of ['v', 'c', 'load', 'x']) {
        for (const kind of ['variables', 'connections'] as const) {
          const row = await ask('test_named', inSql.mayReadNamed(context, kind, name));
          assert.equal(row.allowed, rights.mayReadNamed(context, row, kind, name), `${mode} ${kind} ${name}`);
          compared++;
        }
        const row = await ask('test_write', inSql.mayWriteVariables(context));
        assert.equal(row.allowed, rights.mayWriteVariables(context, row));
      }
      for (const dagId of ['dag_own', 'dag_far']) {
        for (const runId of [run.runId, 'other']) {
          for (const runIds of [null, [], [runId], [runId, 'other']]) {
            const row = await ask('test_list', inSql.mayListInstances(context, { dagId, runIds }));
            assert.equal(
              row.allowed,
              rights.mayListInstances(context, row, { dagId, runIds }),
              `${mode} ${dagId} ${runIds}`,
            );
            for (const names of [null, [], ['load'], ['load', 'side'], ['load', 'extract']]) {
              const target = { dagId, runIds, names };
              const states = await ask('test_states', inSql.mayReadStates(context, target));
              const said = rights.mayReadStates(context, states, target);
              assert.equal(states.allowed, said, JSON.stringify({ mode, needs, target }));
              compared++;
            }
          }
          for (const runIds of [null, [runId], [runId, 'other']]) {
            const row = await ask('test_runs', inSql.mayReadRuns(context, { dagId, runIds }));
            assert.equal(
              row.allowed,
              rights.mayReadRuns(context, row, { dagId, runIds }),
              `${mode} ${dagId} ${runIds}`,
            );
          }
          const dag = await ask('test_dag', inSql.mayReadDag(context, dagId));
          assert.equal(dag.allowed, rights.mayReadDag(context, dag, dagId), `${mode} ${dagId}`);
          const trigger = await ask('test_trigger', inSql.mayTriggerDag(context, dagId));
          assert.equal(trigger.allowed, rights.mayTriggerDag(context, trigger, dagId), `${mode} ${dagId}`);
          for (const taskId of ['extract', 'load', 'side']) {
            for (const [mapIndex, priorDates] of [
              [ti.mapIndex, false],
              [7, false],
              [-1, true],
            ] as const) {
              const target = { dagId, runId, taskId, mapIndex, priorDates };
              const read = await ask('test_xcom_read', inSql.mayReadXCom(context, target));
              assert.equal(
                read.allowed,
                rights.mayReadXCom(context, read, target),
                JSON.stringify({ mode, needs, target }),
              );
              const ofRun = await ask('test_xcom_of_run', inSql.mayReadXComOfRun(context, target));
              assert.equal(
                ofRun.allowed,
                rights.mayReadXComOfRun(context, ofRun, target),
                JSON.stringify({ mode, needs, target }),
              );
              const write = await ask('test_xcom_write', inSql.mayWriteXCom(context, target));
              assert.equal(
                write.allowed,
                rights.mayWriteXCom(context, write, target),
                JSON.stringify({ mode, needs, target }),
              );
              compared += 3;
            }
          }
        }
      }
    }
  }
  assert.ok(compared > 600);
});
