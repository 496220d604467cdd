/** Task instances: lists, single ones, tries. @see rest-api 4.4 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { TASK_INSTANCE_STATES } from '@airlock/contract/states';
import { dagExists } from '@airlock/store/queries/rest-dag/list';
import {
  getTaskInstanceRow,
  listTaskInstances,
  listTaskInstancesByCursor,
  mapIndexesOf,
  TASK_INSTANCE_ORDER,
  type TaskInstanceFilters,
  type TaskInstanceKey,
} from '@airlock/store/queries/rest-task/list';
import { listTries } from '@airlock/store/queries/rest-task/tries';
import { check, parseBody, parseQuery } from '../http/validation.ts';
import { many, one, wire } from '../http/wire.ts';
import { CURSOR_COUNT_LIMIT, cursorMembers, decodeCursor, offsetMembers } from './cursor.ts';
import { dagNotFound } from './dags.ts';
import {
  instantRange,
  numberRange,
  optionalOne,
  pageOf,
  pageQuery,
  patterns,
  rangeOf,
  sortKeys,
} from './list-query.ts';
import { modelOf } from './models.ts';
import type { RestContext, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';
import { bodyRange } from './runs.ts';
import { checkTaskStates } from './state-words.ts';
import { taskAnswers, taskNotFound, tryAnswers } from './task-answer.ts';

const ranges = {
  ...instantRange('run_after'),
  ...instantRange('logical_date'),
  ...instantRange('start_date'),
  ...instantRange('end_date'),
  ...instantRange('updated_at'),
  ...numberRange('duration'),
};
const mappedQuery = z.object({
  ...pageQuery,
  ...ranges,
  state: many(wire.text()),
  pool: many(wire.text()),
  ...patterns('pool_name'),
  queue: many(wire.text()),
  ...patterns('queue_name'),
  executor: many(wire.text()),
  version_number: many(wire.int()),
  try_number: many(wire.int()),
  operator: many(wire.text()),
  ...patterns('operator_name'),
  map_index: many(wire.int()),
  ...patterns('rendered_map_index'),
});
const listQuery = mappedQuery.extend({
  cursor: optionalOne(wire.text()),
  task_id: optionalOne(wire.text()),
  task_group_id: optionalOne(wire.text()),
  ...patterns('task_display_name'),
  ...patterns('dag_id'),
  ...patterns('run_id'),
});

function filtersOf(
  query: z.output<typeof mappedQuery>,
  where: Pick<TaskInstanceFilters, 'visible' | 'dagIds' | 'runIds'>,
  nowIso: string,
): TaskInstanceFilters {
  return {
    ...where,
    states: checkTaskStates(query.state),
    pools: query.pool,
    poolPattern: query.pool_name_pattern,
    poolPrefix: query.pool_name_prefix_pattern,
    queues: query.queue,
    queuePattern: query.queue_name_pattern,
    queuePrefix: query.queue_name_prefix_pattern,
    executors: query.executor,
    versionNumbers: query.version_number,
    tryNumbers: query.try_number,
    operators: query.operator,
    operatorPattern: query.operator_name_pattern,
    operatorPrefix: query.operator_name_prefix_pattern,
    mapIndexes: query.map_index,
    renderedPattern: query.rendered_map_index_pattern,
    renderedPrefix: query.rendered_map_index_prefix_pattern,
    runAfter: rangeOf(query, 'run_after'),
    logicalDate: rangeOf(query, 'logical_date'),
    startDate: rangeOf(query, 'start_date'),
    endDate: rangeOf(query, 'end_date'),
    updatedAt: rangeOf(query, 'updated_at'),
    duration: rangeOf(query, 'duration'),
    openRanges: true,
    nowIso,
  };
}

/** Checks what the path names, and gives it as filters; `~` is any. */
async function scope(context: RestContext): Promise<{ dagIds: string[] | null; runIds: string[] | null }> {
  const dagId = context.param('dag_id');
  const runId = context.param('dag_run_id');
  const { db } = context.deps;
  if (dagId === '~' && runId !== '~') {
    throw new AppError('BAD_REQUEST', { public: 'dag_id is required when dag_run_id is specified' });
  }
  if (runId !== '~') await loadRun(db, dagId, runId);
  else if (dagId !== '~' && !(await dagExists(db, dagId))) throw dagNotFound(dagId);
  return { dagIds: dagId === '~' ? null : [dagId], runIds: runId === '~' ? null : [runId] };
}

async function page(
  context: RestContext,
  query: z.output<typeof mappedQuery> & { readonly cursor?: string },
  filters: TaskInstanceFilters,
): Promise<unknown> {
  const { db } = context.deps;
  const order = sortKeys(query.order_by, TASK_INSTANCE_ORDER, TASK_INSTANCE_ORDER.id!, ['map_index']);
  const { limit, offset } = pageOf(context, query);
  if (query.cursor !== undefined) {
    const from = decodeCursor(query.cursor, order);
    const found = await listTaskInstancesByCursor(db, filters, { order, limit, from, most: CURSOR_COUNT_LIMIT });
    return { task_instances: await taskAnswers(db, found.rows), ...cursorMembers(found, from) };
  }
  const { rows, total } = await listTaskInstances(db, filters, { order, limit, offset });
  return { task_instances: await taskAnswers(db, rows), ...offsetMembers(total) };
}

async function list(context: RestContext): Promise<unknown> {
  const query = parseQuery(listQuery, context.request);
  const filters: TaskInstanceFilters = {
    ...filtersOf(query, { visible: context.visible, dagIds: null, runIds: null }, context.nowIso),
    taskIds: query.task_id === undefined ? [] : [query.task_id],
    taskGroup: query.task_group_id,
    displayNamePattern: query.task_display_name_pattern,
    displayNamePrefix: query.task_display_name_prefix_pattern,
    dagIdPattern: query.dag_id_pattern,
    dagIdPrefix: query.dag_id_prefix_pattern,
    runIdPattern: query.run_id_pattern,
    runIdPrefix: query.run_id_prefix_pattern,
  };
  return page(context, query, { ...filters, ...(await scope(context)) });
}

const words = () => z.array(wire.text()).max(1000).nullish();
const batchBody = z.strictObject({
  dag_ids: words(),
  dag_run_ids: words(),
  task_ids: words(),
  state: z.array(wire.word(TASK_INSTANCE_STATES).nullable()).max(100).nullish(),
  ...bodyRange('run_after', 'instant'),
  ...bodyRange('logical_date', 'instant'),
  ...bodyRange('start_date', 'instant'),
  ...bodyRange('end_date', 'instant'),
  ...bodyRange('duration', 'number'),
  pool: words(),
  queue: words(),
  executor: words(),
  page_offset: wire.int({ ge: 0 }).default(0),
  page_limit: wire.int({ ge: 0 }).default(100),
  order_by: wire.text().nullish(),
});

async function batch(context: RestContext): Promise<unknown> {
  check(wire.word(['~']), context.param('dag_id'), ['path', 'dag_id']);
  check(wire.word(['~']), context.param('dag_run_id'), ['path', 'dag_run_id']);
  const body = parseBody(batchBody, context.request);
  const { db, config } = context.deps;
  const filters: TaskInstanceFilters = {
    visible: context.visible,
    dagIds: body.dag_ids ?? null,
    runIds: body.dag_run_ids ?? null,
    taskIds: body.task_ids ?? [],
    states: body.state ?? [],
    pools: body.pool ?? [],
    queues: body.queue ?? [],
    executors: body.executor ?? [],
    runAfter: rangeOf(body, 'run_after'),
    logicalDate: rangeOf(body, 'logical_date'),
    startDate: rangeOf(body, 'start_date'),
    endDate: rangeOf(body, 'end_date'),
    duration: rangeOf(body, 'duration'),
    openRanges: false,
    nowIso: context.nowIso,
  };
  const { id, state, duration, start_date, end_date, map_index } = TASK_INSTANCE_ORDER;
  const offered = {
    id: id!,
    state: state!,
    duration: duration!,
    start_date: start_date!,
    end_date: end_date!,
    map_index: map_index!,
  };
  const order = sortKeys(body.order_by ? [body.order_by] : [], offered, id!, ['id']);
  const limit = Math.min(body.page_limit, Math.max(100, config.api.maximum_page_limit));
  const { rows, total } = await listTaskInstances(db, filters, { order, limit, offset: body.page_offset });
  return { task_instances: await taskAnswers(db, rows), ...offsetMembers(total) };
}

/** The key that the path names; `map_index` from the path, or what is given. */
export function keyOf(context: RestContext, mapIndex: number): TaskInstanceKey {
  return {
    dagId: context.param('dag_id'),
    runId: context.param('dag_run_id'),
    taskId: context.param('task_id'),
    mapIndex,
  };
}

export function pathMapIndex(context: RestContext): number {
  return check(wire.int({ ge: -1 }), context.param('map_index'), ['path', 'map_index']);
}

async function get(context: RestContext): Promise<unknown> {
  const { db } = context.deps;
  const key = keyOf(context, -1);
  const row = await getTaskInstanceRow(db, key);
  if (row) return (await taskAnswers(db, [row]))[0];
  if ((await mapIndexesOf(db, key.dagId, key.runId, key.taskId)).length > 0) {
    throw new AppError('NOT_FOUND', { public: 'Task instance is mapped, add the map_index value to the URL' });
  }
  throw taskNotFound(key);
}

async function getMapped(context: RestContext): Promise<unknown> {
  const { db } = context.deps;
  const key = keyOf(context, pathMapIndex(context));
  const row = await getTaskInstanceRow(db, key);
  if (!row) throw taskNotFound(key, key.mapIndex);
  return (await taskAnswers(db, [row]))[0];
}

async function listMapped(context: RestContext): Promise<unknown> {
  const query = parseQuery(mappedQuery, context.request);
  const { db } = context.deps;
  const { dagId, runId, taskId } = keyOf(context, -1);
  const run = await loadRun(db, dagId, runId);
  const indexes = await mapIndexesOf(db, dagId, runId, taskId);
  if (!indexes.some((index) => index >= 0)) {
    const task = (await modelOf(db, run.version_ids.at(-1) ?? null))?.tasks.get(taskId);
    if (!task && indexes.length === 0) throw new AppError('NOT_FOUND', { public: `Task id ${taskId} not found` });
    if (!task || (task.expansion === null && task.mappedGroup === null)) {
      throw new AppError('NOT_FOUND', { public: `Task id ${taskId} is not mapped` });
    }
  }
  const filters = filtersOf(query, { visible: context.visible, dagIds: [dagId], runIds: [runId] }, context.nowIso);
  return page(context, query, { ...filters, taskIds: [taskId], onlyMapped: true });
}

const mapIndexQuery = z.object({ map_index: one(wire.int()).default(-1) });

/** All tries of the task instance that the path names. @throws NOT_FOUND */
export async function triesOf(
  context: RestContext,
  mapIndex: number,
): Promise<{ key: TaskInstanceKey; tries: Array<Record<string, unknown>> }> {
  const key = keyOf(context, mapIndex);
  const rows = await listTries(context.deps.db, key);
  if (rows.length === 0 && !(await getTaskInstanceRow(context.deps.db, key))) {
    throw taskNotFound(key, mapIndex === -1 ? undefined : mapIndex);
  }
  return { key, tries: await tryAnswers(context.deps.db, rows) };
}

async function tries(context: RestContext, mapIndex: number): Promise<unknown> {
  const found = await triesOf(context, mapIndex);
  return { task_instances: found.tries, total_entries: found.tries.length };
}

async function oneTry(context: RestContext, mapIndex: number): Promise<unknown> {
  const number = check(wire.int(), context.param('task_try_number'), ['path', 'task_try_number']);
  const { key, tries: all } = await triesOf(context, mapIndex);
  // A try that was requeued or cleared appears more than once under its number: the newest counts.
  const found = all.findLast((each) => each.try_number === number);
  if (!found) {
    const { dagId, runId, taskId } = key;
    throw new AppError('NOT_FOUND', {
      public: `The Task Instance with dag_id: \`${dagId}\`, run_id: \`${runId}\`, task_id: \`${taskId}\`, try_number: \`${number}\` and map_index: \`${mapIndex}\` was not found`,
    });
  }
  return found;
}

const byQuery = (handle: (context: RestContext, mapIndex: number) => Promise<unknown>) => (context: RestContext) =>
  handle(context, parseQuery(mapIndexQuery, context.request).map_index);
const byPath = (handle: (context: RestContext, mapIndex: number) => Promise<unknown>) => (context: RestContext) =>
  handle(context, pathMapIndex(context));

const TI = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances';
export const taskRoutes: RestRoute[] = [
  { method: 'GET', path: TI, handle: list, query: listQuery },
  { method: 'POST', path: `${TI}/list`, handle: batch, body: batchBody },
  { method: 'GET', path: `${TI}/:task_id`, handle: get },
  { method: 'GET', path: `${TI}/:task_id/:map_index`, handle: getMapped },
  { method: 'GET', path: `${TI}/:task_id/listMapped`, handle: listMapped, query: mappedQuery },
  { method: 'GET', path: `${TI}/:task_id/tries`, handle: byQuery(tries), query: mapIndexQuery },
  { method: 'GET', path: `${TI}/:task_id/:map_index/tries`, handle: byPath(tries) },
  { method: 'GET', path: `${TI}/:task_id/tries/:task_try_number`, handle: byQuery(oneTry), query: mapIndexQuery },
  { method: 'GET', path: `${TI}/:task_id/:map_index/tries/:task_try_number`, handle: byPath(oneTry) },
];
