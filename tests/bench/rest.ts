/**
 * `npm run bench -- --rest [--airflow] [--quick]`: how fast the REST API lists, triggers and reads logs, over 10,000 runs with
 * 100,000 task instances, and again with 1,000,000 task instances in the tables. The rows are copies of a real run, made in the
 * database of each system, since no scheduler would make them in reasonable time.
 */
import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Database, openDatabase, raw, sql } from '@airlock/store';
import { AIRFLOW_PASSWORD, startAirflow } from '../kit/airflow.ts';
import { databaseOf } from '../kit/inside.ts';
import { ADMIN_PASSWORD, startStandalone } from '../kit/standalone.ts';
import { createDriver } from './drive.ts';
import { type LoadResult, runLoad } from './load.ts';

type Side = {
  readonly name: 'Airlock' | 'Airflow';
  readonly url: string;
  readonly password: string;
  readonly db: Database;
};
export type Row = { readonly what: string; readonly size: string; readonly side: string } & Omit<
  LoadResult,
  'statuses'
>;

const RUNS = 10_000;
const RUNS_MORE = 90_000;
const CONNECTIONS = 4;
const POLL_MS = 50;

/** What is asked, and how; the log is that of the one real run. */
const REQUESTS = (runId: string) =>
  [
    ['Dag list', 'GET', '/api/v2/dags?limit=100'],
    ['run list, newest first', 'GET', '/api/v2/dags/ten/dagRuns?limit=100&order_by=-run_after'],
    ['run list', 'GET', '/api/v2/dags/ten/dagRuns?limit=100'],
    ['task-instance list', 'GET', '/api/v2/dags/ten/dagRuns/~/taskInstances?limit=100'],
    ['… last started first', 'GET', '/api/v2/dags/ten/dagRuns/~/taskInstances?limit=100&order_by=-start_date'],
    ['task instances of a run', 'GET', `/api/v2/dags/ten/dagRuns/${encodeURIComponent(runId)}/taskInstances?limit=100`],
    [
      'log read',
      'GET',
      `/api/v2/dags/ten/dagRuns/${encodeURIComponent(runId)}/taskInstances/t0/logs/1?full_content=true`,
    ],
    // Last: it makes runs.
    ['trigger', 'POST', '/api/v2/dags/ten/dagRuns'],
  ] as const;

/** Copies of rows of `table` with some columns otherwise; `n` counts them. */
async function copyRows(
  db: Database,
  options: { table: string; change: Readonly<Record<string, string>>; from: string; count: number },
): Promise<void> {
  const columns = await db.query<{ column_name: string }>(
    sql`SELECT column_name FROM information_schema.columns WHERE table_name = ${options.table} AND table_schema = current_schema()
      AND is_generated = 'NEVER' ORDER BY ordinal_position`,
  );
  const names = columns.map((column) => column.column_name);
  const values = names.map((name) => options.change[name] ?? `o."${name}"`);
  await db.transaction(async (tx) => {
    // What a copy refers to is what its model refers to: a million look-ups of it would find the same.
    await tx.query(raw(`SET LOCAL session_replication_role = replica`));
    await tx.query(
      raw(`INSERT INTO "${options.table}" (${names.map((name) => `"${name}"`).join(', ')}) OVERRIDING SYSTEM VALUE
      SELECT ${values.join(', ')} FROM ${options.from} CROSS JOIN generate_series(1, ${options.count}) n`),
    );
  });
}

/**
 * Runs `work` while `table` has no more indexes than its constraints need: making them afterwards takes a tenth of the time that
 * filling them row by row does, and what is measured later is the same.
 */
async function withoutIndexes(db: Database, table: string, work: () => Promise<void>): Promise<void> {
  const indexes = await db.query<{ indexname: string; indexdef: string }>(
    sql`SELECT i.indexname, i.indexdef FROM pg_indexes i WHERE i.schemaname = current_schema() AND i.tablename = ${table}
      AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexname::regclass)
      AND i.indexdef NOT LIKE 'CREATE UNIQUE%'`,
  );
  for (const { indexname } of indexes) await db.query(raw(`DROP INDEX "${indexname}"`));
  await work();
  for (const { indexdef } of indexes) await db.query(raw(indexdef));
}

/** `count` runs of a Dag, copies of its one run, a minute apart, with its task instances. */
async function fill(side: Side, dagId: string, count: number): Promise<void> {
  const { db } = side;
  const [base] = await db.query<{ id: number }>(sql`SELECT max(id)::int AS id FROM dag_run`);
  const first = base!.id;
  const minutes = `n * interval '1 minute'`;
  await copyRows(db, {
    table: 'dag_run',
    from: `(SELECT * FROM dag_run WHERE dag_id = '${dagId}' ORDER BY id LIMIT 1) o`,
    count,
    change: {
      id: `${first} + n`,
      run_id: `'filled_' || n`,
      run_after: `o.run_after - ${minutes}`,
      start_date: `o.start_date - ${minutes}`,
      end_date: `o.end_date - ${minutes}`,
    },
  });
  const run: Record<string, string> = side.name === 'Airlock' ? { dag_run_id: `${first} + n` } : {};
  const copyTasks = () =>
    copyRows(db, {
      table: 'task_instance',
      from: `(SELECT t.* FROM task_instance t JOIN dag_run r ON r.run_id = t.run_id AND r.dag_id = t.dag_id
      WHERE r.dag_id = '${dagId}' AND r.id <= ${first}) o`,
      count,
      change: {
        ...run,
        id: 'gen_random_uuid()',
        run_id: `'filled_' || n`,
        start_date: `o.start_date - ${minutes}`,
        end_date: `o.end_date - ${minutes}`,
      },
    });
  await withoutIndexes(db, 'task_instance', copyTasks);
  // The numbers were given by hand; what is triggered comes after them.
  await db.query(raw(`SELECT setval(pg_get_serial_sequence('dag_run', 'id'), (SELECT max(id) FROM dag_run))`));
  // As autovacuum leaves tables that have grown, within a minute or so.
  await db.query(raw('VACUUM ANALYZE'));
}

async function loginTo(side: Side): Promise<string> {
  const answer = await fetch(`${side.url}/auth/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username: 'admin', password: side.password }),
  });
  return ((await answer.json()) as { access_token: string }).access_token;
}

async function measureSide(side: Side, seconds: number, say: (text: string) => void): Promise<Row[]> {
  const driver = await createDriver(side.url, 'admin', side.password, POLL_MS);
  for (const dagId of ['ten', 'ten_more']) await driver.measure(dagId, 1);
  const headers = { authorization: `Bearer ${await loginTo(side)}`, 'content-type': 'application/json' };
  // Paused, so that what is triggered stays where it is, and costs no scheduler anything.
  await fetch(`${side.url}/api/v2/dags/ten?update_mask=is_paused`, {
    method: 'PATCH',
    headers,
    body: JSON.stringify({ is_paused: true }),
  });
  const [run] = await side.db.query<{ run_id: string }>(sql`SELECT run_id FROM dag_run WHERE dag_id = 'ten'`);
  const rows: Row[] = [];
  const measure = async (size: string) => {
    for (const [what, method, path] of REQUESTS(run!.run_id)) {
      say(`${side.name}, ${size}: ${what}`);
      const body = method === 'POST' ? JSON.stringify({ logical_date: null }) : null;
      const result = await runLoad({
        targets: [{ url: side.url + path, headers }],
        method,
        body,
        connections: CONNECTIONS,
        seconds,
      });
      const { statuses, ...figures } = result;
      const refused = Object.keys(statuses).filter((status) => !status.startsWith('2'));
      // Two triggers of one millisecond ask for the same run id, and one of them is refused.
      if (refused.some((status) => status !== '409'))
        throw new Error(`${side.name}: ${what} answered ${JSON.stringify(statuses)}`);
      if (refused.length > 0) say(`${what}: ${JSON.stringify(statuses)}`);
      rows.push({ what, size, side: side.name, ...figures });
      // Each as it comes: what was measured is not lost when the rest fails.
      say(`  p50 ${ms(figures.p50)} ms, p95 ${ms(figures.p95)} ms, ${ms(figures.perSecond)} /s`);
    }
    await side.db.query(raw(`DELETE FROM dag_run WHERE dag_id = 'ten' AND state = 'queued'`));
  };
  say(`${side.name}: filling the tables`);
  await fill(side, 'ten', RUNS);
  await measure('100,000');
  say(`${side.name}: filling the tables further`);
  await fill(side, 'ten_more', RUNS_MORE);
  await measure('1,000,000');
  return rows;
}

async function measureAirlock(seconds: number, say: (text: string) => void): Promise<Row[]> {
  // One user asks for everything, which his budget would end after some fifty pages of 100 rows in a second.
  const env = { AIRLOCK__API__CALLER_POINTS_PER_SECOND: '100000000' };
  const airlock = await startStandalone({ dagFiles: [join(import.meta.dirname, 'rest_dags.ts')], env });
  const db = databaseOf(airlock);
  try {
    return await measureSide({ name: 'Airlock', url: airlock.url, password: ADMIN_PASSWORD, db }, seconds, say);
  } finally {
    await db.close();
    await airlock.stop();
  }
}

async function measureAirflow(seconds: number, say: (text: string) => void): Promise<Row[]> {
  const dags = join(import.meta.dirname, 'rest_dags.py');
  await using airflow = await startAirflow((folder) => copyFileSync(dags, join(folder, 'rest_dags.py')), say);
  const db = openDatabase({
    url: airflow.databaseUrl,
    maxConnections: 1,
    applicationName: 'bench',
    onError: () => undefined,
  });
  try {
    return await measureSide({ name: 'Airflow', url: airflow.url, password: AIRFLOW_PASSWORD, db }, seconds, say);
  } finally {
    await db.close();
  }
}

const ms = (value: number) => value.toFixed(value < 10 ? 1 : 0);

/** Lines of the table: each request over both sizes, Airflow's figures beside ours where it was measured. */
export async function restLines(options: {
  readonly airflow: boolean;
  readonly quick: boolean;
  readonly say: (text: string) => void;
}): Promise<string[]> {
  const seconds = options.quick ? 2 : 6;
  const rows = await measureAirlock(seconds, options.say);
  const theirs = !options.airflow
    ? []
    : await measureAirflow(seconds, options.say).catch((error: unknown) => {
        // What was measured of Airlock is worth showing all the same.
        options.say(`Airflow could not be measured: ${(error as Error).message}`);
        process.exitCode = 1;
        return [];
      });
  return tableOf(rows, theirs);
}

export function tableOf(rows: readonly Row[], theirs: readonly Row[]): string[] {
  const find = (list: readonly Row[], what: string, size: string) =>
    list.find((row) => row.what === what && row.size === size);
  const figures = (row: Row | undefined) =>
    row === undefined ? '' : `${ms(row.p50).padStart(8)}${ms(row.p95).padStart(8)}${ms(row.perSecond).padStart(9)}`;
  const head = `${'p50 ms'.padStart(8)}${'p95 ms'.padStart(8)}${'per s'.padStart(9)}`;
  const lines = [
    `${'REST, 4 connections'.padEnd(26)}${'rows'.padStart(10)}${head}${theirs.length > 0 ? `   Airflow:${head}    ratio` : ''}   to 100,000`,
  ];
  for (const row of rows) {
    const other = find(theirs, row.what, row.size);
    const small = find(rows, row.what, '100,000')!;
    const growth = row.size === '100,000' ? '' : `${(row.p50 / small.p50).toFixed(2)} ×`;
    const beside =
      other === undefined
        ? ''
        : `${' '.repeat(11)}${figures(other)}${`${(row.perSecond / other.perSecond).toFixed(1)} ×`.padStart(9)}`;
    lines.push(`${row.what.padEnd(26)}${row.size.padStart(10)}${figures(row)}${beside}   ${growth}`);
  }
  return lines;
}
