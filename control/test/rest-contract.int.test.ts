/**
 * Every operation of the REST API, as Airflow's own OpenAPI document has it: each is served or says here why not, takes a
 * request of its schema, and answers with its success status and a body of its schema, in which nothing is missing and
 * nothing is that the schema does not name: airflowctl refuses unknown members in some places.
 */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { gunzipSync } from 'node:zlib';
import { sql } from '@airlock/store';
import { Validator } from '@cfworker/json-schema';
import { REST_PREFIX, REST_ROUTES } from '../src/api/rest/index.ts';
import { openApiDocument } from '../src/api/rest/openapi.ts';
import { REST_POLICY } from '../src/api/rest/policy.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { makeTeams, makeThings, type Things } from './kit/teams.ts';
import { type Witness, watchAudit } from './kit/witness.ts';
import { type RestKit, restKit } from './rest-kit.ts';

type Schema = { readonly [key: string]: unknown };
type Content = { readonly 'application/json'?: { readonly schema: Schema } };
type Operation = {
  readonly parameters?: readonly Named[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
};
type Document = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};

const document = JSON.parse(
  gunzipSync(readFileSync(new URL('data/rest-openapi/v2.json.gz', import.meta.url))).toString(),
) as Document;
const operations: ReadonlyMap<string, Operation> = new Map(
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      return [`${method.toUpperCase()} ${path.replace('/api/v2', '')}`, operation] as const;
    }),
  ),
);

/** Every object with named members is closed; alternatives of the document are no exclusive ones. */
function closed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(closed);
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key === 'oneOf' ? 'anyOf' : key, closed(item)]),
  );
  return 'properties' in copy && !('additionalProperties' in copy) ? { ...copy, additionalProperties: false } : copy;
}
const components = closed(document.components);

function problems(schema: Schema, value: unknown): string[] {
  const root = { ...(closed(schema) as object), components };
  return new Validator(root, '2020-12', false).validate(value).errors.map((e) => `${e.instanceLocation} ${e.error}`);
}

type Call = {
  readonly query?: string;
  readonly json?: unknown;
  readonly headers?: Record<string, string>;
  /** What has to be there first. */
  readonly prepare?: () => Promise<unknown>;
};
const RUN = '/dags/{dag_id}/dagRuns/{dag_run_id}';
const TI = `${RUN}/taskInstances`;
const AT = '2024-01-01T00:00:00Z';
const bulk = (entity: object) => ({ actions: [{ action: 'update', entities: [entity] }] });
const db = () => kit.database.db;
const ended = (t: Things) => () => db().query(sql`UPDATE dag_run SET state = 'failed' WHERE dag_id = ${t.dag}`);
/** A Dag with a schedule, so that it has a past. */
const daily = (t: Things) => async () => {
  const timetable = {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 0 * * *', timezone: 'UTC', interval: 0, run_immediately: false },
  };
  const document = dagDocument(`${t.mark}daily`, [{ id: 'a' }], { timetable, start_date: 1704067200 });
  await ingest(db(), `${t.mark}daily.ts`, [document], AT);
};

/** What an operation is sent besides the ids in its path; none = nothing. */
const CALLS: Readonly<Record<string, (t: Things) => Call>> = {
  'POST /assets/events': (t) => ({ json: { asset_id: t.asset, extra: { a: 1 } } }),
  'GET /backfills': (t) => ({ query: `dag_id=${t.dag}` }),
  'POST /backfills': (t) => ({
    json: { dag_id: `${t.mark}daily`, from_date: AT, to_date: AT },
    prepare: daily(t),
  }),
  'POST /backfills/dry_run': (t) => ({
    json: { dag_id: `${t.mark}daily`, from_date: AT, to_date: AT },
    prepare: daily(t),
  }),
  'PATCH /connections/{connection_id}': (t) => ({ json: { connection_id: t.connection, conn_type: 'http' } }),
  'POST /connections': (t) => ({ json: { connection_id: `${t.mark}new`, conn_type: 'http', extra: '{"a": 1}' } }),
  'PATCH /connections': (t) => ({ json: bulk({ connection_id: t.connection, conn_type: 'http' }) }),
  'GET /connections/enqueue-test': (t) => {
    const id = randomUUID();
    const prepare = () =>
      db().query(sql`INSERT INTO connection_test (id, conn_id, conn_type, state, timeout_seconds, created_at)
        VALUES (${id}, ${t.connection}, 'http', 'queued', 60, ${AT})`);
    return { headers: { 'airflow-connection-test-token': id }, prepare };
  },
  'PATCH /dags': (t) => ({ query: `dag_id_pattern=${t.dag}`, json: { is_paused: true } }),
  'PATCH /dags/{dag_id}': () => ({ json: { is_paused: true } }),
  'POST /dags/{dag_id}/unfavorite': (t) => ({
    prepare: () => db().query(sql`INSERT INTO dag_favorite (dag_id, user_name) VALUES (${t.dag}, 'admin')`),
  }),
  'GET /dagWarnings': (t) => ({ query: `dag_id=${t.dag}` }),
  [`DELETE ${RUN}`]: (t) => ({ prepare: ended(t) }),
  [`PATCH ${RUN}`]: () => ({ json: { state: 'failed', note: 'n' } }),
  [`POST ${RUN}/clear`]: () => ({ json: { dry_run: false } }),
  [`GET ${RUN}/wait`]: (t) => ({ query: 'interval=1', prepare: ended(t) }),
  'PATCH /dags/{dag_id}/dagRuns': (t) => ({ json: bulk({ dag_run_id: t.run, note: 'n' }) }),
  'POST /dags/{dag_id}/dagRuns': () => ({ json: { logical_date: AT, conf: { a: 1 } } }),
  'POST /dags/{dag_id}/dagRuns/list': (t) => ({ json: { dag_ids: [t.dag] } }),
  'POST /dags/{dag_id}/clearDagRuns': (t) => ({ json: { dag_runs: [{ dag_run_id: t.run }] } }),
  'POST /dags/{dag_id}/clearPartitions': (t) => ({ json: { run_id: t.run } }),
  'POST /dags/{dag_id}/clearTaskInstances': () => ({ json: { only_failed: false } }),
  'PATCH /pools/{pool_name}': (t) => ({ json: { pool: t.pool, slots: 9, include_deferred: false } }),
  'POST /pools': (t) => ({ json: { name: `${t.mark}new`, slots: 1 } }),
  'PATCH /pools': (t) => ({ json: bulk({ name: t.pool, slots: 9, include_deferred: false }) }),
  'PUT /assets/{asset_id}/state-store/{key}': () => ({ json: { value: { a: 1 } } }),
  [`PUT ${TI}/{task_id}/state-store/{key}`]: () => ({ json: { value: 1, expires_at: null } }),
  [`PATCH ${TI}/{task_id}/state-store/{key}`]: () => ({ json: { value: 1 } }),
  [`PATCH ${TI}/{task_id}/xcomEntries/{xcom_key}`]: () => ({ json: { value: [1] } }),
  [`POST ${TI}/{task_id}/xcomEntries`]: () => ({ json: { key: 'new', value: { a: null } } }),
  [`PATCH ${TI}`]: () => ({ json: bulk({ task_id: 'task', note: 'n' }) }),
  [`POST ${TI}/list`]: (t) => ({ json: { dag_ids: [t.dag] } }),
  [`PATCH ${TI}/{task_id}/{map_index}/hitlDetails`]: () => ({ json: { chosen_options: ['A'] } }),
  'PATCH /variables/{variable_key}': (t) => ({ json: { key: t.variable, value: 'v' } }),
  'POST /variables': (t) => ({ json: { key: `${t.mark}new`, value: { a: 1 } } }),
  'PATCH /variables': (t) => ({ json: bulk({ key: t.variable, value: 'v' }) }),
  ...Object.fromEntries(
    ['{task_id}', '{task_id}/{map_index}', '{task_id}/dry_run', '{task_id}/{map_index}/dry_run']
      .map((end) => `PATCH ${TI}/${end}`)
      .concat([`PATCH ${RUN}/taskGroupInstances/{group_id}`, `PATCH ${RUN}/taskGroupInstances/{group_id}/dry_run`])
      .map((name) => [name, () => ({ json: { new_state: 'success', note: 'n' } })]),
  ),
};

/** Successes that are not the document's. */
const SUCCESS: Readonly<Record<string, readonly [status: number, why: string]>> = {
  'DELETE /dags/{dag_id}': [204, 'so does the reference'],
  'GET /auth/login': [307, 'so does the reference'],
  'GET /auth/logout': [307, 'so does the reference'],
};
/** What answers otherwise than the document says, and why. */
const STATUS: Readonly<Record<string, readonly [status: number, why: string]>> = {
  ...SUCCESS,
  'POST /connections/test': [403, 'tests of connections are off'],
  'POST /connections/enqueue-test': [403, 'tests of connections are off'],
  [`GET ${TI}/{task_id}/externalLogUrl/{try_number}`]: [400, 'logs are kept here and nowhere else'],
};
/** Operations that are not served, and why. */
const ABSENT: Readonly<Record<string, string>> = {};

let kit: RestKit;
let witness: Witness;
/** Operations that changed something, and those of them that could not while the audit log took no rows. */
const audited = { changes: 0, blocked: 0 };
before(async () => {
  kit = await restKit({ config: { AIRLOCK__API__EXPOSE_CONFIG: 'True' } });
  await withBundle(db());
  await makeTeams(db());
  witness = await watchAudit(kit.database);
});
after(async () => {
  await witness.close();
  await kit[Symbol.asyncDispose]();
});

function pathOf(name: string, t: Things): string {
  const path = name.slice(name.indexOf(' ') + 1);
  const any = name.startsWith('POST') && path.endsWith('/list');
  const values: Record<string, string> = {
    dag_id: any ? '~' : t.dag,
    dag_run_id: any ? '~' : t.run,
    task_id: path.endsWith('/listMapped') ? 'each' : 'task',
    map_index: '-1',
    try_number: '1',
    task_try_number: '1',
    version_number: '1',
    group_id: 'group',
    connection_id: t.connection,
    variable_key: t.variable,
    pool_name: t.pool,
    import_error_id: String(t.importError),
    event_log_id: String(t.eventLog),
    backfill_id: String(t.backfill),
    asset_id: String(t.asset),
    asset_alias_id: String(t.alias),
    file_token: t.fileToken,
    xcom_key: 'k',
    key: 'k',
    section: 'core',
    option: 'parallelism',
  };
  return path.replace(/\{(\w+)\}/g, (_, key: string) =>
    encodeURIComponent(values[key] ?? assert.fail(`${name}: ${key}`)),
  );
}

const shape = (route: string): string => route.replace(/\{\w+\}|:\w+|\*/g, '{}');

test('every operation of the document is served, but for those that say why not', () => {
  const served = new Set(Object.keys(REST_POLICY).map((name) => shape(name)));
  const missing = [...operations.keys()].filter((name) => !served.has(shape(name)));
  assert.deepEqual(missing, Object.keys(ABSENT));
  assert.equal(operations.size, 128);
  for (const name of [...Object.keys(CALLS), ...Object.keys(STATUS)]) assert.ok(operations.has(name), name);
});

type Named = { readonly name: string; readonly in: string; readonly required?: boolean };
const own = openApiDocument(REST_ROUTES, REST_PREFIX);
const ownOperation = (name: string) => {
  const [method, path] = name.split(' ');
  return own.paths[REST_PREFIX + path]?.[method!.toLowerCase()] ?? assert.fail(`${name} is not in our own document`);
};
const named = (parameters: readonly Named[] = []) =>
  parameters
    .filter((each) => each.in !== 'header')
    .map((each) => `${each.in} ${each.name}${each.required ? '!' : ''}`)
    .sort();

/** Operations that take a body there and none here, and why. */
const BODILESS: Readonly<Record<string, string>> = {
  'POST /connections/test': 'always refused, so nothing is read',
  'POST /connections/enqueue-test': 'always refused, so nothing is read',
};

test('our own document has the parameters, bodies and successes of the reference', () => {
  for (const [name, operation] of operations) {
    const ours = ownOperation(name);
    assert.deepEqual(named(ours.parameters), named(operation.parameters), name);
    if (Object.hasOwn(BODILESS, name)) assert.equal(ours.requestBody, undefined, name);
    else
      assert.equal(
        ours.requestBody?.required,
        operation.requestBody && (operation.requestBody.required ?? false),
        name,
      );
    const success = Object.keys(operation.responses).find((status) => status.startsWith('2'))!;
    const [answered] = Object.keys(ours.responses);
    assert.equal(Number(answered), SUCCESS[name]?.[0] ?? Number(success), `${name} success`);
    const schema = operation.responses[success]!.content?.['application/json']?.schema;
    const shown = ours.responses[answered!]!.content?.['application/json']?.schema;
    if (schema && '$ref' in schema) assert.deepEqual(shown, schema, name);
  }
});

test('answers are of the shapes of the reference', () => {
  const used = Object.keys(own.components.schemas);
  assert.ok(used.length > 100);
  for (const name of used) assert.deepEqual(own.components.schemas[name], document.components.schemas[name], name);
});

test('a member that the schema does not name, one that lacks, and a wrong word are seen by the judge', () => {
  const version = { $ref: '#/components/schemas/VersionInfo' };
  assert.deepEqual(problems(version, { version: '3', git_version: null }), []);
  assert.notDeepEqual(problems(version, { version: '3', git_version: null, more: 1 }), []);
  assert.notDeepEqual(problems(version, { git_version: null }), []);
  assert.notDeepEqual(problems(version, { version: 3, git_version: null }), []);
});

for (const [serial, [name, operation]] of [...operations].entries()) {
  if (Object.hasOwn(ABSENT, name)) continue;
  test(`${name} takes and answers what the document says`, async () => {
    const things = await makeThings(kit, 'a', serial);
    const { query = '', json, headers = {}, prepare } = CALLS[name]?.(things) ?? {};
    await prepare?.();
    const requestSchema = operation.requestBody?.content['application/json']?.schema;
    if (json !== undefined) assert.deepEqual(problems(requestSchema!, json), [], 'request');
    const method = name.split(' ')[0]!;
    // Paths of the log-in page are not below the prefix, for this caller.
    const path = pathOf(name, things).replace(/^\/auth/, '/auth/../api/v2/auth');
    const ask = () => kit.as.admin(method, `${path}${query && `?${query}`}`, json, headers);
    await witness.clear();
    const blocked = await witness.whileBlocked(ask);
    assert.deepEqual((await witness.look()).changes, [], 'changed while the audit log took no rows');
    const answer = await ask();
    const { changes, missing } = await witness.look();
    assert.deepEqual(missing, [], 'changed without an audit row');
    if (changes.length > 0) {
      audited.changes++;
      assert.equal(blocked.status, 500, `${name} must fail where its audit row can't be written`);
      audited.blocked++;
    }
    const success = Object.keys(operation.responses).find((status) => status.startsWith('2'))!;
    assert.equal(answer.status, STATUS[name]?.[0] ?? Number(success), answer.text);
    if (String(answer.status) !== success) return;
    const schema = operation.responses[success]!.content?.['application/json']?.schema;
    if (answer.status === 204) {
      assert.equal(answer.text, '');
      return;
    }
    if (name.endsWith('/wait')) {
      assert.equal(JSON.parse(answer.text.trim()).state, 'failed');
      return;
    }
    assert.equal(answer.headers.get('content-type'), 'application/json');
    if (schema) assert.deepEqual(problems(schema, JSON.parse(answer.text)), [], answer.text);
  });
}

test('what was changed above was audited, each in the transaction of its change, and nothing without', (t) => {
  t.diagnostic(
    `REST: ${audited.changes} operations changed something, 0 without an audit row, 0 while it could not be written`,
  );
  assert.ok(audited.changes >= 45);
  assert.equal(audited.blocked, audited.changes);
});
