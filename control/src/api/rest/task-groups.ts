/** Task groups: set the state or the note of all their task instances in one run. @see rest-api 4.4, 5.4 */
import { AppError } from '@airlock/contract/errors';
import { getTaskInstancesById, listTaskInstancesOf, type TaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import { tasksOfGroup } from '../../domain/mapping.ts';
import { parseBody, parseQuery } from '../http/validation.ts';
import { loadModelOf } from './dags.ts';
import { fieldsToUpdate, maskQuery } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { taskAnswers } from './task-answer.ts';
import { patchBody, setStates, writeNote } from './task-state.ts';

/** The group's task instances in the run. @throws NOT_FOUND */
async function groupRows(context: RestContext): Promise<TaskInstanceRow[]> {
  const dagId = context.param('dag_id');
  const runId = context.param('dag_run_id');
  const groupId = context.param('group_id');
  const model = await loadModelOf(context, dagId);
  const taskIds = tasksOfGroup(model.document.dag.task_group, groupId);
  if (!taskIds) {
    throw new AppError('NOT_FOUND', { public: `Task group '${groupId}' not found in DAG '${dagId}'` });
  }
  const rows = await listTaskInstancesOf(context.deps.db, { dagId, runId, taskIds });
  if (rows.length === 0) {
    throw new AppError('NOT_FOUND', {
      public: `No task instances found for task group '${groupId}' in dag run '${runId}'`,
    });
  }
  return rows;
}

function selectors(rows: readonly TaskInstanceRow[]) {
  return [...new Set(rows.map((row) => row.task_id))].map((taskId) => ({ taskId }));
}

async function answer(context: RestContext, ids: readonly string[]): Promise<unknown> {
  const rows = await getTaskInstancesById(context.deps.db, ids);
  return { task_instances: await taskAnswers(context.deps.db, rows), total_entries: rows.length };
}

async function patch(context: RestContext): Promise<unknown> {
  const body = parseBody(patchBody, context.request);
  const fields = fieldsToUpdate(body, parseQuery(maskQuery, context.request).update_mask);
  const rows = await groupRows(context);
  const target = { dagId: context.param('dag_id'), runId: context.param('dag_run_id') };
  const ids = await context.mutate('patch_task_group_instances', target, async (tx) => {
    if (fields.has('note')) for (const row of rows) await writeNote(tx, context, row.id, body.note ?? null);
    if (!fields.has('new_state')) return rows.map((row) => row.id);
    const options = { anchor: rows[0]!, tasks: selectors(rows), body, dryRun: false, nowIso: context.nowIso };
    const changed = await setStates(tx, options);
    if (changed.length === 0) {
      const text = `All task instances in the group are already in ${body.new_state} state`;
      throw new AppError('CONFLICT', { public: text });
    }
    return changed;
  });
  return answer(context, ids);
}

async function preview(context: RestContext): Promise<unknown> {
  const body = parseBody(patchBody, context.request);
  const rows = await groupRows(context);
  if (!body.new_state) {
    return answer(
      context,
      rows.map((row) => row.id),
    );
  }
  const options = { anchor: rows[0]!, tasks: selectors(rows), body, dryRun: true, nowIso: context.nowIso };
  return answer(context, await context.deps.db.transaction((tx) => setStates(tx, options)));
}

const GROUP = '/dags/:dag_id/dagRuns/:dag_run_id/taskGroupInstances/:group_id';
const event = 'patch_task_group_instances';
export const taskGroupRoutes: RestRoute[] = [
  { method: 'PATCH', path: GROUP, handle: patch, query: maskQuery, body: patchBody, event },
  { method: 'PATCH', path: `${GROUP}/dry_run`, handle: preview, body: patchBody, event },
];
