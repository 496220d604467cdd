/** XComs, read only here. Values are JSON and stay JSON: nothing turns data into classes. @see rest-api 4.5, 5.11 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { getXCom, listXComs, XCOM_ORDER, type XComRow } from '@airlock/store/queries/rest-xcom/read';
import { wireInstant } from '../http/instant.ts';
import { parseQuery } from '../http/validation.ts';
import { many, one, wire } from '../http/wire.ts';
import { instantRange, optionalOne, pageOf, pageQuery, patterns, rangeOf, sortKeys } from './list-query.ts';
import { parseKeepingNumbers, pythonRepr } from './python-json.ts';
import type { RestContext, RestRoute } from './route.ts';
import { rawJson } from './run-answer.ts';

function answer(row: XComRow): Record<string, unknown> {
  return {
    key: row.key,
    timestamp: wireInstant(row.at),
    logical_date: wireInstant(row.logical_date),
    map_index: row.map_index,
    task_id: row.task_id,
    dag_id: row.dag_id,
    run_id: row.run_id,
    dag_display_name: row.dag_display_name,
    task_display_name: row.task_display_name,
    run_after: wireInstant(row.run_after),
  };
}

const listQuery = z.object({
  ...pageQuery,
  xcom_key: optionalOne(wire.text()),
  map_index: optionalOne(wire.int({ ge: -1 })),
  map_index_filter: many(wire.int()),
  ...patterns('xcom_key'),
  ...patterns('dag_display_name'),
  ...patterns('run_id'),
  ...patterns('task_id'),
  ...instantRange('logical_date'),
  ...instantRange('run_after'),
});

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const named = (name: string) => (context.param(name) === '~' ? null : context.param(name));
  const { rows, total } = await listXComs(
    context.deps.db,
    {
      dagId: named('dag_id'),
      runId: named('dag_run_id'),
      taskId: named('task_id'),
      key: query.xcom_key,
      mapIndexes: query.map_index === undefined ? query.map_index_filter : [query.map_index],
      keyPattern: query.xcom_key_pattern,
      keyPrefix: query.xcom_key_prefix_pattern,
      dagNamePattern: query.dag_display_name_pattern,
      dagNamePrefix: query.dag_display_name_prefix_pattern,
      runIdPattern: query.run_id_pattern,
      runIdPrefix: query.run_id_prefix_pattern,
      taskIdPattern: query.task_id_pattern,
      taskIdPrefix: query.task_id_prefix_pattern,
      logicalDate: rangeOf(query, 'logical_date'),
      runAfter: rangeOf(query, 'run_after'),
    },
    {
      order: sortKeys(query.order_by, XCOM_ORDER, XCOM_ORDER.key!, ['dag_id', 'task_id', 'run_id', 'map_index']),
      ...pageOf(context, query),
    },
  );
  return { xcom_entries: rows.map(answer), total_entries: total };
}

const getQuery = z.object({
  map_index: one(wire.int({ ge: -1 })).default(-1),
  deserialize: one(wire.bool()).default(false),
  stringify: one(wire.bool()).default(false),
});

/** A serialized class as people read it: its name, version and fields, or the items of a tuple. Never made into anything. */
function describe(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const { __classname__: name, __version__: version, __data__: data } = value as Record<string, unknown>;
  if (typeof name !== 'string') return value;
  if (/^builtins\.(?:tuple|set|frozenset)$/.test(name) && Array.isArray(data)) {
    return `(${data.map((item) => (typeof item === 'string' ? item : pythonRepr(item))).join(',')})`;
  }
  const fields = typeof data === 'object' && data !== null ? Object.entries(data) : [];
  const shown = fields.map(([key, item]) => `${key}=${pythonRepr(item)}`).join(', ');
  return `${name}@version=${String(version ?? 0)}(${shown})`;
}

async function get(context: RestContext): Promise<unknown> {
  const query = parseQuery(getQuery, context.request);
  const key = context.param('*');
  const row = await getXCom(context.deps.db, {
    dagId: context.param('dag_id'),
    runId: context.param('dag_run_id'),
    taskId: context.param('task_id'),
    mapIndex: query.map_index,
    key,
  });
  if (!row) throw new AppError('NOT_FOUND', { public: `XCom entry with key: \`${key}\` not found` });
  const stored = row.value ?? 'null';
  let value: unknown = rawJson(stored);
  if (query.deserialize) {
    if (typeof JSON.parse(stored) === 'string') {
      try {
        value = JSON.parse(JSON.parse(stored) as string);
      } catch {
        value = JSON.parse(stored);
      }
    }
    value = describe(value);
  }
  if (query.stringify && value !== null) {
    const exact = query.deserialize ? value : parseKeepingNumbers(stored);
    value = exact === null ? null : typeof exact === 'string' ? exact : pythonRepr(exact);
  }
  return { ...answer(row), value };
}

const X = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances/:task_id/xcomEntries';
export const xcomRoutes: RestRoute[] = [
  { method: 'GET', path: X, handle: list },
  { method: 'GET', path: `${X}/*`, handle: get },
];
