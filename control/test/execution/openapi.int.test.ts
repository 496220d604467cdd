/**
 * Every operation of every version of the Execution API, as Airflow's own OpenAPI documents have them: each is served in
 * exactly the versions that name it, takes a request of its schema, and answers with its success status and a body of its
 * schema, in which nothing is that the schema does not name: clients of the Task SDK refuse unknown keys.
 */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { SUPERVISOR_ROUTES } from '@airlock/contract/supervisor-api';
import { sql } from '@airlock/store';
import { Validator } from '@cfworker/json-schema';
import { EXECUTION_POLICY } from '../../src/api/execution/policy.ts';
import { API_VERSIONS, type ApiVersion, isServedIn } from '../../src/api/execution/version.ts';
import { type Witness, watchAudit } from '../kit/witness.ts';
import { type Server, startExecutionApi, type Try } from './kit.ts';

type Schema = { readonly [key: string]: unknown };
type Operation = {
  readonly parameters?: ReadonlyArray<{ in: string; name: string; required?: boolean; schema: Schema }>;
  readonly requestBody?: { readonly content: { readonly 'application/json': { readonly schema: Schema } } };
  readonly responses: Readonly<
    Record<string, { readonly content?: { readonly 'application/json': { readonly schema: Schema } } }>
  >;
};
type Document = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};

const documentOf = (version: ApiVersion): Document => {
  const file = new URL(`../data/execution-openapi/${version}.json.gz`, import.meta.url);
  return JSON.parse(gunzipSync(readFileSync(file)).toString()) as Document;
};
const operationsOf = (document: Document): Map<string, Operation> =>
  new Map(
    Object.entries(document.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => [`${method.toUpperCase()} ${path}`, operation] as const),
    ),
  );

/**
 * Every object with named members is closed, as it is in the client. Alternatives of the documents are no exclusive ones:
 * a whole number is an integer and a number.
 */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key === 'oneOf' ? 'anyOf' : key, closed(item)]),
  );
  return 'properties' in copy && !('additionalProperties' in copy) ? { ...copy, additionalProperties: false } : copy;
}

function problems(document: Document, schema: Schema, value: unknown): string[] {
  const root = { ...(closed(schema) as object), components: closed(document.components) };
  return new Validator(root, '2020-12', false).validate(value).errors.map((e) => `${e.instanceLocation} ${e.error}`);
}

/** What a call of each operation sends besides the ids in its path. */
type Call = { readonly query?: string; readonly json?: unknown; readonly as?: 'workload' | 'connection test' };
const END = '2026-07-01T00:01:10Z';
const DATES = 'logical_date=2026-06-03T00:00:00Z';
const CALLS: Readonly<Record<string, Call>> = {
  'GET /asset-events/by-asset': { query: 'name=orders&uri=' },
  'GET /asset-events/by-asset-alias': { query: 'name=any' },
  'GET /assets/by-alias': { query: 'alias_name=any' },
  'GET /assets/by-name': { query: 'name=orders' },
  'GET /assets/by-uri': { query: 'uri=s3://orders' },
  'PATCH /connection-tests/{connection_test_id}': {
    json: { state: 'success', result_message: 'ok' },
    as: 'connection test',
  },
  'GET /connection-tests/{connection_test_id}/connection': { as: 'connection test' },
  'GET /connections/{connection_id}': {},
  'GET /dag-runs/count': { query: 'dag_id=dag_p' },
  'GET /dag-runs/previous': { query: `dag_id=dag_p&${DATES}` },
  'GET /dag-runs/{dag_id}/previous': { query: DATES },
  'GET /dag-runs/{dag_id}/{run_id}': {},
  'POST /dag-runs/{dag_id}/{run_id}': { json: { conf: { a: 1 } } },
  'POST /dag-runs/{dag_id}/{run_id}/clear': {},
  'GET /dag-runs/{dag_id}/{run_id}/state': {},
  'GET /dags/{dag_id}': {},
  'GET /health': {},
  'GET /health/ping': {},
  'GET /hitlDetails/{task_instance_id}': {},
  'PATCH /hitlDetails/{task_instance_id}': { json: { ti_id: randomUUID(), chosen_options: ['No'], params_input: {} } },
  'POST /hitlDetails/{task_instance_id}': { json: { ti_id: randomUUID(), options: ['A'], subject: 's' } },
  'DELETE /store/asset/by-name/clear': { query: 'name=orders' },
  'DELETE /store/asset/by-name/value': { query: 'name=orders&key=k' },
  'GET /store/asset/by-name/value': { query: 'name=orders&key=k' },
  'PUT /store/asset/by-name/value': { query: 'name=orders&key=k', json: { value: { a: 1 } } },
  'DELETE /store/asset/by-uri/clear': { query: 'uri=s3://orders' },
  'DELETE /store/asset/by-uri/value': { query: 'uri=s3://orders&key=k' },
  'GET /store/asset/by-uri/value': { query: 'uri=s3://orders&key=k' },
  'PUT /store/asset/by-uri/value': { query: 'uri=s3://orders&key=k', json: { value: [1] } },
  'DELETE /store/ti/{task_instance_id}': {},
  'DELETE /store/ti/{task_instance_id}/{key}': {},
  'GET /store/ti/{task_instance_id}/{key}': {},
  'PUT /store/ti/{task_instance_id}/{key}': { json: { value: 'v', expires_at: END } },
  'GET /task-instances/breadcrumbs': { query: 'dag_id=dag_p&run_id=RUN' },
  'GET /task-instances/count': { query: 'dag_id=dag_p&states=null' },
  'GET /task-instances/previous/{dag_id}/{task_id}': { query: 'map_index=-1' },
  'GET /task-instances/states': { query: 'dag_id=dag_p' },
  'PUT /task-instances/{task_instance_id}/heartbeat': { json: { hostname: 'worker-1', pid: 4242 } },
  'GET /task-instances/{task_instance_id}/previous-successful-dagrun': {},
  'PATCH /task-instances/{task_instance_id}/rendered-map-index': { json: 'load_one-2' },
  'PUT /task-instances/{task_instance_id}/rtif': { json: { bash_command: 'echo' } },
  'PATCH /task-instances/{task_instance_id}/run': {
    json: { state: 'running', hostname: 'worker-1', unixname: 'airflow', pid: 4242, start_date: END },
  },
  'PATCH /task-instances/{task_instance_id}/skip-downstream': { json: { tasks: ['load', ['report', -1]] } },
  'PATCH /task-instances/{task_instance_id}/state': {
    json: { state: 'success', end_date: END, task_outlets: [], outlet_events: [] },
  },
  'GET /task-instances/{task_instance_id}/validate-inlets-and-outlets': {},
  'GET /task-reschedules/{task_instance_id}/start_date': {},
  'GET /variables/keys': {},
  'DELETE /variables/{variable_key}': {},
  'GET /variables/{variable_key}': {},
  'PUT /variables/{variable_key}': { json: { val: 'v', description: null } },
  'DELETE /xcoms/{dag_id}/{run_id}/{task_id}/{key}': {},
  'GET /xcoms/{dag_id}/{run_id}/{task_id}/{key}': {},
  'HEAD /xcoms/{dag_id}/{run_id}/{task_id}/{key}': {},
  'POST /xcoms/{dag_id}/{run_id}/{task_id}/{key}': { json: { any: ['value'] } },
  'GET /xcoms/{dag_id}/{run_id}/{task_id}/{key}/item/{offset}': {},
  'GET /xcoms/{dag_id}/{run_id}/{task_id}/{key}/slice': {},
};
/** Where the reference answers otherwise than its document says. */
const STATUS: Readonly<Record<string, number>> = { 'PATCH /task-instances/{task_instance_id}/state': 204 };

let server: Server;
let witness: Witness;
/** Calls that changed something, over all versions. */
let audited = 0;
before(async () => {
  server = await startExecutionApi();
  witness = await watchAudit(server.database);
});
after(async () => {
  await witness.close();
  await server.close();
});

const tagged = (name: string) => ({ __type: 'asset', __var: { name, uri: `s3://${name}`, group: 'asset', extra: {} } });

/** A try in whose reach there is one of everything. */
async function scene(): Promise<Try> {
  const { db } = server;
  const at = new Date(server.nowMs()).toISOString();
  const run = await server.seedRun('dag_p', null, { tasks: { extract: { outlets: [tagged('orders')] } } });
  await server.seedTask(run, { taskId: 'load', state: 'success' });
  await db.query(sql`UPDATE dag_run SET run_type = 'asset_triggered', conf = '{"a": 1}' WHERE id = ${run.dagRunId}`);
  await db.query(sql`INSERT INTO dag_run (dag_id, run_id, state, run_type, triggered_by, logical_date, run_after, updated_at)
    VALUES ('dag_p', 'before', 'success', 'manual', 'test', '2026-06-01T00:00:00Z', ${at}, ${at}) ON CONFLICT DO NOTHING`);
  await db.query(
    sql`INSERT INTO asset_alias (name, alias_group, created_at) VALUES ('any', 'asset', ${at}) ON CONFLICT DO NOTHING`,
  );
  await db.query(
    sql`INSERT INTO asset_alias_asset SELECT l.id, a.id FROM asset_alias l, asset a ON CONFLICT DO NOTHING`,
  );
  await db.query(sql`WITH e AS (INSERT INTO asset_event (asset_id, source_dag_id, partition_key, at)
      SELECT id, 'dag_p', 'eu', ${at} FROM asset RETURNING id),
    u AS (INSERT INTO asset_event_alias SELECT e.id, l.id FROM e, asset_alias l)
    INSERT INTO dag_run_asset_event SELECT ${run.dagRunId}, id FROM e`);
  await db.query(sql`INSERT INTO variable (key, val) VALUES ('v', 'x') ON CONFLICT DO NOTHING`);
  await db.query(sql`INSERT INTO connection (conn_id, conn_type) VALUES ('c', 'http') ON CONFLICT DO NOTHING`);
  const ti = await server.startTry({ needs: null }, run);
  await db.query(sql`UPDATE task_instance SET trigger_timeout = ${at}::timestamptz WHERE id = ${ti.id}`);
  await db.query(sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
    VALUES (${run.dagRunId}, 'extract', -1, 'k', 'dag_p', ${run.runId}, '1', ${at})`);
  await db.query(sql`INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at)
    VALUES (${run.dagRunId}, 'extract', -1, 'k', '1', ${at})`);
  await db.query(sql`INSERT INTO asset_state (asset_id, key, value, updated_at) SELECT id, 'k', '1', ${at} FROM asset
    ON CONFLICT DO NOTHING`);
  await db.query(sql`INSERT INTO hitl_detail (ti_id, dag_run_id, dag_id, run_id, task_id, map_index, options, subject, defaults,
      multiple, params, assigned_users, created_at)
    VALUES (${ti.id}, ${run.dagRunId}, 'dag_p', ${run.runId}, 'extract', -1, '{Yes,No}', 's', '{No}', false, '{}', '[]', ${at})`);
  return ti;
}

async function connectionTest(): Promise<{ id: string; token: string }> {
  const [id, jti] = [randomUUID(), randomBytes(16).toString('hex')];
  await server.db.query(sql`INSERT INTO connection_test (id, conn_id, conn_type, state, timeout_seconds, created_at, workload_jti)
    VALUES (${id}, ${id}, 'http', 'queued', 60, ${new Date(server.nowMs()).toISOString()}, ${jti})`);
  return { id, token: await server.minter.mint('workload', { sub: id, jti, ttlSeconds: 60 }) };
}

const shape = (route: string): string => route.replace(/\{[a-z_]+\}|:[a-z_]+|\*/g, '{}');

test('each version has exactly the operations that its document has, and each is called below', () => {
  const ours = new Set<string>(Object.values(SUPERVISOR_ROUTES));
  for (const version of API_VERSIONS) {
    const served = Object.entries(EXECUTION_POLICY).filter(
      ([name, row]) => !ours.has(name) && !name.includes(' /callbacks/') && isServedIn(row.servedIn ?? {}, version),
    );
    // Two forms of reading an XCom are told apart by the handler.
    const forms = ['item/{}', 'slice'].map((form) => `GET /xcoms/{}/{}/{}/{}/${form}`);
    const operations = [...operationsOf(documentOf(version)).keys()];
    assert.deepEqual([...served.map(([name]) => shape(name)), ...forms].sort(), operations.map(shape).sort(), version);
    assert.deepEqual(
      operations.filter((name) => !Object.hasOwn(CALLS, name)),
      [],
      version,
    );
  }
});

test('a key that the schema does not name, and one that lacks, are seen by the judge', () => {
  const document = documentOf('2026-06-30');
  const run = { $ref: '#/components/schemas/DagRunStateResponse' };
  assert.deepEqual(problems(document, run, { state: 'success' }), []);
  assert.notDeepEqual(problems(document, run, { state: 'success', more: 1 }), []);
  assert.notDeepEqual(problems(document, run, {}), []);
  assert.notDeepEqual(problems(document, run, { state: 'odd' }), []);
});

for (const version of API_VERSIONS) {
  test(`${version}: every operation takes what its document says and answers what its document says`, async () => {
    const document = documentOf(version);
    const shared = await scene();
    let bodies = 0;
    // Reads first: they share a scene and leave it as it is.
    const isRead = ([name]: readonly [string, unknown]) => name.startsWith('GET');
    const operations = [...operationsOf(document)].sort((a, b) => Number(isRead(b)) - Number(isRead(a)));
    for (const [name, operation] of operations) {
      const { query = '', json, as } = CALLS[name]!;
      const ti = name.startsWith('GET') ? shared : await scene();
      const tested = as === 'connection test' ? await connectionTest() : null;
      const ids: Record<string, string> = {
        task_instance_id: ti.id,
        connection_test_id: tested?.id ?? '',
        dag_id: 'dag_p',
        run_id: name === 'POST /dag-runs/{dag_id}/{run_id}' ? randomUUID() : ti.run.runId,
        task_id: 'extract',
        key: 'k',
        offset: '0',
        variable_key: 'v',
        connection_id: 'c',
      };
      const [method, path] = name.split(' ') as [string, string];
      if (json !== undefined && version === '2026-06-30') {
        const { schema } = operation.requestBody!.content['application/json'];
        assert.deepEqual(problems(document, schema, json), [], `request of ${name}`);
      }
      const at = path.replace(/\{([a-z_]+)\}/g, (_, key: string) => ids[key]!);
      const ask = () =>
        server.call(method, `${at}${query ? `?${query.replace('RUN', ti.run.runId)}` : ''}`, {
          ...(tested ? { token: tested.token } : { token: ti.token, key: ti.key }),
          ...(json === undefined ? {} : { json }),
          headers: { 'airflow-api-version': version },
        });
      await witness.clear();
      const blocked = await witness.whileBlocked(ask);
      assert.deepEqual((await witness.look()).changes, [], `${name} changed while the audit log took no rows`);
      const answer = await ask();
      const { changes, missing } = await witness.look();
      assert.deepEqual(missing, [], `${name} changed without an audit row`);
      if (changes.length > 0) {
        assert.equal(blocked.status, 500, `${name} must fail where its audit row can't be written`);
        audited++;
      }
      const success = Object.keys(operation.responses).find((status) => status.startsWith('2'))!;
      assert.equal(answer.status, STATUS[name] ?? Number(success), `${name}: ${answer.text}`);
      assert.equal(answer.headers.get('airflow-api-version'), version);
      const schema = operation.responses[success]!.content?.['application/json'].schema;
      if (method === 'HEAD' || answer.status === 204) {
        assert.equal(answer.text, '', name);
        continue;
      }
      assert.equal(answer.headers.get('content-type'), 'application/json', name);
      if (schema) assert.deepEqual(problems(document, schema, answer.json()), [], `${name}: ${answer.text}`);
      bodies++;
    }
    assert.ok(bodies >= 20);
  });
}

test('what was changed above was audited, each in the transaction of its change, and nothing without', (t) => {
  t.diagnostic(
    `Execution API: ${audited} calls changed something, 0 without an audit row, 0 while it could not be written`,
  );
  assert.ok(audited >= 60);
});
