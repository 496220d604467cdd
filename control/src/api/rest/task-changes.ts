/** Task instances: set a state or a note, delete. @see rest-api 5.4 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { type Db, notify } from '@airlock/store';
import { lockRun } from '@airlock/store/queries/dag-run/lock';
import {
  getTaskInstanceRow,
  getTaskInstancesById,
  mapIndexesOf,
  type TaskInstanceKey,
  type TaskInstanceRow,
} from '@airlock/store/queries/rest-task/list';
import { removeTaskInstance } from '@airlock/store/queries/rest-task/remove';
import { parseBody, parseQuery } from '../http/validation.ts';
import { one, wire } from '../http/wire.ts';
import { loadModelOf } from './dags.ts';
import { fieldsToUpdate, maskQuery } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { indexedNotFound, listedNotFound, taskAnswers } from './task-answer.ts';
import { type PatchBody, patchBody, setStates, writeNote } from './task-state.ts';
import { keyOf, pathMapIndex } from './tasks.ts';

const patchQuery = maskQuery.extend({ map_index: one(wire.int({ ge: -1 })).optional() });

/** The instances of a task: one index, or all. @throws NOT_FOUND with Airflow's one-element list */
export async function addressed(
  context: RestContext,
  { dagId, runId, taskId }: Omit<TaskInstanceKey, 'mapIndex'>,
  mapIndex: number | undefined,
): Promise<TaskInstanceRow[]> {
  const { db } = context.deps;
  const model = await loadModelOf(context, dagId);
  if (!model.tasks.has(taskId)) {
    throw new AppError('NOT_FOUND', { public: `Task '${taskId}' not found in Dag '${dagId}'` });
  }
  const indexes = mapIndex === undefined ? await mapIndexesOf(db, dagId, runId, taskId) : [mapIndex];
  const rows: TaskInstanceRow[] = [];
  for (const index of indexes) {
    const row = await getTaskInstanceRow(db, { dagId, runId, taskId, mapIndex: index });
    if (row) rows.push(row);
  }
  if (rows.length === 0) throw listedNotFound({ dagId, runId, taskId }, mapIndex);
  return rows;
}

type Patch = { body: PatchBody; fields: ReadonlySet<string>; mapIndex: number | undefined };

function readPatch(context: RestContext, fromPath: boolean): Patch {
  const body = parseBody(patchBody, context.request);
  const { update_mask: mask, map_index: mapIndex } = fromPath
    ? { ...parseQuery(maskQuery, context.request), map_index: pathMapIndex(context) }
    : parseQuery(patchQuery, context.request);
  return { body, fields: fieldsToUpdate(body, mask), mapIndex };
}

/** Note first, then state. @throws CONFLICT all of them have that state already */
export async function patchTasks(
  tx: Db,
  context: RestContext,
  { body, fields, mapIndex }: Patch,
  rows: readonly TaskInstanceRow[],
): Promise<void> {
  if (fields.has('note')) for (const row of rows) await writeNote(tx, context, row.id, body.note ?? null);
  if (!fields.has('new_state')) return;
  const anchor = rows[0]!;
  const tasks = [{ taskId: anchor.task_id, ...(mapIndex === undefined ? {} : { mapIndex }) }];
  const changed = await setStates(tx, { anchor, tasks, body, dryRun: false, nowIso: context.nowIso });
  if (changed.length > 0) return;
  throw new AppError('CONFLICT', { public: `Task id ${anchor.task_id} is already in ${body.new_state} state` });
}

const patch = (fromPath: boolean) => async (context: RestContext) => {
  const asked = readPatch(context, fromPath);
  const { dagId, runId, taskId } = keyOf(context, -1);
  const rows = await addressed(context, { dagId, runId, taskId }, asked.mapIndex);
  const target = { dagId, runId, taskId, mapIndex: asked.mapIndex ?? null };
  const fresh = await context.mutate('patch_task_instance', target, async (tx) => {
    await patchTasks(tx, context, asked, rows);
    return getTaskInstancesById(
      tx,
      rows.map((row) => row.id),
    );
  });
  return { task_instances: await taskAnswers(context.deps.db, fresh), total_entries: fresh.length };
};

const preview = (fromPath: boolean) => async (context: RestContext) => {
  const { body, fields, mapIndex } = readPatch(context, fromPath);
  const key = keyOf(context, -1);
  const rows = await addressed(context, key, mapIndex);
  const { db } = context.deps;
  const tasks = [{ taskId: key.taskId, ...(mapIndex === undefined ? {} : { mapIndex }) }];
  const options = { anchor: rows[0]!, tasks, body, dryRun: true, nowIso: context.nowIso };
  const ids = fields.has('new_state')
    ? await db.transaction((tx) => setStates(tx, options))
    : rows.map((row) => row.id);
  const found = await getTaskInstancesById(db, ids);
  return { task_instances: await taskAnswers(db, found), total_entries: found.length };
};

const removeQuery = z.object({ map_index: one(wire.int()).default(-1) });

async function remove(context: RestContext): Promise<null> {
  const key = keyOf(context, parseQuery(removeQuery, context.request).map_index);
  await context.mutate('delete_task_instance', key, async (tx) => {
    const run = await lockRun(tx, key.dagId, key.runId);
    if (!run || !(await removeTaskInstance(tx, run.id, key))) {
      throw new AppError('NOT_FOUND', { public: indexedNotFound(key, key.mapIndex) });
    }
    await notify(tx, { kind: 'run', dagRunId: run.id });
  });
  return null;
}

const TI = '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances';
const event = 'patch_task_instance';
export const taskChangeRoutes: RestRoute[] = [
  { method: 'PATCH', path: `${TI}/:task_id`, handle: patch(false), query: patchQuery, body: patchBody, event },
  { method: 'DELETE', path: `${TI}/:task_id`, handle: remove, query: removeQuery, event: 'delete_task_instance' },
  {
    method: 'PATCH',
    path: `${TI}/:task_id/:map_index`,
    handle: patch(true),
    query: maskQuery,
    body: patchBody,
    event,
  },
  {
    method: 'PATCH',
    path: `${TI}/:task_id/dry_run`,
    handle: preview(false),
    query: patchQuery,
    body: patchBody,
    event,
  },
  {
    method: 'PATCH',
    path: `${TI}/:task_id/:map_index/dry_run`,
    handle: preview(true),
    query: maskQuery,
    body: patchBody,
    event,
  },
];
