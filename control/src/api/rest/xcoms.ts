/** XComs. Values are JSON and stay JSON: nothing turns data into classes. @see rest-api 4.5, 5.11 */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';

import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { getRunRow } from '@airlock/store/queries/rest-run/list';
import { getXCom, listXComs, XCOM_ORDER, type XComRow } from '@airlock/store/queries/rest-xcom/read';
import { insertXCom, removeXCom, updateXCom, type XComPlace } from '@airlock/store/queries/rest-xcom/write';
import { exactMember } from '../http/exact-member.ts';
import { wireInstant } from '../http/instant.ts';
import { XCOM_BODY_LIMIT_BYTES } from '../http/server.ts';
import { parseBody, parseQuery } from '../http/validation.ts';
import { many, one, wire } from '../http/wire.ts';
import type { AuditTarget } from './audit.ts';
import { loadModelOf } from './dags.ts';
import { instantRange, optionalOne, pageOf, pageQuery, patterns, rangeOf, sortKeys } from './list-query.ts';
import { modelOf } from './models.ts';
import { pythonJson, pythonRepr } from './python-json.ts';
import type { RestContext, RestRoute } from './route.ts';
import { taskNotFound } from './task-answer.ts';
import { parsedText, xcomValue } from './xcom-value.ts';

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
      visible: context.visible,
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

function placeOf(context: RestContext, key: string, mapIndex: number): XComPlace {
  return {
    dagId: context.param('dag_id'),
    runId: context.param('dag_run_id'),
    taskId: context.param('task_id'),
    mapIndex,
    key,
  };
}

async function get(context: RestContext): Promise<unknown> {
  const query = parseQuery(getQuery, context.request);
  const key = context.param('*');
  const row = await getXCom(context.deps.db, placeOf(context, key, query.map_index));
  if (!row) throw new AppError('NOT_FOUND', { public: `XCom entry with key: \`${key}\` not found` });
  const stored = row.value ?? 'null';
  let value: unknown = parseExact(stored);
  if (query.deserialize) {
    const own: unknown = JSON.parse(stored);
    value = describe(typeof own === 'string' ? parsedText(own) : value);
  }
  if (query.stringify && value !== null) {
    const exact = query.deserialize ? value : parseExact(stored);
    value = exact === null ? null : typeof exact === 'string' ? exact : pythonRepr(exact);
  }
  return { ...answer(row), value };
}

const mapIndex = wire.int({ ge: -1 }).default(-1);
const createBody = z.strictObject({ key: wire.text({ min: 1, max: 512 }), value: xcomValue, map_index: mapIndex });
const updateBody = z.strictObject({ value: xcomValue, map_index: mapIndex });

/** The value that was stored, as an answer. */
async function stored(tx: Db, place: XComPlace): Promise<Record<string, unknown>> {
  const row = (await getXCom(tx, place))!;
  return { ...answer(row), value: parseExact(row.value ?? 'null') };
}

function absent(key: string): AppError {
  return new AppError('NOT_FOUND', {
    public: `The XCom with key: \`${key}\` with mentioned task instance doesn't exist.`,
  });
}

/** What the body calls its value, as JSON text with the digits that were sent. */
function valueJson(context: RestContext, value: unknown): string {
  return pythonJson(exactMember(context.request.bodyText, 'value', value));
}

async function create(context: RestContext): Promise<unknown> {
  const body = parseBody(createBody, context.request);
  const place = placeOf(context, body.key, body.map_index);
  const { db } = context.deps;
  const run = await getRunRow(db, place.dagId, place.runId);
  const model = run ? await modelOf(db, run.version_ids.at(-1) ?? null) : await loadModelOf(context, place.dagId);
  if (!model?.tasks.has(place.taskId)) {
    throw new AppError('NOT_FOUND', {
      public: `Task with ID: \`${place.taskId}\` not found in dag: \`${place.dagId}\``,
    });
  }
  if (!run) {
    throw new AppError('NOT_FOUND', {
      public: `Dag Run with ID: \`${place.runId}\` not found for dag: \`${place.dagId}\``,
    });
  }
  return context.mutate('create_xcom_entry', targetOf(place), async (tx) => {
    if (await getXCom(tx, place)) {
      throw new AppError('CONFLICT', {
        public: `The XCom with key: \`${place.key}\` with mentioned task instance already exists.`,
      });
    }
    if (!(await insertXCom(tx, place, valueJson(context, body.value), context.nowIso))) {
      throw taskNotFound(place, place.mapIndex === -1 ? undefined : place.mapIndex);
    }
    return stored(tx, place);
  });
}

async function update(context: RestContext): Promise<unknown> {
  const body = parseBody(updateBody, context.request);
  const place = placeOf(context, context.param('*'), body.map_index);
  return context.mutate('update_xcom_entry', targetOf(place), async (tx) => {
    if (!(await updateXCom(tx, place, valueJson(context, body.value), context.nowIso))) throw absent(place.key);
    return stored(tx, place);
  });
}

const removeQuery = z.object({ map_index: one(wire.int({ ge: -1 })).default(-1) });

async function remove(context: RestContext): Promise<void> {
  const query = parseQuery(removeQuery, context.request);
  const place = placeOf(context, context.param('*'), query.map_index);
  await context.mutate('delete_xcom_entry', targetOf(place), async (tx) => {
    if (!(await removeXCom(tx, place))) throw absent(place.key);
  });
}

function targetOf({ dagId, runId, taskId, mapIndex: index }: XComPlace): AuditTarget {
  return { dagId, runId, taskId, mapIndex: index };
}

// A value may be anything that a task computes, a secret too: the audit log keeps what was changed, not into what.
const write = { audit: { hide: ['value'] }, bodyLimit: XCOM_BODY_LIMIT_BYTES };
const X = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances/:task_id/xcomEntries';
export const xcomRoutes: RestRoute[] = [
  { method: 'GET', path: X, handle: list, query: listQuery },
  { method: 'POST', path: X, handle: create, body: createBody, status: 201, event: 'create_xcom_entry', ...write },
  { method: 'GET', path: `${X}/*`, handle: get, query: getQuery },
  { method: 'PATCH', path: `${X}/*`, handle: update, body: updateBody, event: 'update_xcom_entry', ...write },
  { method: 'DELETE', path: `${X}/*`, handle: remove, query: removeQuery, status: 204, event: 'delete_xcom_entry' },
];
