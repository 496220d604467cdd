/** The conf of a run is checked against the params that its Dag declares, by whichever way the run is asked for. @see promise L23 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { type Server, startExecutionApi } from './execution/kit.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type RestKit, restKit } from './rest-kit.ts';

const AT = '2024-01-02T00:00:00Z';
const param = (value: unknown, schema: object) => ({
  __class: 'airflow.sdk.definitions.param.Param',
  default: value,
  description: null,
  schema,
  source: null,
});
const asset = { __type: 'asset', __var: { name: 'made', uri: 's3://made', group: 'asset', extra: {} } };
const timetable = {
  __type: 'airflow.timetables.trigger.CronTriggerTimetable',
  __var: { expression: '0 0 * * *', timezone: 'UTC', interval: 0, run_immediately: false },
};
const document = dagDocument('p', [{ id: 'x', outlets: [asset] }], {
  timetable,
  start_date: 1704067200,
  params: [
    ['count', param(1, { type: 'integer', minimum: 1, maximum: 5 })],
    ['region', param('eu', { type: 'string', enum: ['eu', 'us'] })],
    ['when', param(null, { type: ['null', 'string'], format: 'date-time' })],
    ['tags', param([], { type: 'array', items: { type: 'string', maxLength: 3 }, maxItems: 2 })],
    [
      'shape',
      param(
        { a: 1 },
        { type: 'object', required: ['a'], additionalProperties: false, properties: { a: { type: 'integer' } } },
      ),
    ],
  ],
});
const VALID = [
  {},
  { count: 5 },
  { region: 'us', count: 2 },
  { when: null },
  { when: AT },
  { tags: ['a', 'b'] },
  { shape: { a: 2 } },
  { undeclared: 'x' },
];
const INVALID = [
  { count: 0 },
  { count: 6 },
  { count: '3' },
  { count: 1.5 },
  { count: null },
  { region: 'mars' },
  { region: ['eu'] },
  { when: 'yesterday' },
  { when: 1 },
  { tags: 'a' },
  { tags: ['long!'] },
  { tags: ['a', 'b', 'c'] },
  { shape: {} },
  { shape: { a: 1, b: 2 } },
  { shape: { a: 'x' } },
  { count: 5, region: 'mars' },
];

let kit: RestKit;
let server: Server;
before(async () => {
  kit = await restKit();
  server = await startExecutionApi();
  for (const db of [kit.database.db, server.db]) {
    await withBundle(db);
    const answer = await ingest(db, 'p.ts', [document], AT);
    assert.equal(answer.import_error, null);
  }
});
after(async () => {
  await server.close();
  await kit[Symbol.asyncDispose]();
});

const runs = async (db: RestKit['database']['db']) =>
  (await db.query<{ n: number }>(sql`SELECT count(*)::integer AS n FROM dag_run WHERE dag_id = 'p'`))[0]!.n;

let serial = 0;
const backfill = (conf: object) => ({
  dag_id: 'p',
  from_date: `2024-02-01T00:00:00Z`,
  to_date: `2024-02-01T00:00:00Z`,
  dag_run_conf: conf,
  reprocess_behavior: 'completed',
});
type Way = {
  readonly db: () => RestKit['database']['db'];
  readonly ask: (conf: object) => Promise<{ status: number; text: string }>;
};
const WAYS: Readonly<Record<string, Way>> = {
  'a trigger': {
    db: () => kit.database.db,
    ask: (conf) => kit.as.user('POST', '/dags/p/dagRuns', { conf, logical_date: null, dag_run_id: `r${serial++}` }),
  },
  'a materialization': {
    db: () => kit.database.db,
    ask: async (conf) => {
      const [row] = await kit.database.db.query<{ id: number }>(sql`SELECT id FROM asset WHERE name = 'made'`);
      return kit.as.op('POST', `/assets/${row!.id}/materialize`, { conf, dag_run_id: `m${serial++}` });
    },
  },
  'a backfill': {
    db: () => kit.database.db,
    ask: async (conf) => {
      const answer = await kit.as.admin('POST', '/backfills', backfill(conf));
      if (answer.status === 200) await kit.as.admin('PUT', `/backfills/${answer.body.id}/cancel`);
      return answer;
    },
  },
  'the preview of a backfill': {
    db: () => kit.database.db,
    ask: (conf) => kit.as.admin('POST', '/backfills/dry_run', backfill(conf)),
  },
  'a trigger by a task': {
    db: () => server.db,
    ask: async (conf) => {
      const ti = await server.startTry({ needs: { dags: ['p'] } });
      return server.call('POST', `/dag-runs/p/t${serial++}`, { token: ti.token, key: ti.key, json: { conf } });
    },
  },
};

for (const [way, { db, ask }] of Object.entries(WAYS)) {
  test(`${way}: every conf that breaks the schema is refused and makes no run, every other is taken`, async (t) => {
    for (const conf of VALID) {
      const answer = await ask(conf);
      assert.ok(answer.status < 300, `${JSON.stringify(conf)}: ${answer.status} ${answer.text}`);
    }
    const before = await runs(db());
    for (const conf of INVALID) {
      const answer = await ask(conf);
      assert.ok([400, 422].includes(answer.status), `${JSON.stringify(conf)}: ${answer.status} ${answer.text}`);
    }
    assert.equal(await runs(db()), before);
    t.diagnostic(`L23, ${way}: ${INVALID.length} of ${INVALID.length} invalid refused, ${VALID.length} valid taken`);
  });
}

test('a conf beyond the size of a body is 413 before it is looked at, and one just below is taken', async () => {
  const text = (bytes: number) => ({ undeclared: 'x'.repeat(bytes) });
  assert.equal((await WAYS['a trigger']!.ask(text(1024 * 1024))).status, 413);
  assert.equal((await WAYS['a trigger']!.ask(text(1000 * 1024))).status, 200);
  assert.equal((await WAYS['a trigger by a task']!.ask(text(4 * 1024 * 1024))).status, 413);
  assert.equal((await WAYS['a trigger by a task']!.ask(text(4000 * 1024))).status, 204);
});
