// Every payload that the Task SDK sends, and what is wrong with those it does not. @see execution API 3.2 to 3.8, 4.1
import assert from 'node:assert/strict';
import test, { after, before } from 'node:test';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi, type Try } from './kit.ts';

let server: Server;
before(async () => {
  server = await startExecutionApi();
});
after(() => server.close());

const END = '2026-07-01T00:01:10Z';
const send = (ti: Try, method: string, route: string, json?: unknown) =>
  server.call(method, `/task-instances/${ti.id}/${route}`, { key: ti.key, token: ti.token, json });
const state = (ti: Try, json: object) => send(ti, 'PATCH', 'state', json);
const beat = (ti: Try, over: object = {}) => send(ti, 'PUT', 'heartbeat', { hostname: 'worker-1', pid: 4242, ...over });
const stateOf = async (ti: Try) =>
  (await server.db.query<{ state: string }>(sql`SELECT state FROM task_instance WHERE id = ${ti.id}`))[0]?.state;

const outlets = [
  { name: 'orders', uri: 's3://lake/orders', type: 'Asset' },
  { name: 'by_name', uri: null, type: 'AssetNameRef' },
];
for (const [name, body, to] of [
  [
    'success',
    { state: 'success', end_date: END, task_outlets: [], outlet_events: [], rendered_map_index: null },
    'success',
  ],
  [
    'success with outlets',
    {
      state: 'success',
      end_date: END,
      task_outlets: outlets,
      outlet_events: [{ dest_asset_key: { name: 'orders', uri: 'x' }, extra: {}, partition_key: 'eu' }],
    },
    'success',
  ],
  ['success with the least', { state: 'success', end_date: END }, 'success'],
  ['failed', { state: 'failed', end_date: END, rendered_map_index: null }, 'failed'],
  ['skipped', { state: 'skipped', end_date: END, rendered_map_index: null }, 'skipped'],
  ['removed', { state: 'removed', end_date: END, rendered_map_index: null }, 'removed'],
  ['upstream_failed', { state: 'upstream_failed', end_date: END, rendered_map_index: null }, 'upstream_failed'],
  [
    'up_for_reschedule',
    { state: 'up_for_reschedule', reschedule_date: '2026-07-01T00:05:00Z', end_date: END },
    'up_for_reschedule',
  ],
] as const) {
  test(`${name}: 204 at first, 200 again, 409 for another state, 409 for a heartbeat`, async () => {
    const ti = await server.startTry({ needs: { assets: ['orders', 'by_name'] } });
    const first = await state(ti, body);
    assert.deepEqual([first.status, first.text], [204, '']);
    assert.equal(await stateOf(ti), to);
    const second = await state(ti, body);
    assert.deepEqual([second.status, second.text, second.headers.get('refreshed-api-token')], [200, '', null]);
    const other = await state(ti, { state: to === 'failed' ? 'skipped' : 'failed', end_date: END });
    assert.deepEqual(other.json(), {
      detail: {
        reason: 'invalid_state',
        message: 'TI was not in the running state so it cannot be updated',
        previous_state: to,
      },
    });
    const late = await beat(ti);
    assert.deepEqual(
      [late.status, late.json()],
      [
        409,
        {
          detail: {
            reason: 'not_running',
            message: 'TI is no longer in the running state and task should terminate',
            current_state: to,
          },
        },
      ],
    );
    assert.equal(await stateOf(ti), to);
  });
}

test('a retry gives the row a new id; the old one is 410 for heartbeats, 404 for others, and 200 for the same report', async () => {
  const ti = await server.startTry({ maxTries: 1 });
  const body = {
    state: 'up_for_retry',
    end_date: END,
    rendered_map_index: null,
    retry_delay_seconds: 45.5,
    retry_reason: 'r'.repeat(600),
  };
  assert.equal((await state(ti, body)).status, 204);
  const row = await server.one<Record<string, unknown>>(
    sql`SELECT * FROM task_instance WHERE dag_run_id = ${ti.run.dagRunId}`,
  );
  assert.notEqual(row.id, ti.id);
  assert.deepEqual(
    [row.state, row.retry_delay_override, (row.retry_reason as string).length],
    ['up_for_retry', 45.5, 500],
  );
  assert.equal(Date.parse(row.retry_at as string), Date.parse(END) + 45_500);
  assert.deepEqual([(await state(ti, body)).status, (await state(ti, body)).text], [200, '']);
  const gone = 'Task Instance not found, it may have been moved to the Task Instance History table';
  for (const [answer, status, message] of [
    [await beat(ti), 410, gone],
    [await beat(ti, { pid: 1 }), 410, gone],
    [await send(ti, 'PUT', 'rtif', { a: 1 }), 410, gone],
    [await state(ti, { state: 'success', end_date: END }), 404, 'Task Instance not found'],
    [await send(ti, 'PATCH', 'run', server.runBody()), 404, 'Task Instance not found'],
  ] as const) {
    assert.deepEqual([answer.status, answer.json()], [status, { detail: { reason: 'not_found', message } }]);
  }
  const label = await send(ti, 'PATCH', 'rendered-map-index', 'x');
  assert.deepEqual([label.status, label.json()], [404, { detail: 'Task Instance not found' }]);
});

test('a try that the server failed is no retry of its worker: its late report is 404', async () => {
  const ti = await server.startTry({ maxTries: 1 });
  await server.call('POST', `/workloads/${ti.id}/exit`, {
    key: ti.key,
    token: ti.worker.tokens.worker!,
    json: {
      workload_jti: ti.workload.airlock!.workload_jti,
      outcome: 'died',
      exit_code: null,
      signal: 'SIGKILL',
      message: 'Out of memory.',
    },
  });
  assert.equal((await state(ti, { state: 'up_for_retry', end_date: END })).status, 404);
  const event = await server.one<{ extra: string }>(
    sql`SELECT extra FROM event_log WHERE run_id = ${ti.run.runId} AND dag_id = ${ti.run.dagId} ORDER BY id DESC LIMIT 1`,
  );
  assert.match(event.extra, /was ended by SIGKILL without reporting a result\. Out of memory\./);
});

test('a bare state is told to be unsupported, and the try stays running', async () => {
  const ti = await server.startTry();
  const answer = await state(ti, { state: 'queued' });
  assert.equal(answer.status, 422);
  assert.equal(answer.json<{ detail: { reason: string } }>().detail.reason, 'unsupported_state');
  assert.equal((await beat(ti)).status, 204);
});

for (const body of [
  {},
  { state: 'bogus' },
  { state: 'success' },
  { state: 'running' },
  { state: 'success', end_date: END, extra: 1 },
  { state: 'success', end_date: '2026-07-01T00:01:10' },
  { state: 'success', end_date: END, task_outlets: null },
  { state: 'success', end_date: END, outlet_events: null },
  { state: 'up_for_retry', end_date: END, retry_delay_seconds: 'soon' },
  'text',
  [],
]) {
  test(`a state body ${JSON.stringify(body)} is 422 with a list, and changes nothing`, async () => {
    const ti = await server.startTry();
    const answer = await state(ti, body as object);
    assert.equal(answer.status, 422);
    const { detail } = answer.json<{ detail: Array<{ loc: unknown[]; msg: string; type: string }> }>();
    assert.ok(detail.length > 0 && detail.every((item) => item.loc[0] === 'body' && item.msg && item.type));
    assert.equal(await stateOf(ti), 'running');
  });
}

test('the 422 of a success without its end lists the mismatches of all seven shapes, word for word', async () => {
  const ti = await server.startTry();
  const body = { state: 'success' };
  const missing = (tag: string, field: string) => ({
    type: 'missing',
    loc: ['body', tag, field],
    msg: 'Field required',
    input: body,
  });
  const literal = (tag: string) => {
    const expected = `<IntermediateTIState.${tag.toUpperCase()}: '${tag}'>`;
    return {
      type: 'literal_error',
      loc: ['body', tag, 'state'],
      msg: `Input should be ${expected}`,
      input: 'success',
      ctx: { expected },
    };
  };
  const oneOf = (tag: string, expected: string) => ({
    type: 'enum',
    loc: ['body', tag, 'state'],
    msg: `Input should be ${expected}`,
    input: 'success',
    ctx: { expected },
  });
  assert.deepEqual((await state(ti, body)).json(), {
    detail: [
      oneOf('_terminal_', "'failed', 'skipped', 'removed' or 'upstream_failed'"),
      missing('_terminal_', 'end_date'),
      missing('success', 'end_date'),
      oneOf(
        '_other_',
        "'scheduled', 'queued', 'restarting', 'up_for_retry', 'up_for_reschedule', 'deferred' or 'awaiting_input'",
      ),
      literal('deferred'),
      missing('deferred', 'classpath'),
      missing('deferred', 'next_method'),
      literal('up_for_reschedule'),
      missing('up_for_reschedule', 'reschedule_date'),
      missing('up_for_reschedule', 'end_date'),
      literal('awaiting_input'),
      missing('awaiting_input', 'next_method'),
      literal('up_for_retry'),
      missing('up_for_retry', 'end_date'),
    ],
  });
});

test('a blank partition key is refused and the try stays running', async () => {
  const ti = await server.startTry();
  const event = { dest_asset_key: { name: 'orders', uri: 's3://lake/orders' }, partition_key: ' ' };
  const answer = await state(ti, { state: 'success', end_date: END, outlet_events: [event] });
  assert.deepEqual(
    [answer.status, answer.json()],
    [
      422,
      {
        detail: {
          reason: 'invalid_partition_key',
          message: "partition_key in outlet event must not be empty or whitespace-only; got ' '.",
        },
      },
    ],
  );
  assert.equal(await stateOf(ti), 'running');
});

for (const [name, over, type, loc] of [
  ['one field too many', { x: 1 }, 'extra_forbidden', ['body', 'x']],
  ['no zone', { start_date: '2026-07-01T00:00:04' }, 'timezone_aware', ['body', 'start_date']],
  ['a text for the pid', { pid: 'p' }, 'int_parsing', ['body', 'pid']],
  ['another state', { state: 'success' }, 'literal_error', ['body', 'state']],
  ['no hostname', { hostname: undefined }, 'missing', ['body', 'hostname']],
] as const) {
  test(`a start with ${name} is 422 ${type}`, async () => {
    const ti = await server.startTry();
    const answer = await send(ti, 'PATCH', 'run', server.runBody(over));
    assert.equal(answer.status, 422);
    const [first] = answer.json<{ detail: Array<{ type: string; loc: unknown }> }>().detail;
    assert.deepEqual([first!.type, first!.loc], [type, loc]);
  });
}

test('a body without its content type is refused as the text that it is', async () => {
  const ti = await server.startTry();
  const answer = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
    key: ti.key,
    token: ti.token,
    body: '{"state":"running"}',
    headers: { 'content-type': 'text/plain' },
  });
  assert.deepEqual(
    [answer.status, answer.json()],
    [
      422,
      {
        detail: [
          {
            type: 'model_attributes_type',
            loc: ['body'],
            msg: 'Input should be a valid dictionary or object to extract fields from',
            input: '{"state":"running"}',
          },
        ],
      },
    ],
  );
});

for (const [over, status] of [
  [{ pid: 1 }, 409],
  [{ hostname: 'elsewhere' }, 409],
  [{ x: 1 }, 422],
  [{ pid: undefined }, 422],
  [{ pid: 'p' }, 422],
  [{}, 204],
] as const) {
  test(`a heartbeat with ${JSON.stringify(over)} is ${status}`, async () => {
    const ti = await server.startTry();
    const answer = await beat(ti, over);
    assert.equal(answer.status, status);
    if (status !== 409) return;
    assert.deepEqual(answer.json(), {
      detail: {
        reason: 'running_elsewhere',
        message: 'TI is already running elsewhere',
        current_hostname: 'worker-1',
        current_pid: 4242,
      },
    });
  });
}

test('a hundred heartbeats of one try and of a hundred tries at once are all accepted', async () => {
  const run = await server.seedRun();
  const worker = await server.joinWorker();
  const tries = await Promise.all(Array.from({ length: 100 }, (_, i) => server.seedTask(run, { mapIndex: i })));
  const workloads = new Map((await server.claim(worker, 1000)).map((each) => [each.ti.id, each.token]));
  const started = await Promise.all(
    tries.map(async (ti) => {
      const answer = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
        key: worker.key,
        token: workloads.get(ti.id)!,
        json: server.runBody(),
      });
      return { ...ti, worker, key: worker.key, token: answer.headers.get('refreshed-api-token')! } as unknown as Try;
    }),
  );
  const answers = await Promise.all(
    [...started, ...Array.from({ length: 100 }, () => started[0]!)].map((ti) => beat(ti)),
  );
  assert.deepEqual(new Set(answers.map((each) => each.status)), new Set([204]));
});

test('a heartbeat or a name that the database refuses fails alone, not those that arrived with it', async () => {
  const tries = [
    await server.startTry({ needs: { variables: ['v'] } }),
    await server.startTry({ needs: { variables: ['v'] } }),
  ] as const;
  const [honest, evil] = tries;
  for (let i = 0; i < 5; i++) {
    const beats = await Promise.all([beat(honest), beat(evil, { hostname: 'nul\u0000' }), beat(honest)]);
    assert.deepEqual(
      beats.map((each) => each.status),
      [204, 422, 204],
    );
    const read = (ti: Try, name: string) => server.call('GET', `/variables/${name}`, { key: ti.key, token: ti.token });
    const reads = await Promise.all([read(honest, 'v'), read(evil, '%00'), read(honest, 'v')]);
    assert.deepEqual(
      reads.map((each) => each.status),
      [404, 422, 404],
    );
  }
});

test('labels: set, shown by nobody but the row, refused when empty or no text', async () => {
  const ti = await server.startTry();
  assert.equal((await send(ti, 'PATCH', 'rendered-map-index', 'load_one-2')).status, 204);
  const empty = await send(ti, 'PATCH', 'rendered-map-index', '');
  assert.deepEqual([empty.status, empty.json()], [422, { detail: 'rendered_map_index cannot be empty' }]);
  assert.equal((await send(ti, 'PATCH', 'rendered-map-index', 5)).status, 422);
  const row = await server.one<{ rendered_map_index: string }>(
    sql`SELECT rendered_map_index FROM task_instance WHERE id = ${ti.id}`,
  );
  assert.equal(row.rendered_map_index, 'load_one-2');
});

test('counts, states and the previous successful run', async () => {
  const run = await server.seedRun();
  for (const [mapIndex, to] of [
    [0, 'success'],
    [1, null],
    [2, 'failed'],
  ] as const) {
    await server.seedTask(run, { taskId: 'load', mapIndex, state: to });
  }
  const ti = await server.startTry({ taskId: 'extract', needs: null }, run);
  const get = (path: string) => server.call('GET', path, { key: ti.key, token: ti.token });
  const q = `dag_id=${run.dagId}&run_ids=${run.runId}`;
  const count = async (more: string) => (await get(`/task-instances/count?${q}${more}`)).json();
  assert.deepEqual(
    [
      await count(''),
      await count('&states=success'),
      await count('&states=null&states=failed'),
      await count('&task_ids=load&map_index=0'),
      await count('&task_ids=absent'),
    ],
    [4, 1, 2, 1, 0],
  );
  assert.equal((await get(`/task-instances/count?dag_id=absent`)).text, '0');
  assert.deepEqual((await get(`/task-instances/states?${q}`)).json(), {
    task_states: { [run.runId]: { extract: 'running', load_0: 'success', load_1: null, load_2: 'failed' } },
  });
  assert.deepEqual((await get(`/task-instances/states?dag_id=absent`)).json(), { task_states: {} });
  assert.equal((await get('/task-instances/count')).status, 422);
  assert.equal((await get(`/task-instances/count?${q}&states=bogus`)).status, 422);
  const group = await get(`/task-instances/count?${q}&task_group_id=g`);
  assert.deepEqual(
    [group.status, group.json()],
    [404, { detail: { reason: 'not_found', message: `Task group g not found in DAG ${run.dagId}` } }],
  );
  const dag = await get('/task-instances/count?dag_id=absent&task_group_id=g');
  assert.deepEqual(dag.json(), { detail: { reason: 'not_found', message: 'The Dag with ID: `absent` was not found' } });
  const nothing = { data_interval_start: null, data_interval_end: null, start_date: null, end_date: null };
  assert.deepEqual((await get(`/task-instances/${ti.id}/previous-successful-dagrun`)).json(), nothing);
  await server.db.query(sql`UPDATE dag_run SET logical_date = '2026-07-02T00:00:00Z' WHERE id = ${run.dagRunId}`);
  const earlier = await server.seedRun(run.dagId);
  await server.db.query(sql`UPDATE dag_run SET logical_date = '2026-07-01T00:00:00Z', state = 'success', data_interval_start = '2026-06-30T00:00:00Z',
    data_interval_end = '2026-07-01T00:00:00.5Z', start_date = '2026-07-01T00:00:02Z', end_date = '2026-07-01T00:04:00Z' WHERE id = ${earlier.dagRunId}`);
  assert.deepEqual((await get(`/task-instances/${ti.id}/previous-successful-dagrun`)).json(), {
    data_interval_start: '2026-06-30T00:00:00Z',
    data_interval_end: '2026-07-01T00:00:00.500000Z',
    start_date: '2026-07-01T00:00:02Z',
    end_date: '2026-07-01T00:04:00Z',
  });
});

test('reschedules are counted, and the first start is told', async () => {
  const ti = await server.startTry();
  const path = `/task-reschedules/${ti.id}/start_date?try_number=1`;
  assert.equal((await server.call('GET', path, { key: ti.key, token: ti.token })).text, 'null');
  await state(ti, { state: 'up_for_reschedule', reschedule_date: END, end_date: END });
  await server.db.query(sql`UPDATE task_instance SET state = 'queued' WHERE id = ${ti.id}`);
  const [workload] = await server.claim(ti.worker, 1000);
  const next = await server.call('PATCH', `/task-instances/${ti.id}/run`, {
    key: ti.key,
    token: workload!.token,
    json: server.runBody(),
  });
  assert.equal(next.json<{ task_reschedule_count: number }>().task_reschedule_count, 1);
  const token = next.headers.get('refreshed-api-token')!;
  assert.match((await server.call('GET', path, { key: ti.key, token })).text, /^"\d{4}-\d\d-\d\dT[\d:.]+Z"$/);
});

test('a report whose answer was lost is a success again, however far the try has come; another is refused and changes nothing', async () => {
  const body = { state: 'up_for_reschedule', reschedule_date: '2026-07-01T00:05:00Z', end_date: END };
  for (const since of ['scheduled', 'queued', 'running']) {
    const ti = await server.startTry();
    assert.equal((await state(ti, body)).status, 204);
    await server.db.query(sql`UPDATE task_instance SET state = ${since} WHERE id = ${ti.id}`);
    const again = await Promise.all([state(ti, body), state(ti, body), state(ti, body)]);
    assert.deepEqual(
      again.map((answer) => [answer.status, answer.text]),
      [
        [200, ''],
        [200, ''],
        [200, ''],
      ],
      since,
    );
    const other = await state(ti, { state: 'success', end_date: END });
    assert.equal(other.status, since === 'running' ? 403 : 409, since);
    assert.equal(await stateOf(ti), since);
    const pokes = await server.one<{ n: number }>(
      sql`SELECT count(*)::integer AS n FROM task_reschedule WHERE ti_id = ${ti.id}`,
    );
    assert.equal(pokes.n, 1);
  }
  // The control: the same report by a token that did not make it.
  const ti = await server.startTry();
  assert.equal((await state(ti, body)).status, 204);
  await server.db.query(sql`UPDATE task_instance SET state = 'queued', reported_jti = 'another' WHERE id = ${ti.id}`);
  assert.equal((await state(ti, body)).status, 409);
});

test('a success stays reported when a user marks the task failed meanwhile', async () => {
  const ti = await server.startTry();
  const body = { state: 'success', end_date: END };
  assert.equal((await state(ti, body)).status, 204);
  await server.db.query(sql`UPDATE task_instance SET state = 'failed' WHERE id = ${ti.id}`);
  assert.equal((await state(ti, body)).status, 200);
  assert.equal((await state(ti, { ...body, state: 'skipped' })).status, 409);
  assert.equal(await stateOf(ti), 'failed');
});
