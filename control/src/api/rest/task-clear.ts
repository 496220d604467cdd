/** Task instances: clear, so that they run again. @see rest-api 5.3 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { getDagRow } from '@airlock/store/queries/rest-dag/list';
import { type RunSelector, selectRuns } from '@airlock/store/queries/rest-run/select';
import { getTaskInstancesById, type TaskInstanceRow } from '@airlock/store/queries/rest-task/list';
import type { TaskSelector } from '../../domain/clearing.ts';
import { clearTaskInstances, runsOnLatest } from '../../runs/index.ts';
import { wireInstant } from '../http/instant.ts';
import { parseBody, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { dagNotFound } from './dags.ts';
import { modelOf } from './models.ts';
import type { RestContext, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';
import { NOTE_MAX } from './run-changes.ts';
import { taskAnswers } from './task-answer.ts';
import { writeNote } from './task-state.ts';

const flag = (fallback: boolean) => wire.bool().default(fallback);

const clearBody = z
  .strictObject({
    dry_run: flag(true),
    start_date: wire.instant().nullish(),
    end_date: wire.instant().nullish(),
    // Said or not makes a difference beside only_running, so the default comes later.
    only_failed: wire.bool().optional().meta({ default: true }),
    only_running: flag(false),
    reset_dag_runs: flag(true),
    task_ids: z
      .array(z.union([wire.text(), z.tuple([wire.text(), wire.int({ ge: -1 })])]))
      .max(10_000)
      .nullish(),
    dag_run_id: wire.text().nullish(),
    include_upstream: flag(false),
    include_downstream: flag(false),
    include_future: flag(false),
    include_past: flag(false),
    run_on_latest_version: wire.bool().nullish(),
    prevent_running_task: flag(false),
    note: wire.text({ max: NOTE_MAX }).nullish(),
  })
  .superRefine((body, ctx) => {
    const refuse = (error: string) =>
      wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
    if (body.only_failed && body.only_running) refuse('only_failed and only_running both are set to True');
    else if (body.start_date && body.end_date && body.end_date < body.start_date) {
      refuse('end_date is sooner than start_date');
    } else if (body.dag_run_id && (body.start_date || body.end_date)) {
      const dates =
        body.start_date && body.end_date ? '(start_date and end_date)' : body.start_date ? 'start_date' : 'end_date';
      refuse(`Exactly one of dag_run_id or ${dates} must be provided`);
    } else if (body.task_ids?.length === 0) refuse('task_ids list should have at least 1 element.');
  });
type ClearBody = z.output<typeof clearBody>;

/** Which runs the body is about. @throws NOT_FOUND, BAD_REQUEST */
async function runsOf(context: RestContext, dagId: string, body: ClearBody): Promise<RunSelector> {
  const runId = body.dag_run_id ?? null;
  const range = (from: string | null, to: string | null): RunSelector => {
    return { kind: 'range', from: body.include_past ? null : from, to: body.include_future ? null : to };
  };
  if (runId === null) return range(body.start_date ?? null, body.end_date ?? null);
  const [run] = await selectRuns(context.deps.db, dagId, { kind: 'run', runId });
  if (!run) throw new AppError('NOT_FOUND', { public: `Dag Run id ${runId} not found in dag ${dagId}` });
  if (!body.include_future && !body.include_past) return { kind: 'run', runId };
  const { logical_date: date } = await loadRun(context.deps.db, dagId, runId);
  if (date === null) {
    throw new AppError('BAD_REQUEST', {
      public: 'Cannot use include_past or include_future with no logical_date(e.g. manually or asset-triggered).',
    });
  }
  return range(wireInstant(date), wireInstant(date));
}

async function clear(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const body = parseBody(clearBody, context.request);
  const { db } = context.deps;
  const dag = await getDagRow(db, dagId);
  if (!dag) throw dagNotFound(dagId);
  const model = await modelOf(db, dag.current_version_id);
  const selector = await runsOf(context, dagId, body);
  const tasks = body.task_ids?.map((each): TaskSelector => {
    return typeof each === 'string' ? { taskId: each } : { taskId: each[0], mapIndex: each[1] };
  });
  const clearThem = async (tx: Db, dryRun: boolean): Promise<TaskInstanceRow[]> => {
    const runs = await selectRuns(tx, dagId, selector);
    const cleared = await clearTaskInstances(tx, {
      dagId,
      dagRunIds: runs.map((run) => run.id),
      tasks: tasks ?? null,
      includeUpstream: body.include_upstream,
      includeDownstream: body.include_downstream,
      within: (body.dag_run_id ?? null) === null ? 'dag' : 'run',
      onlyFailed: body.only_failed ?? true,
      onlyRunning: body.only_running,
      resetDagRuns: body.reset_dag_runs,
      preventRunningTask: body.prevent_running_task,
      runOnLatestVersion: runsOnLatest(
        body.run_on_latest_version,
        model,
        context.deps.config.core.rerun_with_latest_version,
        false,
      ),
      dryRun,
      nowIso: context.nowIso,
    });
    return getTaskInstancesById(
      tx,
      cleared.map((ti) => ti.newId),
    );
  };
  const rows = body.dry_run
    ? await db.transaction((tx) => clearThem(tx, true))
    : await context.mutate('post_clear_task_instances', { dagId, runId: body.dag_run_id ?? null }, async (tx) => {
        const cleared = await clearThem(tx, false);
        if (body.note !== null && body.note !== undefined) {
          for (const ti of cleared) await writeNote(tx, context, ti.id, body.note);
        }
        const ids = cleared.map((ti) => ti.id);
        return getTaskInstancesById(tx, ids);
      });
  return { task_instances: await taskAnswers(db, rows), total_entries: rows.length };
}

export const taskClearRoutes: RestRoute[] = [
  {
    method: 'POST',
    path: '/dags/:dag_id/clearTaskInstances',
    handle: clear,
    body: clearBody,
    event: 'post_clear_task_instances',
  },
];
