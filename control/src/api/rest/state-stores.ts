/** What task instances and assets keep between tries, as people see and change it. @see rest-api 4.5 */
import { AppError } from '@airlock/contract/errors';
import { parseExact } from '@airlock/contract/exact-json';

import { z } from '@airlock/contract/schema';
import { getAsset } from '@airlock/store/queries/rest-asset/list';
import {
  type AssetStateRow,
  getAssetState,
  listAssetState,
  putAssetState,
  removeAssetState,
} from '@airlock/store/queries/rest-state/asset';
import {
  getTaskState,
  listTaskState,
  lockTaskPlace,
  putTaskState,
  removeTaskState,
  type TaskPlace,
  type TaskStateRow,
} from '@airlock/store/queries/rest-state/task';
import { MAX_ASSET_STATE_KEYS } from '@airlock/store/queries/state-store/asset';
import { MAX_TASK_STATE_KEYS } from '@airlock/store/queries/state-store/task';
import { instantIso } from '../../domain/instants.ts';
import { exactMember } from '../http/exact-member.ts';
import { wireInstant } from '../http/instant.ts';
import { check, parseBody, parseQuery, wireIssue } from '../http/validation.ts';
import { one, wire } from '../http/wire.ts';
import { pathAssetId } from './assets.ts';
import { optionalOne, pageOf, pageQuery } from './list-query.ts';
import { pythonJson, pythonRepr } from './python-json.ts';
import type { RestContext, RestRoute } from './route.ts';

const DAY_MS = 86_400_000;

const value = wire.json().transform((given, ctx) => {
  if (given !== null) return given;
  return wireIssue(ctx, { type: 'value_error', msg: 'Value error, value cannot be null', ctx: { error: {} } });
});
const pageOnly = { limit: pageQuery.limit, offset: pageQuery.offset };

/** The key in the path. */
function pathKey(context: RestContext): string {
  return check(wire.text({ min: 1, max: 512 }), context.param('*'), ['path', 'key']);
}

/** The body's value as JSON text with the digits that were sent. @throws VALIDATION it is larger than a value may be */
function valueText(context: RestContext, parsed: unknown): string {
  const text = pythonJson(exactMember(context.request.bodyText, 'value', parsed));
  const limit = context.deps.config.state_store.max_value_storage_bytes;
  if (limit === 0 || Buffer.byteLength(text) <= limit) return text;
  const error = `value exceeds max_value_storage_bytes (${limit}); raise [state_store] max_value_storage_bytes or set it to 0 to disable the limit`;
  throw new AppError('VALIDATION', {
    public: error,
    detail: [
      { type: 'value_error', loc: ['body', 'value'], msg: `Value error, ${error}`, input: null, ctx: { error: {} } },
    ],
  });
}

function tooMany(whose: string, most: number): AppError {
  return new AppError('BAD_REQUEST', {
    public: `${whose} has ${most} keys, as many as it may have; delete some first`,
  });
}

const indexQuery = z.object({ map_index: one(wire.int({ ge: -1 })).default(-1) });

function placeOf<I extends number | null>(context: RestContext, mapIndex: I): TaskPlace & { readonly mapIndex: I } {
  return {
    dagId: context.param('dag_id'),
    runId: context.param('dag_run_id'),
    taskId: context.param('task_id'),
    mapIndex,
  };
}

/** The task instance that path and query name. */
function indexed(context: RestContext): TaskPlace & { readonly mapIndex: number } {
  return placeOf(context, parseQuery(indexQuery, context.request).map_index);
}

function noTask({ dagId, runId, taskId, mapIndex }: TaskPlace): AppError {
  const which = mapIndex === null ? 'all_map_indices=True' : `map_index=${mapIndex}`;
  const named = `dag_id=${pythonRepr(dagId)}, run_id=${pythonRepr(runId)}, task_id=${pythonRepr(taskId)}`;
  return new AppError('NOT_FOUND', { public: `Task instance not found for ${named}, ${which}` });
}

function noTaskKey(key: string): AppError {
  return new AppError('NOT_FOUND', { public: `Task state store key ${pythonRepr(key)} not found` });
}

function taskAnswer(row: TaskStateRow): Record<string, unknown> {
  return {
    key: row.key,
    value: parseExact(row.text),
    updated_at: wireInstant(row.updated_at),
    expires_at: wireInstant(row.expires_at),
  };
}

const taskPageQuery = indexQuery.extend(pageOnly);

async function listTask(context: RestContext): Promise<unknown> {
  const query = parseQuery(taskPageQuery, context.request);
  const page = { nowIso: context.nowIso, ...pageOf(context, query) };
  const { rows, total } = await listTaskState(context.deps.db, placeOf(context, query.map_index), page);
  return { task_state_store: rows.map(taskAnswer), total_entries: total };
}

async function getTask(context: RestContext): Promise<unknown> {
  const key = pathKey(context);
  const row = await getTaskState(context.deps.db, indexed(context), key, context.nowIso);
  if (!row) throw noTaskKey(key);
  return taskAnswer(row);
}

const putBody = z.strictObject({
  value,
  expires_at: z.union([wire.word(['default']), wire.instant().nullable()]).default('default'),
});

function expiryOf(context: RestContext, asked: string | null): string | null {
  if (asked !== 'default') return asked;
  const days = context.deps.config.state_store.default_retention_days;
  return days === 0 ? null : instantIso(Date.parse(context.nowIso) + days * DAY_MS);
}

async function putTask(context: RestContext): Promise<void> {
  const key = pathKey(context);
  const place = indexed(context);
  const body = parseBody(putBody, context.request);
  const entry = { key, text: valueText(context, body.value), expiresAt: expiryOf(context, body.expires_at) };
  await context.mutate('set_task_state_store', place, async (tx) => {
    if (!(await lockTaskPlace(tx, place))) throw noTask(place);
    const stored = await putTaskState(tx, place, { ...entry, nowIso: context.nowIso });
    if (!stored) throw tooMany('This task instance', MAX_TASK_STATE_KEYS);
  });
}

const valueBody = z.strictObject({ value });

/** The value alone: what it was to expire at stays. */
async function patchTask(context: RestContext): Promise<null> {
  const key = pathKey(context);
  const place = indexed(context);
  const text = valueText(context, parseBody(valueBody, context.request).value);
  await context.mutate('patch_task_state_store', place, async (tx) => {
    if (!(await lockTaskPlace(tx, place))) throw noTask(place);
    const row = await getTaskState(tx, place, key, context.nowIso);
    if (!row) throw noTaskKey(key);
    await putTaskState(tx, place, { key, text, expiresAt: row.expires_at, nowIso: context.nowIso });
  });
  return null;
}

async function deleteTask(context: RestContext): Promise<void> {
  const key = pathKey(context);
  const place = indexed(context);
  await context.mutate('delete_task_state_store', place, async (tx) => {
    if (!(await lockTaskPlace(tx, place))) throw noTask(place);
    await removeTaskState(tx, place, key);
  });
}

const clearQuery = indexQuery.extend({ all_map_indices: optionalOne(wire.bool()) });

async function clearTask(context: RestContext): Promise<void> {
  const query = parseQuery(clearQuery, context.request);
  const place = placeOf(context, query.all_map_indices ? null : query.map_index);
  await context.mutate('clear_task_state_store', place, async (tx) => {
    if (!(await lockTaskPlace(tx, place))) throw noTask(place);
    await removeTaskState(tx, place, null);
  });
}

function assetAnswer(row: AssetStateRow): Record<string, unknown> {
  const byTask = row.writer_dag_id !== null;
  return {
    key: row.key,
    value: parseExact(row.text),
    updated_at: wireInstant(row.updated_at),
    last_updated_by: {
      kind: byTask ? 'task' : row.by_watcher ? 'watcher' : 'api',
      dag_id: row.writer_dag_id,
      run_id: row.writer_run_id,
      task_id: row.writer_task_id,
      map_index: row.writer_map_index,
    },
  };
}

/** The asset in the path. @throws NOT_FOUND */
async function assetIdOf(context: RestContext): Promise<number> {
  const id = pathAssetId(context);
  if (await getAsset(context.deps.db, context.visible, id)) return id;
  throw new AppError('NOT_FOUND', { public: `Asset with id ${id} not found` });
}

const assetPageQuery = z.object(pageOnly);

async function listAsset(context: RestContext): Promise<unknown> {
  const query = parseQuery(assetPageQuery, context.request);
  const { rows, total } = await listAssetState(context.deps.db, await assetIdOf(context), pageOf(context, query));
  return { asset_state_store: rows.map(assetAnswer), total_entries: total };
}

async function getOfAsset(context: RestContext): Promise<unknown> {
  const key = pathKey(context);
  const row = await getAssetState(context.deps.db, await assetIdOf(context), key);
  if (!row) throw new AppError('NOT_FOUND', { public: `Asset state store key ${pythonRepr(key)} not found` });
  return assetAnswer(row);
}

async function putAsset(context: RestContext): Promise<void> {
  const key = pathKey(context);
  const text = valueText(context, parseBody(valueBody, context.request).value);
  const id = await assetIdOf(context);
  await context.mutate('set_asset_state_store', {}, async (tx) => {
    const stored = await putAssetState(tx, id, { key, text, nowIso: context.nowIso });
    if (!stored) throw tooMany('This asset', MAX_ASSET_STATE_KEYS);
  });
}

const removeAsset = (event: string, keyOf: (context: RestContext) => string | null) => async (context: RestContext) => {
  const key = keyOf(context);
  const id = await assetIdOf(context);
  await context.mutate(event, {}, (tx) => removeAssetState(tx, id, key));
};

// Values are what tasks work with, secrets too: the audit log keeps which key was written, not what.
const audit = { hide: ['value'] };
const S = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances/:task_id/state-store';
const A = '/assets/:asset_id/state-store';
export const stateStoreRoutes: RestRoute[] = [
  { method: 'GET', path: S, handle: listTask, query: taskPageQuery },
  { method: 'DELETE', path: S, handle: clearTask, query: clearQuery, status: 204, event: 'clear_task_state_store' },
  { method: 'GET', path: `${S}/*`, handle: getTask, query: indexQuery },
  {
    method: 'PUT',
    path: `${S}/*`,
    handle: putTask,
    query: indexQuery,
    body: putBody,
    status: 204,
    event: 'set_task_state_store',
    audit,
  },
  {
    method: 'PATCH',
    path: `${S}/*`,
    handle: patchTask,
    query: indexQuery,
    body: valueBody,
    event: 'patch_task_state_store',
    audit,
  },
  {
    method: 'DELETE',
    path: `${S}/*`,
    handle: deleteTask,
    query: indexQuery,
    status: 204,
    event: 'delete_task_state_store',
  },
  { method: 'GET', path: A, handle: listAsset, query: assetPageQuery },
  {
    method: 'DELETE',
    path: A,
    handle: removeAsset('clear_asset_state_store', () => null),
    status: 204,
    event: 'clear_asset_state_store',
  },
  { method: 'GET', path: `${A}/*`, handle: getOfAsset },
  {
    method: 'PUT',
    path: `${A}/*`,
    handle: putAsset,
    body: valueBody,
    status: 204,
    event: 'set_asset_state_store',
    audit,
  },
  {
    method: 'DELETE',
    path: `${A}/*`,
    handle: removeAsset('delete_asset_state_store', pathKey),
    status: 204,
    event: 'delete_asset_state_store',
  },
];
