/** Task instances: clear, set a state or a note. @see rest-api 5.3, 5.4 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { type Db, notify } from '@airlock/store';
import { lockRun } from '@airlock/store/queries/dag-run/lock';
import { getDagRow } from '@airlock/store/queries/rest-dag/list';
import { type RunSelector, selectRuns } from '@airlock/store/queries/rest-run/select';
import {
  getTaskInstanceRow,
  getTaskInstancesById,
  mapIndexesOf,
  setTaskNote,
  type TaskInstanceRow,
} from '@airlock/store/queries/rest-task/list';
import { removeTaskInstance } from '@airlock/store/queries/rest-task/remove';
import type { TaskSelector } from '../../runs/clear.ts';
import { clearTaskInstances, setTaskInstanceState } from '../../runs/index.ts';
import { wireInstant } from '../http/instant.ts';
import { parseBody, parseQuery, wireIssue } from '../http/validation.ts';
import { one, wire } from '../http/wire.ts';
import { dagNotFound, loadModelOf } from './dags.ts';
import { fieldsToUpdate, maskQuery } from './list-query.ts';
import { modelOf } from './models.ts';
import type { RestContext, RestRoute } from './route.ts';
import { loadRun } from './run-answer.ts';
import { runsOnLatest } from './run-changes.ts';
import { indexedNotFound, listedNotFound, taskAnswers } from './task-answer.ts';
import { keyOf, pathMapIndex } from './tasks.ts';

const NOTE_MAX = 1000;
const flag = (fallback: boolean) => wire.bool().default(fallback);

const clearBody = z
  .strictObject({
    dry_run: flag(true),
    start_date: wire.instant().nullish(),
    end_date: wire.instant().nullish(),
    only_failed: flag(true),
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
    else if (body.task_ids?.length === 0) refuse('task_ids list should have at least 1 element.');
    else if (body.start_date && body.end_date && body.end_date < body.start_date) {
      refuse('end_date is sooner than start_date');
    } else if (body.dag_run_id && (body.start_date || body.end_date)) {
      refuse('Exactly one of dag_run_id or (start_date and end_date) must be provided');
    }
  });
type ClearBody = z.output<typeof clearBody>;

/** Which runs the body is about. @throws NOT_FOUND, BAD_REQUEST */
async function runsOf(context: RestContext, dagId: string, body: ClearBody): Promise<RunSelector> {
  const runId = body.dag_run_id ?? null;
  if (runId === null) return { kind: 'range', from: body.start_date ?? null, to: body.end_date ?? null };
  const [run] = await selectRuns(context.deps.db, dagId, { kind: 'run', runId });
  if (!run) throw new AppError('NOT_FOUND', { public: `Dag Run id ${runId} not found in dag ${dagId}` });
  if (!body.include_future && !body.include_past) return { kind: 'run', runId };
  const { logical_date: date } = await loadRun(context.deps.db, dagId, runId);
  if (date === null) {
    throw new AppError('BAD_REQUEST', {
      public: 'Cannot use include_past or include_future with no logical_date(e.g. manually or asset-triggered).',
    });
  }
  const at = wireInstant(date);
  return { kind: 'range', from: body.include_past ? null : at, to: body.include_future ? null : at };
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
      onlyFailed: body.only_failed,
      onlyRunning: body.only_running,
      resetDagRuns: body.reset_dag_runs,
      preventRunningTask: body.prevent_running_task,
      runOnLatestVersion: runsOnLatest(body.run_on_latest_version, model),
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

async function writeNote(tx: Db, context: RestContext, id: string, note: string | null): Promise<void> {
  await setTaskNote(tx, { id, note: note || null, user: context.user.name, nowIso: context.nowIso });
}

const STATES = ['success', 'failed', 'skipped'] as const;
const newState = z.unknown().transform((value, ctx): (typeof STATES)[number] => {
  if (value === null) {
    return wireIssue(ctx, {
      type: 'value_error',
      msg: "Value error, 'new_state' should not be empty",
      ctx: { error: {} },
    });
  }
  const word = typeof value === 'string' ? STATES.find((state) => state === value.toLowerCase()) : undefined;
  if (word) return word;
  const error = `'${typeof value === 'string' ? value : '?'}' is not in ['success', 'failed', 'skipped']`;
  return wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
});

const patchBody = z.strictObject({
  new_state: newState.optional(),
  note: wire.text({ max: NOTE_MAX }).nullish(),
  include_upstream: flag(false),
  include_downstream: flag(false),
  include_future: flag(false),
  include_past: flag(false),
});
const patchQuery = maskQuery.extend({ map_index: one(wire.int({ ge: -1 })).optional() });

/** The instances that the path names. @throws NOT_FOUND with Airflow's one-element list */
async function addressed(context: RestContext, mapIndex: number | undefined): Promise<TaskInstanceRow[]> {
  const { db } = context.deps;
  const { dagId, runId, taskId } = keyOf(context, -1);
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

/** Runs before and after this one on the schedule's timeline, as far as they are asked for, and the run itself. */
async function runsAround(
  db: Db,
  row: TaskInstanceRow,
  body: { include_future: boolean; include_past: boolean },
): Promise<string[]> {
  if ((!body.include_future && !body.include_past) || row.logical_date === null) return [row.run_id];
  const at = wireInstant(row.logical_date);
  const range = { kind: 'range', from: body.include_past ? null : at, to: body.include_future ? null : at } as const;
  return (await selectRuns(db, row.dag_id, range)).map((run) => run.run_id);
}

type Patch = { body: z.output<typeof patchBody>; fields: ReadonlySet<string>; mapIndex: number | undefined };

function readPatch(context: RestContext, fromPath: boolean): Patch {
  const body = parseBody(patchBody, context.request);
  const query = parseQuery(patchQuery, context.request);
  const mapIndex = fromPath ? pathMapIndex(context) : query.map_index;
  return { body, fields: fieldsToUpdate(body, query.update_mask), mapIndex };
}

async function setStates(
  tx: Db,
  context: RestContext,
  { body, mapIndex }: Patch,
  rows: readonly TaskInstanceRow[],
  dryRun: boolean,
): Promise<string[]> {
  const state = body.new_state!;
  const { dagId, taskId } = keyOf(context, -1);
  const tasks = mapIndex === undefined ? [{ taskId }] : [{ taskId, mapIndex }];
  const changed: string[] = [];
  for (const runId of await runsAround(tx, rows[0]!, body)) {
    const result = await setTaskInstanceState(tx, {
      dagId,
      runId,
      tasks,
      includeUpstream: body.include_upstream,
      includeDownstream: body.include_downstream,
      state,
      dryRun,
      nowIso: context.nowIso,
    });
    changed.push(...result.changed);
  }
  if (changed.length === 0 && !dryRun) {
    throw new AppError('CONFLICT', { public: `Task id ${taskId} is already in ${state} state` });
  }
  return changed;
}

const patch = (fromPath: boolean) => async (context: RestContext) => {
  const asked = readPatch(context, fromPath);
  const rows = await addressed(context, asked.mapIndex);
  const { dagId, runId, taskId } = keyOf(context, -1);
  const target = { dagId, runId, taskId, mapIndex: asked.mapIndex ?? null };
  const fresh = await context.mutate('patch_task_instance', target, async (tx) => {
    if (asked.fields.has('note')) {
      for (const row of rows) await writeNote(tx, context, row.id, asked.body.note ?? null);
    }
    if (asked.fields.has('new_state')) await setStates(tx, context, asked, rows, false);
    return getTaskInstancesById(
      tx,
      rows.map((row) => row.id),
    );
  });
  return { task_instances: await taskAnswers(context.deps.db, fresh), total_entries: fresh.length };
};

const preview = (fromPath: boolean) => async (context: RestContext) => {
  const asked = readPatch(context, fromPath);
  const rows = await addressed(context, asked.mapIndex);
  const { db } = context.deps;
  const ids = asked.fields.has('new_state')
    ? await db.transaction((tx) => setStates(tx, context, asked, rows, true))
    : [];
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
  {
    method: 'POST',
    path: '/dags/:dag_id/clearTaskInstances',
    handle: clear,
    event: 'post_clear_task_instances',
  },
  { method: 'PATCH', path: `${TI}/:task_id`, handle: patch(false), event },
  { method: 'DELETE', path: `${TI}/:task_id`, handle: remove, event: 'delete_task_instance' },
  { method: 'PATCH', path: `${TI}/:task_id/:map_index`, handle: patch(true), event },
  { method: 'PATCH', path: `${TI}/:task_id/dry_run`, handle: preview(false), event },
  { method: 'PATCH', path: `${TI}/:task_id/:map_index/dry_run`, handle: preview(true), event },
];
