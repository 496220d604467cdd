import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

let server: Server;
let ti: Try;
before(async () => {
  server = await startExecutionApi();
  ti = await server.startTry({ needs: { xcoms: ['numbers'] } });
  for (const [mapIndex, value] of [10, 20, 30, 40].entries()) {
    await server.seedTask(ti.run, { taskId: 'numbers', mapIndex, state: 'success' });
    await server.db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      VALUES (${ti.run.dagRunId}, 'numbers', ${mapIndex}, 'return_value', ${ti.run.dagId}, ${ti.run.runId}, ${String(value)}, '2026-01-01T00:00:00Z')`);
  }
});
after(() => server.close());

const at = (key: string, taskId = 'extract') => `/xcoms/${ti.run.dagId}/${ti.run.runId}/${taskId}/${key}`;
const call = (method: string, path: string, over: object = {}) =>
  server.call(method, path, { key: ti.key, token: ti.token, ...over });
const JSON_TYPE = { 'content-type': 'application/json' };

for (const text of [
  '{"a":[1,null,"é"]}',
  '"text"',
  '0',
  'false',
  '[]',
  'null',
  '1.5',
  '12345678901234567890',
  '1.0',
  '{"b":1,"a":2}',
  '"\\u0000"',
]) {
  test(`the value ${text} comes back as it was sent`, async () => {
    const set = await call('POST', at('k'), { body: text, headers: JSON_TYPE });
    assert.deepEqual([set.status, set.json()], [201, { message: 'XCom successfully set' }]);
    const got = await call('GET', at('k'));
    assert.deepEqual(
      [got.status, got.text, got.headers.get('content-type')],
      [200, `{"key":"k","value":${text}}`, 'application/json'],
    );
  });
}

test('no body is null; NaN, an unknown type and broken JSON are refused', async () => {
  assert.equal((await call('POST', at('none'))).status, 201);
  assert.equal((await call('GET', at('none'))).text, '{"key":"none","value":null}');
  for (const body of ['NaN', '[Infinity]', '{', '{"__proto__":1}']) {
    assert.equal((await call('POST', at('bad'), { body, headers: JSON_TYPE })).status, 422, body);
  }
  assert.equal((await call('POST', at('bad'), { body: '1', headers: { 'content-type': 'text/plain' } })).status, 422);
  const absent = await call('GET', at('bad'));
  assert.deepEqual(
    [absent.status, absent.json()],
    [
      404,
      {
        detail: {
          reason: 'not_found',
          message: `XCom with key='bad' map_index=-1 not found for task 'extract' in DAG run '${ti.run.runId}' of '${ti.run.dagId}'`,
        },
      },
    ],
  );
});

test('setting again replaces, deleting is 200 whether or not it was there', async () => {
  for (const json of [1, 2]) assert.equal((await call('POST', at('twice'), { json })).status, 201);
  assert.equal((await call('GET', at('twice'))).text, '{"key":"twice","value":2}');
  for (let i = 0; i < 2; i++) {
    const gone = await call('DELETE', at('twice'));
    assert.deepEqual([gone.status, gone.json()], [200, { message: 'XCom with key: twice successfully deleted.' }]);
  }
  assert.equal((await call('GET', at('twice'))).status, 404);
});

test('keys hold slashes, pluses and colons, raw or escaped, and the suffixes win', async () => {
  for (const [sent, key] of [
    ['a/b+c:d', 'a/b+c:d'],
    ['a%2Fb%2Bc%3Ad', 'a/b+c:d'],
    ['item', 'item'],
    ['slice', 'slice'],
  ] as const) {
    assert.equal((await call('POST', at(sent), { json: 7 })).status, 201, sent);
    assert.deepEqual((await call('GET', at(sent))).json(), { key, value: 7 });
  }
  assert.equal((await call('GET', at('x/item/abc'))).status, 422);
  assert.equal((await call('POST', at('x'.repeat(513)), { json: 1 })).status, 422);
  assert.equal((await call('POST', at('x'.repeat(512)), { json: 1 })).status, 201);
});

test('HEAD counts map indexes', async () => {
  const seen = async (path: string) => {
    const answer = await call('HEAD', path);
    return [answer.status, answer.headers.get('content-range'), answer.text];
  };
  assert.deepEqual(await seen(at('return_value', 'numbers')), [200, 'map_indexes 4', '']);
  assert.deepEqual(await seen(at('absent', 'numbers')), [200, 'map_indexes 0', '']);
  assert.deepEqual(await seen(`${at('return_value', 'numbers')}?map_index=1`), [400, null, '']);
});

for (const [offset, value] of [
  [0, 10],
  [3, 40],
  [-1, 40],
  [-4, 10],
  [4, null],
  [-5, null],
] as const) {
  test(`item ${offset} of four is ${value ?? '404'}`, async () => {
    const answer = await call('GET', at(`return_value/item/${offset}`, 'numbers'));
    if (value !== null) assert.deepEqual([answer.status, answer.text], [200, String(value)]);
    else
      assert.match(
        answer.json<{ detail: { message: string } }>().detail.message,
        new RegExp(`offset=${offset} not found`),
      );
    assert.equal(answer.status, value === null ? 404 : 200);
  });
}

for (const [query, values] of [
  ['', [10, 20, 30, 40]],
  ['?start=1', [20, 30, 40]],
  ['?stop=2', [10, 20]],
  ['?start=1&stop=3', [20, 30]],
  ['?step=2', [10, 30]],
  ['?step=0', [10, 20, 30, 40]],
  ['?start=-2', [30, 40]],
  ['?step=-1', [40, 30, 20, 10]],
  ['?start=3&stop=1', []],
] as const) {
  test(`slice ${query || 'of everything'} is ${JSON.stringify(values)}`, async () => {
    const answer = await call('GET', at(`return_value/slice${query}`, 'numbers'));
    assert.deepEqual([answer.status, answer.json()], [200, values]);
  });
}

test('a slice of nothing is empty, never 404; one map index is read by its number', async () => {
  assert.equal((await call('GET', at('absent/slice', 'numbers'))).text, '[]');
  assert.deepEqual((await call('GET', `${at('return_value', 'numbers')}?map_index=2`)).json(), {
    key: 'return_value',
    value: 30,
  });
  assert.deepEqual((await call('GET', `${at('return_value', 'numbers')}?offset=-1`)).json(), {
    key: 'return_value',
    value: 40,
  });
});

test('a mapped length is recorded and replaced, and refused above the limit', async () => {
  const set = (length: number) =>
    call('POST', `${at('return_value')}?mapped_length=${length}&dag_result=true`, { json: [1] });
  const length = async () =>
    (await server.one<{ length: number }>(sql`SELECT length FROM task_map WHERE task_id = 'extract'`)).length;
  assert.equal((await set(3)).status, 201);
  assert.equal((await set(1024)).status, 201);
  assert.equal(await length(), 1024);
  const tooLong = await set(1025);
  assert.deepEqual(
    [tooLong.status, tooLong.json()],
    [
      400,
      {
        detail: {
          reason: 'unmappable_return_value_length',
          message: "pushed value is too large to map as a downstream's dependency",
        },
      },
    ],
  );
  assert.equal(await length(), 1024);
});

test('a missing run or task instance is 404, for a try that may name it', async () => {
  const free = await server.startTry({ needs: null });
  const post = async (path: string) => {
    const answer = await server.call('POST', path, { key: free.key, token: free.token, json: 1 });
    return [answer.status, answer.json()];
  };
  assert.deepEqual(await post(`/xcoms/${free.run.dagId}/nope/extract/k`), [
    404,
    { detail: `DAG run not found on DAG '${free.run.dagId}' with ID 'nope'` },
  ]);
  assert.equal((await post(`/xcoms/${free.run.dagId}/${free.run.runId}/nobody/k`))[0], 404);
});

test('prior dates find the newest earlier run that has the key', async () => {
  const runs = [
    await server.seedRun('dag_prior'),
    await server.seedRun('dag_prior'),
    await server.seedRun('dag_prior'),
  ];
  for (const [day, run] of runs.entries()) {
    await server.db.query(
      sql`UPDATE dag_run SET logical_date = ${`2026-07-0${day + 1}T00:00:00Z`} WHERE id = ${run.dagRunId}`,
    );
    if (day === 1) continue;
    await server.seedTask(run, { taskId: 'old', state: 'success' });
    await server.db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      VALUES (${run.dagRunId}, 'old', -1, 'k', 'dag_prior', ${run.runId}, ${String(day)}, '2026-01-01T00:00:00Z')`);
  }
  const middle = await server.startTry({ needs: null }, runs[1]);
  const get = (query: string, rest = '') =>
    server.call('GET', `/xcoms/dag_prior/${middle.run.runId}/old/k${rest}${query}`, {
      key: middle.key,
      token: middle.token,
    });
  assert.equal((await get('')).status, 404);
  assert.equal((await get('?include_prior_dates=true')).text, '{"key":"k","value":0}');
  assert.equal((await get('?include_prior_dates=true', '/slice')).text, '[0]');
});

test('a large value of many members is taken, and one above 16 MiB refused by its length', async () => {
  const rows = Array.from({ length: 20_000 }, (_, id) => ({ id, name: 'x' }));
  assert.equal((await call('POST', at('rows'), { json: rows })).status, 201);
  assert.equal((await call('POST', at('rows'), { json: 'x'.repeat(16 * 1024 * 1024) })).status, 413);
});

test('values of an earlier try are gone when a TypeScript task starts again, and named when a Python task does', async () => {
  for (const [runtime, keys] of [
    ['typescript', []],
    ['python', ['k']],
  ] as const) {
    const run = await server.seedRun();
    const next = await server.seedTask(run, { taskId: 'extract', runtime });
    await server.db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
      VALUES (${run.dagRunId}, 'extract', -1, 'k', ${run.dagId}, ${run.runId}, '1', '2026-01-01T00:00:00Z')`);
    const worker = await server.joinWorker();
    const workload = (await server.claim(worker, 1000)).find((each) => each.ti.id === next.id)!;
    const started = await server.call('PATCH', `/task-instances/${next.id}/run`, {
      key: worker.key,
      token: workload.token,
      json: server.runBody(),
    });
    assert.deepEqual(started.json<{ xcom_keys_to_clear: string[] }>().xcom_keys_to_clear, keys);
    const left = await server.one<{ n: number }>(
      sql`SELECT count(*)::integer AS n FROM xcom WHERE dag_run_id = ${run.dagRunId}`,
    );
    assert.equal(left.n, keys.length);
  }
});
