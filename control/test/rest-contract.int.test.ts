/**
 * Every operation of the REST API, as Airflow's own OpenAPI document has it: each is served or says here why not, takes a
 * request of its schema, and answers with its success status and a body of its schema, in which nothing is missing and
 * nothing is that the schema does not name: airflowctl refuses unknown members in some places.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Validator } from '@cfworker/json-schema';
import { REST_PREFIX, REST_ROUTES } from '../src/api/rest/index.ts';
import { openApiDocument } from '../src/api/rest/openapi.ts';
import { OWN_ANSWERS } from '../src/api/rest/own-answers.ts';
import { REST_POLICY } from '../src/api/rest/policy.ts';
import { withBundle } from './kit/dags.ts';
import { callsBy, document, type Named, operations, pathOf, type Schema, TI } from './kit/rest-calls.ts';
import { makeTeams, makeThings } from './kit/teams.ts';
import { type Witness, watchAudit } from './kit/witness.ts';
import { type RestKit, restKit } from './rest-kit.ts';

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
const db = () => kit.database.db;
const CALLS = callsBy(db);
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

const shape = (route: string): string => route.replace(/\{\w+\}|:\w+|\*/g, '{}');

test('every operation of the document is served, but for those that say why not', () => {
  const served = new Set(Object.keys(REST_POLICY).map((name) => shape(name)));
  const missing = [...operations.keys()].filter((name) => !served.has(shape(name)));
  assert.deepEqual(missing, Object.keys(ABSENT));
  assert.equal(operations.size, 128);
  for (const name of [...Object.keys(CALLS), ...Object.keys(STATUS)]) assert.ok(operations.has(name), name);
});

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

/** Operations that take one parameter more than the reference. */
const OF_TEAM = new Set(
  ['/variables/{variable_key}', '/connections/{connection_id}'].flatMap((path) =>
    ['GET', 'PATCH', 'DELETE'].map((method) => `${method} ${path}`),
  ),
);

test('our own document has the parameters, bodies and successes of the reference', () => {
  for (const [name, operation] of operations) {
    const ours = ownOperation(name);
    const more = OF_TEAM.has(name) ? ['query team_name'] : [];
    assert.deepEqual(named(ours.parameters), [...named(operation.parameters), ...more].sort(), name);
    assert.equal(ours.requestBody?.required, operation.requestBody && (operation.requestBody.required ?? false), name);
    const success = Object.keys(operation.responses).find((status) => status.startsWith('2'))!;
    const [answered] = Object.keys(ours.responses);
    assert.equal(Number(answered), SUCCESS[name]?.[0] ?? Number(success), `${name} success`);
    const schema = operation.responses[success]!.content?.['application/json']?.schema;
    const shown = ours.responses[answered!]!.content?.['application/json']?.schema;
    if (schema && '$ref' in schema) assert.deepEqual(shown, schema, name);
  }
});

test('answers are of the shapes of the reference', () => {
  const used = Object.keys(own.components.schemas).filter((name) => !Object.hasOwn(OWN_ANSWERS, name));
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
