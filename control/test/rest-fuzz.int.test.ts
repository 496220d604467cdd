/**
 * Hostile and random input on every route: whatever comes, no answer is a 5xx, and the documented refusals are exact. After all of
 * it nothing that was there is lost, nothing is there by half, and no more memory is held than at the beginning.
 */
import assert from 'node:assert/strict';
import { Session } from 'node:inspector/promises';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import fc from 'fast-check';
import { scaled, seededRandom } from '../../tests/kit/seed.ts';
import { REST_ROUTES } from '../src/api/rest/index.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Answer, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
before(async () => {
  kit = await restKit();
  await withBundle(kit.database.db);
  const document = dagDocument('real', [{ id: 'a' }, { id: 'b', after: ['a'] }], { tags: ['t'] });
  const doomed = dagDocument('doomed', [{ id: 'a' }]);
  const kept = dagDocument('kept-dag', [{ id: 'a' }, { id: 'b', after: ['a'] }]);
  await ingest(kit.database.db, 'real.ts', [document, doomed], new Date().toISOString());
  await ingest(kit.database.db, 'kept.ts', [kept], new Date().toISOString());
  for (const [path, body] of KEPT) assert.equal((await kit.as.admin('POST', path, body)).status, 201, path);
  for (const dag of ['real', 'doomed', 'kept-dag']) {
    const run = await kit.as.admin('POST', `/dags/${dag}/dagRuns`, { logical_date: null, dag_run_id: 'r1' });
    assert.equal(run.status, 200);
  }
});
after(() => kit[Symbol.asyncDispose]());

/** Runs per property: 20,000 requests in all with `npm run soak`. */
const RUNS = scaled(160, 40);
const seed = seededRandom('hostile requests').seed;

/** Things that no request of this file names. */
const KEPT = [
  ['/variables', { key: 'kept-variable', value: '{"a": [1, "two"]}', description: 'stays' }],
  ['/pools', { name: 'kept-pool', slots: 7, description: 'stays' }],
  ['/connections', { connection_id: 'kept-connection', conn_type: 'http', host: 'h', extra: '{"a": 1}' }],
] as const;
const keptPaths = [
  '/variables/kept-variable',
  '/pools/kept-pool',
  '/connections/kept-connection',
  '/dags/kept-dag/dagRuns/r1',
  '/dags/kept-dag/dagRuns/r1/taskInstances',
  '/dags/kept-dag/dagVersions',
];
const keptNow = async () => {
  const answers = [];
  for (const path of keptPaths) {
    kit.clock.shift(1000);
    const answer = await kit.as.admin('GET', path);
    answers.push([path, answer.status, answer.body]);
  }
  return answers;
};

/** Bytes of the heap that are in use after a collection. */
async function heldBytes(): Promise<number> {
  const session = new Session();
  session.connect();
  await session.post('HeapProfiler.collectGarbage');
  session.disconnect();
  return process.memoryUsage().heapUsed;
}

const routes = REST_ROUTES.filter((route) => route.path !== '/auth/logout');
const writes = routes.filter((route) => route.method !== 'GET');
/** Routes that are asked without a body. */
const BODYLESS = /\/(favorite|unfavorite|:file_token|pause|unpause|cancel|defaults)$/;

const concrete = (path: string, over: (name: string) => string): string =>
  path.replace(/\*|:(\w+)/g, (_, name?: string) => encodeURIComponent(over(name ?? '*')));
const known = (name: string): string =>
  ({ dag_id: 'real', dag_run_id: 'r1', task_id: 'a', map_index: '-1', try_number: '1', task_try_number: '1' })[name] ??
  '1';

function fine(answer: Answer, what: string): void {
  assert.ok(answer.status < 500, `${what} → ${answer.status} ${answer.text.slice(0, 300)}`);
  if (answer.status === 204) return;
  const type = answer.headers.get('content-type') ?? '';
  if (answer.status >= 400) assert.equal(type, 'application/json', what);
}

test('malformed JSON is 422 with its position on every route that takes a body, for anybody', async () => {
  for (const caller of [kit.as.admin, kit.anonymous]) {
    for (const route of writes.filter((each) => each.method !== 'DELETE')) {
      const answer = await caller(route.method, concrete(route.path, known), '{"a": tru}');
      assert.equal(answer.status, 422, route.path);
      const [item] = answer.body.detail;
      assert.deepEqual(
        [item.type, item.loc, item.msg, item.input],
        ['json_invalid', ['body', 6], 'JSON decode error', {}],
      );
    }
  }
});

test('10,000-deep nesting and prototype keys are 422 on every route that takes a body', async () => {
  const deep = `{"conf":${'['.repeat(10_000)}${']'.repeat(10_000)}}`;
  for (const route of writes.filter((each) => each.method !== 'DELETE')) {
    const path = concrete(route.path, known);
    const nested = await kit.as.admin(route.method, path, deep);
    assert.deepEqual([nested.status, nested.headers.get('airlock-error')], [422, 'TOO_DEEP'], route.path);
    for (const body of ['{"__proto__":{"role":"admin"}}', '{"conf":{"constructor":{"prototype":{}}}}']) {
      const answer = await kit.as.admin(route.method, path, body);
      assert.deepEqual([answer.status, answer.body.detail[0].type], [422, 'forbidden_key'], route.path);
    }
  }
  assert.equal(({} as Record<string, unknown>).role, undefined);
});

test('a body of another content type is refused as the text that it is', async () => {
  const withBody = writes.filter(({ method, path }) => method !== 'DELETE' && !BODYLESS.test(path));
  for (const route of withBody.filter((each) => !/^\/connections\/(enqueue-)?test$/.test(each.path))) {
    // Lists that are asked for with a body take no concrete ids, and say so first.
    const path = concrete(route.path, (name) => (route.path.endsWith('/list') ? '~' : known(name)));
    const answer = await kit.as.admin(route.method, path, '{}', { 'content-type': 'text/plain' });
    assert.equal(answer.status, 422, route.path);
    assert.equal(answer.body.detail[0].type, 'model_attributes_type', route.path);
  }
});

test('no content type, however odd, gets more than a refusal', async () => {
  const odd = [
    '',
    ';',
    'json',
    'application/',
    '/json',
    'application/json;;;=',
    'application/json; charset="',
    'a/b/c',
    '\u00e9/\u00fc',
    'application /json',
  ];
  for (const type of odd) {
    for (const path of ['/variables', '/pools', '/dags/real/dagRuns']) {
      const answer = await kit.as.admin('POST', path, '{}', { 'content-type': type });
      assert.equal(answer.status, 422, `${type} ${answer.text}`);
    }
  }
});

test('other verbs are 405, unknown paths 404, and HEAD and OPTIONS are no routes', async () => {
  for (const method of ['PUT', 'DELETE', 'OPTIONS', 'HEAD']) {
    const answer = await kit.as.admin(method, '/dagTags');
    assert.equal(answer.status, 405, method);
    if (method !== 'HEAD') assert.deepEqual(answer.body, { detail: 'Method Not Allowed' });
    assert.equal(answer.headers.get('allow'), 'GET');
  }
  for (const path of ['/no-such-thing', '/dags/', '/dags/a%2Fb', '/dags/%E0%A4%A', '/pool']) {
    const answer = await kit.as.admin('GET', path);
    assert.deepEqual([answer.status, answer.body], [404, { error: 'API route not found' }], path);
  }
});

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    '',
    '~',
    '..',
    '%',
    '|',
    '-1',
    '1e999',
    '\u0000',
    '\\',
    "'; DROP TABLE dag; --",
    'x'.repeat(600),
    '2024-01-01',
    '2024-01-01T00:00:00Z',
    '99999999999999999999',
    'NaN',
    '__proto__',
  ),
);
const json = fc.oneof(fc.jsonValue({ maxDepth: 4 }), text, fc.integer(), fc.constant(null));
/** Names that routes know, so that random bodies get past the outer shape. */
const fieldNames = fc.constantFrom(
  'key',
  'value',
  'description',
  'name',
  'pool',
  'slots',
  'include_deferred',
  'team_name',
  'connection_id',
  'conn_type',
  'extra',
  'port',
  'password',
  'is_paused',
  'logical_date',
  'dag_run_id',
  'conf',
  'note',
  'run_after',
  'state',
  'dry_run',
  'only_failed',
  'task_ids',
  'new_state',
  'include_past',
  'include_future',
  'actions',
  'start_date',
  'end_date',
  'order_by',
  'page_limit',
  'page_offset',
  'dag_ids',
  'states',
  'duration_gte',
  'data_interval_start',
  'data_interval_end',
  'partition_key',
  'partition_date_start',
  'dag_runs',
  'run_id',
  'only_new',
  'chosen_options',
  'params_input',
  'asset_id',
  'access_control',
  'expires_at',
  'map_index',
  'task_id',
  'dag_id',
  'from_date',
  'to_date',
);
const body = fc.oneof(json, fc.dictionary(fieldNames, json, { maxKeys: 6 }));
const parameters = fc.constantFrom(
  'limit',
  'offset',
  'order_by',
  'cursor',
  'state',
  'run_type',
  'tags',
  'owners',
  'dag_id_pattern',
  'dag_id_prefix_pattern',
  'run_id_pattern',
  'map_index',
  'try_number',
  'version_number',
  'update_mask',
  'start_date_gte',
  'end_date_lt',
  'duration_gt',
  'conf_contains',
  'token',
  'deserialize',
  'stringify',
  'xcom_key',
  'last_dag_run_state',
  'is_favorite',
  'paused',
  'before',
  'after',
  'tags_match_mode',
  'next',
  'variable_key_pattern',
  'pool_name_prefix_pattern',
  'dag_version',
  'is_alive',
  'rendered_map_index_pattern',
  'task_group_id',
  'all_map_indices',
  'dag_ids',
  'only_active',
  'asset_id',
  'name_pattern',
  'uri_prefix_pattern',
  'source_dag_id',
  'source_map_index',
  'timestamp_gte',
  'created_at_lt',
  'subject_search',
  'response_received',
  'responded_by_user_id',
);
const query = fc.array(fc.tuple(parameters, text), { maxLength: 4 });

let requests = 0;
/** Heap after the requests of every eighth route, and of the last. */
const heap: number[] = [];
let keptBefore: Awaited<ReturnType<typeof keptNow>>;
test('what was there before is there to be looked at', async () => {
  keptBefore = await keptNow();
  for (const [path, status] of keptBefore) assert.equal(status, 200, String(path));
});

for (const [index, route] of routes.entries()) {
  test(`${route.method} ${route.path} never fails, whatever it is asked`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.dictionary(
          fc.constantFrom('dag_id', 'dag_run_id', 'task_id', 'map_index', 'try_number', '*', 'connection_id'),
          text,
          { maxKeys: 2 },
        ),
        query,
        body,
        async (real, names, pairs, sent) => {
          // The Dag that all others ask for has to stay.
          const there = (name: string) => (route.method === 'DELETE' && name === 'dag_id' ? 'doomed' : known(name));
          const path = concrete(route.path, (name) => (real ? there(name) : (names[name] ?? there(name))));
          const search = new URLSearchParams(pairs).toString();
          const url = search === '' ? path : `${path}?${search}`;
          requests++;
          const answer = await kit.as.admin(route.method, url, route.method === 'GET' ? undefined : sent);
          fine(answer, `${route.method} ${url} ${JSON.stringify(sent)}`);
        },
      ),
      { numRuns: RUNS, seed },
    );
    if (index % 8 === 7 || index === routes.length - 1) heap.push(await heldBytes());
  });
}

test('after all of it nothing is lost, nothing is there by half, and memory is flat', async (t) => {
  const db = kit.database.db;
  assert.deepEqual(await keptNow(), keptBefore, 'what no request named is as it was');
  // Each run has all tasks of its Dag, but for the one whose task instances were deleted by name.
  const halves = await db.query(sql`SELECT r.dag_id, r.run_id, count(t.id)::int AS n FROM dag_run r
    LEFT JOIN task_instance t ON t.dag_run_id = r.id WHERE r.dag_id IN ('real', 'kept-dag') AND r.run_id <> 'r1'
    GROUP BY r.id HAVING count(t.id) <> 2`);
  assert.deepEqual(halves, [], 'a run without its task instances');
  const ownerless = await db.query(
    sql`SELECT b.id FROM backfill b WHERE NOT EXISTS (SELECT FROM dag d WHERE d.dag_id = b.dag_id)`,
  );
  assert.deepEqual(ownerless, []);
  // The first third fills caches: statements, compiled schemas, routes.
  const [third, last] = [heap[Math.floor(heap.length / 3)]!, heap.at(-1)!];
  const grown = (last - third) / 1024 / 1024;
  t.diagnostic(
    `${requests} requests over ${routes.length} routes: 0 answers of 5xx, 0 things lost; heap ${(third / 1048576).toFixed(1)} MB after a third, ${(last / 1048576).toFixed(1)} MB at the end`,
  );
  assert.ok(grown < 16, `the heap has grown by ${grown.toFixed(1)} MB`);
});

test('log-in never fails, whatever it is asked', async () => {
  const given = fc.oneof(body, fc.record({ username: text, password: text }));
  const type = fc.constantFrom(
    'application/json',
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/json; charset=x',
    '',
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom('/auth/token', '/auth/token/cli'),
      given,
      type,
      async (path, sent, contentType) => {
        kit.clock.shift(61_000); // attempts are limited per minute
        const answer = await kit.anonymous('POST', path, JSON.stringify(sent), { 'content-type': contentType });
        fine(answer, `${path} ${contentType} ${JSON.stringify(sent)}`);
        assert.notEqual(answer.status, 201);
      },
    ),
    { numRuns: RUNS, seed },
  );
});
