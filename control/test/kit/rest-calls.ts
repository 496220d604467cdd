/** Airflow's own OpenAPI document, and for each of its operations a request that succeeds. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { sql } from '@airlock/store';
import type { RestKit } from '../rest-kit.ts';
import { dagDocument, ingest } from './dags.ts';
import type { Things } from './teams.ts';

export type Named = { readonly name: string; readonly in: string; readonly required?: boolean };
export type Schema = { readonly [key: string]: unknown };
type Content = { readonly 'application/json'?: { readonly schema: Schema } };
export type Operation = {
  readonly parameters?: readonly Named[];
  readonly requestBody?: { readonly required?: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content?: Content }>>;
};
type Document = {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
};

export const document = JSON.parse(
  gunzipSync(readFileSync(new URL('../data/rest-openapi/v2.json.gz', import.meta.url))).toString(),
) as Document;
export const operations: ReadonlyMap<string, Operation> = new Map(
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => {
      return [`${method.toUpperCase()} ${path.replace('/api/v2', '')}`, operation] as const;
    }),
  ),
);

export type Call = {
  readonly query?: string;
  readonly json?: unknown;
  readonly headers?: Record<string, string>;
  /** What has to be there first. */
  readonly prepare?: () => Promise<unknown>;
};
export const RUN = '/dags/{dag_id}/dagRuns/{dag_run_id}';
export const TI = `${RUN}/taskInstances`;
const AT = '2024-01-01T00:00:00Z';
const bulk = (entity: object) => ({ actions: [{ action: 'update', entities: [entity] }] });
const endedBy = (db: () => RestKit['database']['db']) => (t: Things) => () =>
  db().query(sql`UPDATE dag_run SET state = 'failed' WHERE dag_id = ${t.dag}`);
/** A Dag with a schedule, so that it has a past. */
const dailyBy = (db: () => RestKit['database']['db']) => (t: Things) => async () => {
  const timetable = {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 0 * * *', timezone: 'UTC', interval: 0, run_immediately: false },
  };
  const document = dagDocument(`${t.mark}daily`, [{ id: 'a' }], { timetable, start_date: 1704067200 });
  await ingest(db(), `${t.mark}daily.ts`, [document], AT);
};

/** What an operation is sent besides the ids in its path; none = nothing. */
export const callsBy = (db: () => RestKit['database']['db']): Readonly<Record<string, (t: Things) => Call>> => ({
  'POST /assets/events': (t) => ({ json: { asset_id: t.asset, extra: { a: 1 } } }),
  'GET /backfills': (t) => ({ query: `dag_id=${t.dag}` }),
  'POST /backfills': (t) => ({
    json: { dag_id: `${t.mark}daily`, from_date: AT, to_date: AT },
    prepare: dailyBy(db)(t),
  }),
  'POST /backfills/dry_run': (t) => ({
    json: { dag_id: `${t.mark}daily`, from_date: AT, to_date: AT },
    prepare: dailyBy(db)(t),
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
  [`DELETE ${RUN}`]: (t) => ({ prepare: endedBy(db)(t) }),
  [`PATCH ${RUN}`]: () => ({ json: { state: 'failed', note: 'n' } }),
  [`POST ${RUN}/clear`]: () => ({ json: { dry_run: false } }),
  [`GET ${RUN}/wait`]: (t) => ({ query: 'interval=1', prepare: endedBy(db)(t) }),
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
});

export function pathOf(name: string, t: Things): string {
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
