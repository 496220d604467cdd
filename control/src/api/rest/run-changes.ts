/** Runs: trigger, state and note, clear, delete. @see rest-api 5.1 to 5.3 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { getDagRow } from '@airlock/store/queries/rest-dag/list';
import { type RunRow, setRunNote } from '@airlock/store/queries/rest-run/list';
import { getTaskInstancesById, taskIdsOf } from '@airlock/store/queries/rest-task/list';
import { insertTaskInstances } from '@airlock/store/queries/task-instance/insert';
import { getTeamOfDag } from '@airlock/store/queries/team/of-dag';
import type { DagModel, TaskModel } from '../../domain/dag-model.ts';
import { clearTaskInstances, createDagRun, deleteDagRun, setDagRunState } from '../../runs/index.ts';
import { initialTaskInstances } from '../../runs/new-task-instances.ts';
import { uniqueViolation } from '../http/errors.ts';
import { wireInstant } from '../http/instant.ts';
import { parseBody, parseQuery, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { fieldsToUpdate, maskQuery } from './list-query.ts';
import { modelOf } from './models.ts';
import type { RestContext, RestRoute } from './route.ts';
import { freshRunAnswer, loadRun } from './run-answer.ts';
import { taskAnswers } from './task-answer.ts';

/** Characters; what the column of the reference holds. */
const NOTE_MAX = 1000;

const triggerBody = z
  .strictObject({
    dag_run_id: wire.text().nullish(),
    data_interval_start: wire.instant().nullish(),
    data_interval_end: wire.instant().nullish(),
    // The key must be there; its value may be null.
    logical_date: wire.instant().nullable(),
    run_after: wire.instant().nullish(),
    conf: wire.object().nullish(),
    note: wire.text({ max: NOTE_MAX }).nullish(),
    partition_key: wire.text({ max: 250 }).nullish(),
  })
  .superRefine((body, ctx) => {
    if ((body.data_interval_start ?? null) === null && (body.data_interval_end ?? null) === null) return;
    if ((body.data_interval_start ?? null) !== null && (body.data_interval_end ?? null) !== null) return;
    const error = 'Either both data_interval_start and data_interval_end must be provided or both must be None';
    wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
  });

async function trigger(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const body = parseBody(triggerBody, context.request);
  const interval =
    body.data_interval_start && body.data_interval_end
      ? { start: body.data_interval_start, end: body.data_interval_end }
      : null;
  return context.mutate(
    'trigger_dag_run',
    { dagId, runId: body.dag_run_id ?? null, logicalDate: body.logical_date },
    async (tx) => {
      try {
        const run = await createDagRun(tx, {
          dagId,
          runId: body.dag_run_id,
          runType: 'manual',
          triggeredBy: context.request.headers.referer === undefined ? 'rest_api' : 'ui',
          triggeringUserName: context.user.name,
          logicalDate: body.logical_date,
          dataInterval: interval,
          runAfter: body.run_after,
          conf: body.conf,
          note: body.note,
          noteUser: context.user.name,
          partitionKey: body.partition_key,
          nowIso: context.nowIso,
        });
        return await freshRunAnswer(tx, dagId, run.runId);
      } catch (error) {
        throw error instanceof AppError && error.code === 'CONFLICT' ? uniqueViolation(error.message, error) : error;
      }
    },
  );
}

const patchBody = z.strictObject({
  state: wire.word(['queued', 'success', 'failed']).nullish(),
  note: wire.text({ max: NOTE_MAX }).nullish(),
});

async function patch(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const runId = context.param('dag_run_id');
  const body = parseBody(patchBody, context.request);
  const fields = fieldsToUpdate(body, parseQuery(maskQuery, context.request).update_mask);
  return context.mutate('patch_dag_run', { dagId, runId }, async (tx) => {
    const run = await loadRun(tx, dagId, runId);
    if (fields.has('note')) {
      await setRunNote(tx, { id: run.id, note: body.note || null, user: context.user.name, nowIso: context.nowIso });
    }
    if (fields.has('state') && body.state) {
      await setDagRunState(tx, { dagId, runId, state: body.state, nowIso: context.nowIso });
    }
    return freshRunAnswer(tx, dagId, runId);
  });
}

async function remove(context: RestContext): Promise<void> {
  const dagId = context.param('dag_id');
  const runId = context.param('dag_run_id');
  await context.mutate('delete_dag_run', { dagId, runId }, async (tx) => {
    await deleteDagRun(tx, { dagId, runId });
  });
  await context.deps.logs.removeRun({ dagId, runId });
}

const clearBody = z
  .strictObject({
    dry_run: wire.bool().default(true),
    only_failed: wire.bool().default(false),
    only_new: wire.bool().default(false),
    run_on_latest_version: wire.bool().nullish(),
    note: wire.text({ max: NOTE_MAX }).nullish(),
  })
  .superRefine((body, ctx) => {
    if (!(body.only_failed && body.only_new)) return;
    const error = 'only_new and only_failed are mutually exclusive';
    wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
  });

/** Whether the newest version counts: the request, then the Dag, then no. */
export function runsOnLatest(asked: boolean | null | undefined, model: DagModel | null): boolean {
  return asked ?? model?.rerunWithLatestVersion ?? false;
}

/** Tasks that the newest version has and this run has not. */
async function newTasks(db: Db, run: RunRow, model: DagModel): Promise<TaskModel[]> {
  const there = new Set(await taskIdsOf(db, run.id));
  return [...model.tasks.values()].filter((task) => !there.has(task.taskId));
}

async function clearNew(tx: Db, context: RestContext, run: RunRow, model: DagModel, versionId: string): Promise<void> {
  const added = new Set((await newTasks(tx, run, model)).map((task) => task.taskId));
  if (added.size === 0) return;
  const team = (await getTeamOfDag(tx, run.dag_id))?.team ?? null;
  const of = { dagRunId: run.id, dagId: run.dag_id, runId: run.run_id, team, versionId, nowIso: context.nowIso };
  const logicalMs = run.logical_date === null ? null : Date.parse(wireInstant(run.logical_date));
  const rows = initialTaskInstances(of, model, logicalMs).filter((row) => added.has(row.task_id));
  await insertTaskInstances(tx, rows, context.nowIso);
  await setDagRunState(tx, { dagId: run.dag_id, runId: run.run_id, state: 'queued', nowIso: context.nowIso });
}

async function clear(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const runId = context.param('dag_run_id');
  const body = parseBody(clearBody, context.request);
  const { db } = context.deps;
  const dag = await getDagRow(db, dagId);
  const versionId = dag?.current_version_id ?? null;
  const model = await modelOf(db, versionId);
  const options = (run: RunRow, dryRun: boolean) => ({
    dagId,
    dagRunIds: [run.id],
    onlyFailed: body.only_failed,
    runOnLatestVersion: runsOnLatest(body.run_on_latest_version, model),
    dryRun,
    nowIso: context.nowIso,
  });
  if (body.dry_run) {
    const run = await loadRun(db, dagId, runId);
    if (body.only_new) {
      const added = model ? await newTasks(db, run, model) : [];
      const shown = added.map((task) => ({ task_id: task.taskId, task_display_name: task.displayName }));
      return { task_instances: shown, total_entries: shown.length };
    }
    const found = await db.transaction((tx) => clearTaskInstances(tx, options(run, true)));
    const rows = await getTaskInstancesById(
      db,
      found.map((ti) => ti.id),
    );
    return { task_instances: await taskAnswers(db, rows), total_entries: rows.length };
  }
  return context.mutate('clear_dag_run', { dagId, runId }, async (tx) => {
    const run = await loadRun(tx, dagId, runId);
    if (!body.only_new) await clearTaskInstances(tx, options(run, false));
    else if (model && versionId) await clearNew(tx, context, run, model, versionId);
    if (body.note !== undefined && body.note !== null) {
      await setRunNote(tx, { id: run.id, note: body.note || null, user: context.user.name, nowIso: context.nowIso });
    }
    return freshRunAnswer(tx, dagId, runId);
  });
}

const RUN = '/dags/:dag_id/dagRuns/:dag_run_id';
export const runChangeRoutes: RestRoute[] = [
  { method: 'POST', path: '/dags/:dag_id/dagRuns', handle: trigger, event: 'trigger_dag_run' },
  { method: 'PATCH', path: RUN, handle: patch, event: 'patch_dag_run' },
  { method: 'DELETE', path: RUN, handle: remove, status: 204, event: 'delete_dag_run' },
  { method: 'POST', path: `${RUN}/clear`, handle: clear, event: 'clear_dag_run' },
];
