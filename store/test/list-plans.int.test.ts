/**
 * Pages of long lists are read from an index and not by sorting: what a page costs must not grow with what is in the table.
 * The statements are the real ones, explained by PostgreSQL over tables large enough that it chooses as it would in earnest.
 */
import { deepEqual, match } from 'node:assert/strict';
import { before, test } from 'node:test';
import { type TestDatabase, testDatabase } from '../../tests/kit/database.ts';
import { type Db, openDatabase, type Sql, sql } from '../src/database.ts';
import { listRuns, RUN_ORDER } from '../src/queries/rest-run/list.ts';
import { listTaskInstances, TASK_INSTANCE_ORDER } from '../src/queries/rest-task/list.ts';

const AT = '2026-01-01T00:00:00Z';
const RUNS = 1500;
const TASKS = 10;

type Plan = { readonly 'Node Type': string; readonly 'Index Name'?: string; readonly Plans?: readonly Plan[] };
const nodes = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodes)];

let database: TestDatabase;
before(async () => {
  database = await testDatabase();
  const owner = openDatabase({
    url: database.ownerUrl,
    maxConnections: 1,
    applicationName: 'fill',
    onError: () => undefined,
  });
  await owner.query(sql`INSERT INTO dag_bundle (name, kind, path) VALUES ('b', 'local', '/b')`);
  for (const dagId of ['one', 'other']) {
    await owner.query(sql`INSERT INTO dag (dag_id, bundle_name, relative_fileloc, fileloc, display_name, timetable_type, is_paused,
        max_active_runs, max_active_tasks, last_parsed_at)
      VALUES (${dagId}, 'b', 'x.py', '/b/x.py', ${dagId}, 'NullTimetable', true, 16, 16, ${AT})`);
    await owner.query(sql`INSERT INTO dag_version (id, dag_id, version_number, bundle_name, digest, document, source, created_at)
      VALUES (gen_random_uuid(), ${dagId}, 1, 'b', 'd', '{}', '', ${AT})`);
    await owner.query(sql`INSERT INTO dag_run (dag_id, run_id, state, run_type, triggered_by, run_after, updated_at)
      SELECT ${dagId}, 'r' || n, 'success', 'manual', 'test', ${AT}::timestamptz + n * interval '1 minute', ${AT}
      FROM generate_series(1, ${RUNS}) n`);
    await owner.query(sql`INSERT INTO task_instance (id, dag_run_id, dag_id, run_id, task_id, dag_version_id, state, task_display_name,
        pool, queue, updated_at, start_date)
      SELECT gen_random_uuid(), r.id, r.dag_id, r.run_id, 't' || i, v.id, 'success', 't' || i, 'p', 'q', ${AT}, r.run_after
      FROM dag_run r, generate_series(1, ${TASKS}) i, dag_version v WHERE r.dag_id = ${dagId} AND v.dag_id = ${dagId}`);
  }
  await owner.query(sql`VACUUM ANALYZE`);
  await owner.close();
});

/** The nodes of the plan of the page that is asked for; nothing is read. */
async function planOf(ask: (db: Db) => Promise<unknown>): Promise<Plan[]> {
  let found: Plan[] = [];
  const explain = async (statement: Sql) => {
    const [row] = await database.db.query<{ 'QUERY PLAN': Array<{ Plan: Plan }> }>(
      sql`EXPLAIN (FORMAT JSON) ${statement}`,
    );
    found = nodes(row!['QUERY PLAN'][0]!.Plan);
    return [];
  };
  await ask({ ...database.db, query: explain } as unknown as Db);
  return found;
}
const kinds = (plan: readonly Plan[]) => plan.map((node) => node['Node Type']).join(', ');
const indexes = (plan: readonly Plan[]) => plan.flatMap((node) => node['Index Name'] ?? []);

const page = { limit: 100, offset: 0 };
const usual = [
  { column: TASK_INSTANCE_ORDER.map_index!, descending: false },
  { column: TASK_INSTANCE_ORDER.id!, descending: false },
];
const anything = { visible: 'all', runIds: null, openRanges: true, nowIso: AT } as const;

for (const [what, dagIds, index] of [
  ['a Dag', ['one'], 'ti_listed'],
  ['all Dags', null, 'ti_listed_of_all'],
] as const) {
  test(`task instances of ${what} in their usual order come from an index`, async () => {
    const plan = await planOf((db) => listTaskInstances(db, { ...anything, dagIds }, { ...page, order: usual }));
    deepEqual(indexes(plan).includes(index), true, kinds(plan));
    deepEqual(kinds(plan).includes('Sort'), false, kinds(plan));
  });
}

for (const [what, dagIds] of [
  ['a Dag', ['one']],
  ['all Dags', null],
] as const) {
  test(`task instances of ${what}, those that started last first, come from an index`, async () => {
    const order = [
      { column: TASK_INSTANCE_ORDER.start_date!, descending: true },
      { column: TASK_INSTANCE_ORDER.id!, descending: true },
    ];
    const plan = await planOf((db) => listTaskInstances(db, { ...anything, dagIds }, { ...page, order }));
    deepEqual(indexes(plan).includes('ti_by_start'), true, kinds(plan));
    deepEqual(kinds(plan).includes('Sort'), false, kinds(plan));
  });
}

test('the control: an order that no index has is sorted, and seen', async () => {
  const order = [{ column: TASK_INSTANCE_ORDER.end_date!, descending: true }];
  const plan = await planOf((db) => listTaskInstances(db, { ...anything, dagIds: ['one'] }, { ...page, order }));
  match(kinds(plan), /Sort/);
});

for (const [what, column, descending, index] of [
  ['in order of their ids', 'id', false, 'dag_run_by_dag_id'],
  ['newest first', 'run_after', true, 'dag_run_by_dag'],
] as const) {
  test(`runs of a Dag ${what} come from an index`, async () => {
    const order = [
      { column: RUN_ORDER[column]!, descending },
      { column: RUN_ORDER.id!, descending },
    ];
    const plan = await planOf((db) => listRuns(db, { ...anything, dagIds: ['one'] }, { ...page, order }));
    deepEqual(indexes(plan).includes(index), true, kinds(plan));
  });
}
