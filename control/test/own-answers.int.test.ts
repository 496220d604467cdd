/** What operations of ours answer is what our OpenAPI document says of them, with something in every list. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { REST_PREFIX, REST_ROUTES } from '../src/api/rest/index.ts';
import { openApiDocument } from '../src/api/rest/openapi.ts';
import { OWN_ANSWERS } from '../src/api/rest/own-answers.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const AT = '2026-01-01T00:00:00Z';
const RUN = '/dags/d/dagRuns/r';
/** Name of the shape → where it is answered. */
const ANSWERED: Readonly<Record<string, string>> = {
  AirlockCallbackCollection: `${RUN}/callbacks`,
  AirlockDeadlineCollection: `${RUN}/deadlines`,
  AirlockNextRuns: '/dags/d/nextRuns?count=3',
  AirlockObservedNeeds: '/dags/d/observedNeeds',
  AirlockWaitingCollection: `${RUN}/waiting`,
};

let kit: RestKit;
before(async () => {
  kit = await restKit();
  const { db } = kit.database;
  await withBundle(db);
  const hourly = {
    timetable: {
      __type: 'airflow.timetables.trigger.CronTriggerTimetable',
      __var: { expression: '0 * * * *', timezone: 'UTC', interval: 0, run_immediately: false },
    },
    start_date: 1767225600,
  };
  await ingest(db, 'd.ts', [dagDocument('d', [{ id: 'a' }, { id: 'b', after: ['a'] }], hourly)], AT);
  const made = await kit.as.admin('POST', '/dags/d/dagRuns', { logical_date: null, dag_run_id: 'r' });
  assert.equal(made.status, 200, made.text);
  await db.query(sql`INSERT INTO observed_use (dag_id, task_id, kind, name, uses, first_at, last_at) VALUES
    ('d', 'a', 'variables', 'v', 2, ${AT}, ${AT}), ('d', 'a', 'variable_writes', 'v', 1, ${AT}, ${AT})`);
  const id = randomUUID();
  await db.query(sql`INSERT INTO callback (id, kind, event, dag_id, dag_run_id, dag_version_id, queue, state, created_at, ended_at, message)
    SELECT ${id}::uuid, 'dag', 'failure', d.dag_id, r.id, d.current_version_id, 'default', 'failed', ${AT}, ${AT}, 'm' FROM dag_run r JOIN dag d USING (dag_id)`);
  await db.query(sql`INSERT INTO deadline (id, dag_run_id, dag_version_id, position, name, reference_type, due_at, missed, created_at, updated_at,
      callback_id, interval_seconds)
    SELECT ${randomUUID()}::uuid, r.id, d.current_version_id, 0, 'soon', 'DagRunQueuedAtDeadline', ${AT}, true, ${AT}, ${AT}, ${id}::uuid, 60
    FROM dag_run r JOIN dag d USING (dag_id)`);
});
after(() => kit[Symbol.asyncDispose]());

test('every operation of ours answers what the document says, with something in each list', async () => {
  assert.deepEqual(Object.keys(ANSWERED).sort(), Object.keys(OWN_ANSWERS).sort());
  for (const [name, path] of Object.entries(ANSWERED)) {
    const { status, body, text } = await kit.as.admin('GET', path);
    assert.equal(status, 200, text);
    OWN_ANSWERS[name]!.parse(body);
    const [rows] = Object.values(body).filter(Array.isArray);
    assert.ok(rows!.length > 0, `${name} is empty`);
    // The control: shapes are closed, and nothing may lack.
    for (const bad of [
      { ...body, more: 1 },
      {},
      { ...body, ...Object.fromEntries(Object.keys(body).map((key) => [key, [1]])) },
    ])
      assert.equal(OWN_ANSWERS[name]!.safeParse(bad).success, false, name);
  }
});

test('each operation that answers JSON has a shape, but for those whose answer is a line, a word or nothing', () => {
  const own = openApiDocument(REST_ROUTES, REST_PREFIX);
  const shapeless = Object.entries(own.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { responses }]) =>
      Object.entries(responses)
        .filter(
          ([status, { content }]) =>
            status.startsWith('2') && content && Object.keys(content['application/json']?.schema ?? {}).length === 0,
        )
        .map(() => `${method.toUpperCase()} ${path.slice(REST_PREFIX.length)}`),
    ),
  );
  assert.deepEqual(shapeless.sort(), [
    'DELETE /dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}',
    'GET /dags/{dag_id}/dagRuns/{dag_run_id}/wait',
    'PATCH /dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/state-store/{key}',
    'PUT /parseDagFile/{file_token}',
  ]);
});
