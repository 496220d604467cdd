// What tasks and assets keep: a task its own, over its tries; an asset what its declared writers give it.
import assert from 'node:assert/strict';
import test from 'node:test';
import { sql } from '@airlock/store';
import { deleteExpiredState } from '@airlock/store/queries/retention/task-state';
import { type Server, startExecutionApi, type Try } from './kit.ts';

const call = (server: Server, ti: Try, method: string, path: string, body?: string, version?: string) =>
  server.call(method, path, {
    key: ti.key,
    token: ti.token,
    body,
    headers: {
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(version ? { 'airflow-api-version': version } : {}),
    },
  });
const shown = (answer: { status: number; json: () => unknown }) => [answer.status, answer.json()];
const absent = (message: string) => [404, { detail: { reason: 'not_found', message } }];
const denied = (what: string) => [
  403,
  { detail: { reason: 'access_denied', message: `Task does not have access to ${what}` } },
];
const tagged = (name: string) => ({ __type: 'asset', __var: { name, uri: `s3://${name}`, group: 'asset', extra: {} } });

test('a value is kept to the letter, replaced, and gone when it is deleted; slashes are part of its key', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const at = `/store/ti/${ti.id}`;
  for (const key of ['k', 'a/b', 'a%2Fb', 'k%20%2B']) {
    for (const value of ['{"job_id":12345678901234567890,"f":1.10}', '0', '"é"', '[]', 'false']) {
      assert.equal((await call(server, ti, 'PUT', `${at}/${key}`, `{"value":${value}}`)).status, 204);
      assert.equal((await call(server, ti, 'GET', `${at}/${key}`)).text, `{"value":${value}}`);
    }
  }
  assert.equal((await call(server, ti, 'GET', `${at}/a/b`)).status, 200);
  assert.equal((await call(server, ti, 'DELETE', `${at}/a/b`)).status, 204);
  assert.equal((await call(server, ti, 'DELETE', `${at}/a/b`)).status, 204);
  assert.deepEqual(shown(await call(server, ti, 'GET', `${at}/a/b`)), absent("Task state store key 'a/b' not found"));
  assert.equal((await call(server, ti, 'DELETE', at)).status, 204);
  assert.equal((await call(server, ti, 'GET', `${at}/k`)).status, 404);
});

test('null, what JSON does not know, other fields and long keys are refused', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const put = (body: string, key = 'k') => call(server, ti, 'PUT', `/store/ti/${ti.id}/${key}`, body);
  assert.deepEqual(shown(await put('{"value":null}')), [
    422,
    {
      detail: [
        {
          type: 'value_error',
          loc: ['body', 'value'],
          msg: 'Value error, value cannot be null',
          input: null,
          ctx: { error: {} },
        },
      ],
    },
  ]);
  for (const body of [
    '{}',
    '{"value":NaN}',
    '{"value":Infinity}',
    '{"value":1,"x":2}',
    '{"value":1,"expires_at":"2026-07-01T00:00:00"}',
    '7',
  ]) {
    assert.equal((await put(body)).status, 422, body);
  }
  assert.equal((await put('{"value":1}', 'k'.repeat(513))).status, 422);
  assert.equal((await put('{"value":1}', 'k'.repeat(512))).status, 204);
});

test('a value whose time is over is absent to its task and removed by the sweep, one without stays', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  const soon = new Date(server.nowMs() + 10_000).toISOString();
  await call(server, ti, 'PUT', `/store/ti/${ti.id}/soon`, `{"value":1,"expires_at":"${soon}"}`);
  await call(server, ti, 'PUT', `/store/ti/${ti.id}/stays`, '{"value":2,"expires_at":null}');
  assert.equal((await call(server, ti, 'GET', `/store/ti/${ti.id}/soon`)).status, 200);
  server.advance(11);
  assert.equal((await call(server, ti, 'GET', `/store/ti/${ti.id}/soon`)).status, 404);
  assert.equal((await call(server, ti, 'GET', `/store/ti/${ti.id}/stays`)).status, 200);
  const expiredBefore = new Date(server.nowMs()).toISOString();
  assert.equal(await deleteExpiredState(server.db, { expiredBefore, limit: 10 }), 1);
  assert.equal(await deleteExpiredState(server.db, { expiredBefore, limit: 10 }), 0);
});

test('the next try reads what the last one kept, and another index or task does not', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun();
  const ti = await server.startTry({ mapIndex: 0 }, run);
  await call(server, ti, 'PUT', `/store/ti/${ti.id}/k`, '{"value":1}');
  await server.db.query(sql`UPDATE task_instance SET map_index = 9 WHERE id = ${ti.id}`);
  const again = await server.startTry({ mapIndex: 0 }, run);
  assert.deepEqual(shown(await call(server, again, 'GET', `/store/ti/${again.id}/k`)), [200, { value: 1 }]);
  for (const other of [await server.startTry({ mapIndex: 1 }, run), await server.startTry({ taskId: 'load' }, run)]) {
    assert.equal((await call(server, other, 'GET', `/store/ti/${other.id}/k`)).status, 404);
    for (const [method, body] of [
      ['GET', undefined],
      ['PUT', '{"value":2}'],
      ['DELETE', undefined],
    ] as const) {
      assert.equal((await call(server, other, method, `/store/ti/${again.id}/k`, body)).status, 403, method);
    }
    assert.equal((await call(server, other, 'DELETE', `/store/ti/${again.id}`)).status, 403);
  }
  assert.deepEqual(shown(await call(server, again, 'GET', `/store/ti/${again.id}/k`)), [200, { value: 1 }]);
});

test('success wipes what a task has kept only where that is asked for', async () => {
  for (const [clear, left] of [
    ['true', 0],
    ['false', 1],
  ] as const) {
    await using server = await startExecutionApi({ AIRLOCK__STATE_STORE__CLEAR_ON_SUCCESS: clear });
    const ti = await server.startTry();
    await call(server, ti, 'PUT', `/store/ti/${ti.id}/k`, '{"value":1}');
    const end = JSON.stringify({ state: 'success', end_date: new Date(server.nowMs()).toISOString() });
    assert.equal((await call(server, ti, 'PATCH', `/task-instances/${ti.id}/state`, end)).status, 204);
    const { n } = await server.one<{ n: number }>(sql`SELECT count(*)::integer AS n FROM task_state`);
    assert.equal(n, left);
  }
});

test('a task instance and an asset have a thousand keys at most, and may still change those', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, { tasks: { extract: { outlets: [tagged('orders')] } } });
  const ti = await server.startTry({}, run);
  await server.db.query(sql`INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at)
    SELECT ${run.dagRunId}, 'extract', -1, 'k' || n, '1', now() FROM generate_series(1, 1000) n`);
  await server.db.query(sql`INSERT INTO asset_state (asset_id, key, value, updated_at)
    SELECT a.id, 'k' || n, '1', now() FROM asset a, generate_series(1, 1000) n`);
  for (const at of [
    (key: string) => `/store/ti/${ti.id}/${key}`,
    (key: string) => `/store/asset/by-name/value?name=orders&key=${key}`,
  ]) {
    const over = await call(server, ti, 'PUT', at('one_more'), '{"value":1}');
    assert.deepEqual([over.status, over.json<{ detail: { reason: string } }>().detail.reason], [400, 'too_many_keys']);
    assert.equal((await call(server, ti, 'PUT', at('k7'), '{"value":2}')).status, 204);
    assert.equal((await call(server, ti, 'DELETE', at('k8'))).status, 204);
    assert.equal((await call(server, ti, 'PUT', at('one_more'), '{"value":1}')).status, 204);
  }
});

test('an asset’s value is written with its writer and read by name and by uri', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, { tasks: { extract: { outlets: [tagged('orders')] } } });
  const ti = await server.startTry({}, run);
  const [byName, byUri] = [
    '/store/asset/by-name/value?name=orders&key=k',
    '/store/asset/by-uri/value?uri=s3://orders&key=k',
  ];
  assert.deepEqual(shown(await call(server, ti, 'GET', byName)), absent("Asset state store key 'k' not found"));
  assert.equal((await call(server, ti, 'PUT', byName, '{"value":{"watermark":9007199254740993}}')).status, 204);
  for (const path of [byName, byUri]) {
    assert.equal((await call(server, ti, 'GET', path)).text, '{"value":{"watermark":9007199254740993}}');
  }
  const writer = await server.one(sql`SELECT writer_dag_id, writer_task_id, writer_map_index FROM asset_state`);
  assert.deepEqual(writer, { writer_dag_id: 'dag_p', writer_task_id: 'extract', writer_map_index: -1 });
  assert.equal((await call(server, ti, 'DELETE', byUri)).status, 204);
  assert.equal((await call(server, ti, 'DELETE', byUri)).status, 204);
  assert.equal((await call(server, ti, 'PUT', byUri, '{"value":1}')).status, 204);
  assert.equal((await call(server, ti, 'DELETE', '/store/asset/by-name/clear?name=orders')).status, 204);
  assert.equal((await call(server, ti, 'GET', byName)).status, 404);
  for (const [path, status] of [
    ['/store/asset/by-name/value?name=orders', 422],
    ['/store/asset/by-name/value?key=k', 422],
    ['/store/asset/by-name/value?name=orders&key=', 422],
  ] as const) {
    assert.equal((await call(server, ti, 'GET', path)).status, status, path);
  }
});

test('under needs an asset’s values are read by those that name it and written by those that write it', async () => {
  await using server = await startExecutionApi();
  const run = await server.seedRun('dag_p', null, {
    tasks: {
      extract: { outlets: [tagged('orders')] },
      load: { inlets: [tagged('orders')] },
      side: { outlets: [tagged('canary')] },
    },
  });
  const tries = {
    writer: await server.startTry({ taskId: 'extract' }, run),
    reader: await server.startTry({ taskId: 'load' }, run),
    declared: await server.startTry({ taskId: 'report', needs: { assets: ['orders'] } }, run),
    stranger: await server.startTry({ taskId: 'side' }, run),
  };
  await call(server, tries.writer, 'PUT', '/store/asset/by-name/value?name=orders&key=k', '{"value":1}');
  const seen: string[] = [];
  for (const [who, ti] of Object.entries(tries)) {
    for (const [method, path, body] of [
      ['GET', '/store/asset/by-name/value?name=NAME&key=k', undefined],
      ['PUT', '/store/asset/by-name/value?name=NAME&key=k', '{"value":1}'],
      ['DELETE', '/store/asset/by-name/value?name=NAME&key=other', undefined],
      ['DELETE', '/store/asset/by-name/clear?name=NAME', undefined],
    ] as const) {
      const there = await call(server, ti, method, path.replace('NAME', 'orders'), body);
      if (there.status !== 403) seen.push(`${who} ${method}`);
      else assert.deepEqual(shown(there), denied('asset orders'));
      if (method === 'DELETE')
        await call(server, tries.writer, 'PUT', '/store/asset/by-name/value?name=orders&key=k', '{"value":1}');
      if (who === 'stranger') continue;
      const [canary, nobody] = [
        await call(server, ti, method, path.replace('NAME', 'canary'), body),
        await call(server, ti, method, path.replace('NAME', 'nobody'), body),
      ];
      assert.deepEqual(shown(canary), denied('asset canary'));
      assert.equal(nobody.text.replace('nobody', 'canary'), canary.text);
    }
  }
  assert.deepEqual(
    [...new Set(seen)],
    ['writer GET', 'writer PUT', 'writer DELETE', 'reader GET', 'declared GET', 'declared PUT', 'declared DELETE'],
  );
});

test('without needs any active asset, with teams only those of the own team or of none; the rest looks absent', async () => {
  await using server = await startExecutionApi({ AIRLOCK__CORE__MULTI_TEAM: 'true' });
  await server.seedRun('dag_b', 'b', { tasks: { extract: { outlets: [tagged('theirs')] } } });
  await server.seedRun('dag_n', null, { tasks: { extract: { outlets: [tagged('shared')] } } });
  const run = await server.seedRun('dag_a', 'a', { tasks: { extract: { outlets: [tagged('own')] } } });
  const ti = await server.startTry({ needs: null, taskId: 'side' }, run);
  for (const [name, status] of [
    ['own', 204],
    ['shared', 204],
    ['theirs', 404],
    ['nobody', 404],
  ] as const) {
    const path = `/store/asset/by-name/value?name=${name}&key=k`;
    const put = await call(server, ti, 'PUT', path, '{"value":1}');
    assert.equal(put.status, status, name);
    if (status === 404) assert.deepEqual(put.json(), absent(`Asset with name='${name}' not found`)[1]);
    assert.equal((await call(server, ti, 'GET', path)).status, status === 404 ? 404 : 200);
    assert.equal((await call(server, ti, 'DELETE', `/store/asset/by-name/clear?name=${name}`)).status, status);
  }
});

test('older versions know no stores', async () => {
  await using server = await startExecutionApi();
  const ti = await server.startTry();
  for (const [method, path] of [
    ['GET', `/store/ti/${ti.id}/k`],
    ['DELETE', `/store/ti/${ti.id}`],
    ['GET', '/store/asset/by-name/value?name=a&key=k'],
  ] as const) {
    assert.deepEqual(shown(await call(server, ti, method, path, undefined, '2026-04-06')), [
      404,
      { detail: 'Not Found' },
    ]);
  }
});
