/** `PATCH` on a collection of task instances: states, notes and removal of several in one transaction. @see rest-api 1.10 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { type Db, notify } from '@airlock/store';
import { lockRunsById } from '@airlock/store/queries/dag-run/lock';
import { getRunsByName } from '@airlock/store/queries/rest-run/by-name';
import { listTaskInstancesOf, type TaskInstanceKey, type TaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import { removeTaskInstance } from '@airlock/store/queries/rest-task/remove';
import { parseBody } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { dagsThatMayBe } from './authorize.ts';
import { type BulkAnswer, type BulkResult, bulkBody } from './bulk.ts';
import { fieldsToUpdate } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { patchTasks } from './task-changes.ts';
import { patchFields } from './task-state.ts';

const entity = z.strictObject({
  ...patchFields,
  task_id: wire.text(),
  map_index: wire.int({ ge: -1 }).nullish(),
  dag_id: wire.text().nullish(),
  dag_run_id: wire.text().nullish(),
});
type Entity = z.output<typeof entity>;
const bulkSchema = bulkBody(entity, entity, z.union([wire.text(), entity]));
type Named = {
  readonly key: Omit<TaskInstanceKey, 'mapIndex'>;
  readonly mapIndex: number | undefined;
  readonly each: string | Entity;
};

/** What an entity is about, or null and an error when the path leaves its Dag or run open. */
function nameOf(context: RestContext, each: string | Entity, result: BulkResult): Named | null {
  const sent: Partial<Entity> = typeof each === 'string' ? {} : each;
  const taskId = typeof each === 'string' ? each : each.task_id;
  const key = {
    dagId: sent.dag_id || context.param('dag_id'),
    runId: sent.dag_run_id || context.param('dag_run_id'),
    taskId,
  };
  if (key.dagId !== '~' && key.runId !== '~') return { key, mapIndex: sent.map_index ?? undefined, each };
  const where = typeof each === 'string' ? 'in BulkTaskInstanceBody object, not as string for' : 'in request body for';
  const error = `When using wildcard in path, dag_id and dag_run_id must be specified ${where} task_id: ${taskId}`;
  result.errors.push({ error, status_code: 400 });
  return null;
}

function missingText(missing: readonly Named[]): string {
  const indexed = missing.filter((each) => each.mapIndex !== undefined);
  if (indexed.length === 0) {
    const { dagId, runId, taskId } = missing[0]!.key;
    return `No task instances found for dag_id: ${dagId}, run_id: ${runId}, task_id: ${taskId}`;
  }
  const shown = indexed.map(({ key, mapIndex }) => {
    return `{'dag_id': '${key.dagId}', 'dag_run_id': '${key.runId}', 'task_id': '${key.taskId}', 'map_index': ${mapIndex}}`;
  });
  return `The task instances with these identifiers: [${shown.join(', ')}] were not found`;
}

type Work = { readonly named: Named; readonly rows: readonly TaskInstanceRow[] };
type Action = { readonly action: 'update' | 'delete'; readonly action_on_non_existence: 'fail' | 'skip' };

/** The entities with the rows that they mean; null when one is missing and that fails the action. */
async function resolve(
  tx: Db,
  context: RestContext,
  action: Action & { readonly entities: ReadonlyArray<string | Entity> },
  result: BulkResult,
): Promise<Work[] | null> {
  const named = action.entities.map((each) => nameOf(context, each, result)).filter((each) => each !== null);
  const method = action.action === 'update' ? 'PUT' : 'DELETE';
  const dagIds = named.map((each) => each.key.dagId);
  const reachable = await dagsThatMayBe(context, 'task_instance', method, dagIds);
  const work: Work[] = [];
  for (const each of named) {
    const { dagId, runId, taskId } = each.key;
    const all = reachable.has(dagId) ? await listTaskInstancesOf(tx, { dagId, runId, taskIds: [taskId] }) : [];
    const rows = all.filter((row) => each.mapIndex === undefined || row.map_index === each.mapIndex);
    work.push({ named: each, rows });
  }
  const missing = work.filter(({ rows }) => rows.length === 0).map((each) => each.named);
  if (missing.length > 0 && action.action_on_non_existence === 'fail') {
    result.errors.push({ error: missingText(missing), status_code: 404 });
    return null;
  }
  return work.filter(({ rows }) => rows.length > 0);
}

const idOf = (row: TaskInstanceRow): string => `${row.dag_id}.${row.run_id}.${row.task_id}[${row.map_index}]`;

async function update(
  tx: Db,
  context: RestContext,
  work: Work,
  mask: readonly string[],
  result: BulkResult,
): Promise<void> {
  const body = work.named.each as Entity;
  const fields = fieldsToUpdate(body, mask);
  try {
    await patchTasks(tx, context, { body, fields, mapIndex: work.named.mapIndex }, work.rows);
    result.success.push(...work.rows.map(idOf));
  } catch (error) {
    // It is found out before anything of this entity's state is written.
    if (!(error instanceof AppError) || error.code !== 'CONFLICT') throw error;
    result.errors.push({ error: error.message, status_code: 409 });
  }
}

async function remove(tx: Db, runs: ReadonlyMap<string, number>, work: Work, result: BulkResult): Promise<void> {
  const dagRunId = runs.get(JSON.stringify([work.named.key.dagId, work.named.key.runId]))!;
  for (const row of work.rows) {
    if (await removeTaskInstance(tx, dagRunId, { taskId: row.task_id, mapIndex: row.map_index }))
      result.success.push(idOf(row));
  }
  await notify(tx, { kind: 'run', dagRunId });
}

async function bulk(context: RestContext): Promise<unknown> {
  const { actions } = parseBody(bulkSchema, context.request);
  const target = (name: string) => (context.param(name) === '~' ? null : context.param(name));
  return context.mutate('bulk_task_instances', { dagId: target('dag_id'), runId: target('dag_run_id') }, async (tx) => {
    const results: BulkAnswer = { create: null, update: null, delete: null };
    for (const action of actions) {
      results[action.action] ??= { success: [], errors: [] };
      const result = results[action.action]!;
      if (action.action === 'create') {
        result.errors.push({ error: 'Task instances bulk create is not supported', status_code: 405 });
        continue;
      }
      const works = await resolve(tx, context, action, result);
      if (!works) continue;
      const names = works.map(({ named }) => ({ dag_id: named.key.dagId, run_id: named.key.runId }));
      const found = await getRunsByName(tx, names);
      await lockRunsById(
        tx,
        [...new Set(found.map((run) => run.id))].sort((a, b) => a - b),
      );
      const runs = new Map(found.map((run) => [JSON.stringify([run.dag_id, run.run_id]), run.id]));
      for (const work of works) {
        if (action.action === 'update') await update(tx, context, work, action.update_mask ?? [], result);
        else await remove(tx, runs, work, result);
      }
    }
    return results;
  });
}

export const taskBulkRoutes: RestRoute[] = [
  {
    method: 'PATCH',
    path: '/dags/:dag_id/dagRuns/:dag_run_id/taskInstances',
    handle: bulk,
    body: bulkSchema,
    event: 'bulk_task_instances',
  },
];
