/** Runs: clear one, clear several, take runs out of their partitions. @see rest-api 4.3, 5.3 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { lockRunsById } from '@airlock/store/queries/dag-run/lock';
import { getDagRow } from '@airlock/store/queries/rest-dag/list';
import { type RunRow, setRunNote } from '@airlock/store/queries/rest-run/list';
import {
  leavePartitions,
  type PartitionSelector,
  selectPartitionRuns,
} from '@airlock/store/queries/rest-run/partitions';
import { getTaskInstancesById, taskIdsOf } from '@airlock/store/queries/rest-task/list';
import { insertTaskInstances } from '@airlock/store/queries/task-instance/insert';
import { getTeamOfDag } from '@airlock/store/queries/team/of-dag';
import type { DagModel, TaskModel } from '../../domain/dag-model.ts';
import { clearTaskInstances, runsOnLatest } from '../../runs/index.ts';
import { initialTaskInstances } from '../../runs/new-task-instances.ts';
import { wireInstant } from '../http/instant.ts';
import { parseBody, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { dagsThatMayBe } from './authorize.ts';
import { offsetMembers } from './cursor.ts';
import { loadModelOf } from './dags.ts';
import { modelOf } from './models.ts';
import { partitionInstant } from './partition-instant.ts';
import type { RestContext, RestRoute } from './route.ts';
import { freshRunAnswer, loadRun, runAnswers, runNotFound } from './run-answer.ts';
import { NOTE_MAX } from './run-changes.ts';
import { taskAnswers } from './task-answer.ts';

const options = {
  dry_run: wire.bool().default(true),
  only_failed: wire.bool().default(false),
  only_new: wire.bool().default(false),
  run_on_latest_version: wire.bool().nullish(),
  note: wire.text({ max: NOTE_MAX }).nullish(),
};
type Issues = Parameters<typeof wireIssue>[0];
const refuse = (ctx: Issues, error: string) =>
  wireIssue(ctx, { type: 'value_error', msg: `Value error, ${error}`, ctx: { error: {} } });
const optionsObject = z.object(options);
type Options = z.output<typeof optionsObject>;

function checkOptions(body: Pick<Options, 'only_failed' | 'only_new'>, ctx: Issues): void {
  if (body.only_failed && body.only_new) refuse(ctx, 'only_new and only_failed are mutually exclusive');
}

/** The newest version of a Dag. */
type Newest = { readonly versionId: string | null; readonly model: DagModel | null };

async function newestOf(db: Db, dagId: string): Promise<Newest> {
  const versionId = (await getDagRow(db, dagId))?.current_version_id ?? null;
  return { versionId, model: await modelOf(db, versionId) };
}

/** Tasks that the newest version has and this run has not. */
async function newTasks(db: Db, run: RunRow, model: DagModel): Promise<TaskModel[]> {
  const there = new Set(await taskIdsOf(db, run.id));
  return [...model.tasks.values()].filter((task) => !there.has(task.taskId));
}

/** Gives a run the tasks that only the newest version has, and moves it there; setups that guard them run again. */
async function clearNew(tx: Db, context: RestContext, run: RunRow, model: DagModel, versionId: string): Promise<void> {
  await lockRunsById(tx, [run.id]);
  const added = new Set((await newTasks(tx, run, model)).map((task) => task.taskId));
  if (added.size === 0) return;
  const team = (await getTeamOfDag(tx, run.dag_id))?.team ?? null;
  const of = { dagRunId: run.id, dagId: run.dag_id, runId: run.run_id, team, versionId, nowIso: context.nowIso };
  const logicalMs = run.logical_date === null ? null : Date.parse(wireInstant(run.logical_date));
  const rows = initialTaskInstances(of, model, logicalMs).filter((row) => added.has(row.task_id));
  await insertTaskInstances(tx, rows, context.nowIso);
  await clearTaskInstances(tx, {
    dagId: run.dag_id,
    dagRunIds: [run.id],
    tasks: [...added].map((taskId) => ({ taskId })),
    runOnLatestVersion: true,
    nowIso: context.nowIso,
  });
}

function clearOptions(context: RestContext, run: RunRow, body: Options, model: DagModel | null, dryRun: boolean) {
  return {
    dagId: run.dag_id,
    dagRunIds: [run.id],
    onlyFailed: body.only_failed,
    runOnLatestVersion: runsOnLatest(
      body.run_on_latest_version,
      model,
      context.deps.config.core.rerun_with_latest_version,
      false,
    ),
    dryRun,
    nowIso: context.nowIso,
  };
}

/** What clearing would touch: task instances, or with `only_new` the tasks that would come. */
async function preview(context: RestContext, run: RunRow, body: Options): Promise<unknown[]> {
  const { db } = context.deps;
  const { model } = await newestOf(db, run.dag_id);
  if (body.only_new) {
    const added = model ? await newTasks(db, run, model) : [];
    return added.map((task) => ({ task_id: task.taskId, task_display_name: task.displayName }));
  }
  const found = await db.transaction((tx) => clearTaskInstances(tx, clearOptions(context, run, body, model, true)));
  const ids = found.map((ti) => ti.id);
  return taskAnswers(db, await getTaskInstancesById(db, ids));
}

async function clearRun(tx: Db, context: RestContext, run: RunRow, body: Options): Promise<void> {
  const { model, versionId } = await newestOf(tx, run.dag_id);
  if (!body.only_new) await clearTaskInstances(tx, clearOptions(context, run, body, model, false));
  else if (model && versionId) await clearNew(tx, context, run, model, versionId);
  if (body.note === undefined || body.note === null) return;
  await setRunNote(tx, { id: run.id, note: body.note || null, user: context.user.name, nowIso: context.nowIso });
}

const clearBody = z.strictObject(options).superRefine(checkOptions);

async function clear(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const runId = context.param('dag_run_id');
  const body = parseBody(clearBody, context.request);
  if (body.dry_run) {
    const shown = await preview(context, await loadRun(context.deps.db, dagId, runId), body);
    return { task_instances: shown, total_entries: shown.length };
  }
  return context.mutate('clear_dag_run', { dagId, runId }, async (tx) => {
    await clearRun(tx, context, await loadRun(tx, dagId, runId), body);
    return freshRunAnswer(tx, dagId, runId);
  });
}

/** Most runs that one request clears. */
const MAX_RUNS = 1_000;
const partitions = {
  partition_key: wire.text().nullish(),
  partition_date_start: wire.wallClock().nullish(),
  partition_date_end: wire.wallClock().nullish(),
};

function checkSelectors(
  body: { partition_key?: unknown; partition_date_start?: string | null; partition_date_end?: string | null },
  other: { active: boolean; name: string },
  ctx: Issues,
): void {
  const { partition_date_start: start, partition_date_end: end } = body;
  const modes = [other.active, (body.partition_key ?? null) !== null, (start ?? end ?? null) !== null];
  if (modes.filter(Boolean).length !== 1) {
    refuse(
      ctx,
      `Exactly one of ${other.name}, partition_key, or a partition date window (partition_date_start / partition_date_end) must be provided.`,
    );
  } else if (start && end && start > end) {
    refuse(ctx, 'partition_date_start must be on or before partition_date_end.');
  }
}

const clearManyBody = z
  .strictObject({
    ...options,
    ...partitions,
    dag_runs: z
      .array(
        z.strictObject({
          dag_run_id: wire.text(),
          dag_id: wire.text().nullish(),
          state: wire.word(['queued', 'success', 'failed']).nullish(),
          note: wire.text({ max: NOTE_MAX }).nullish(),
        }),
      )
      .max(MAX_RUNS)
      .default([]),
  })
  .superRefine((body, ctx) => {
    checkOptions(body, ctx);
    checkSelectors(body, { active: body.dag_runs.length > 0, name: 'dag_runs (non-empty)' }, ctx);
  });
type ClearMany = z.output<typeof clearManyBody>;
type RunName = { readonly dagId: string; readonly runId: string };

const bad = (text: string) => new AppError('BAD_REQUEST', { public: text });

/** Names of the runs in the body, each once. @throws BAD_REQUEST */
function namedRuns(dagId: string, body: ClearMany): RunName[] {
  const named = body.dag_runs.map((each): RunName => {
    const own = each.dag_id || null;
    if (dagId === '~' && (own === null || own === '~')) {
      throw bad(
        `When the URL dag_id is '~', every entry must provide a concrete dag_id (missing on dag_run_id: '${each.dag_run_id}').`,
      );
    }
    if (dagId !== '~' && own !== null && own !== dagId) {
      throw bad(`Entry dag_id '${own}' does not match the URL dag_id '${dagId}'.`);
    }
    return { dagId: own ?? dagId, runId: each.dag_run_id };
  });
  return [...new Map(named.map((run) => [JSON.stringify([run.dagId, run.runId]), run])).values()];
}

const instantOf = (model: DagModel, wall: string | null | undefined) =>
  wall === null || wall === undefined ? null : partitionInstant(model, wall);

function selectorOf(model: DagModel, body: Partial<ClearMany>): PartitionSelector {
  if (body.partition_key) return { kind: 'key', key: body.partition_key };
  return {
    kind: 'window',
    from: instantOf(model, body.partition_date_start),
    to: instantOf(model, body.partition_date_end),
  };
}

/** @throws BAD_REQUEST more runs than one request clears */
async function partitionRuns(db: Db, dagId: string, selector: PartitionSelector) {
  const found = await selectPartitionRuns(db, dagId, selector, MAX_RUNS + 1);
  if (found.length > MAX_RUNS) throw bad(`More than ${MAX_RUNS} runs match; narrow the selection.`);
  return found;
}

async function clearMany(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const body = parseBody(clearManyBody, context.request);
  const { db } = context.deps;
  let names = namedRuns(dagId, body);
  if (names.length === 0) {
    if (dagId === '~') throw bad("Partition selectors require a concrete dag_id; '~' is not supported.");
    const model = await loadModelOf(context, dagId);
    names = (await partitionRuns(db, dagId, selectorOf(model, body))).map((run) => ({ dagId, runId: run.run_id }));
  }
  const reachable = await dagsThatMayBe(
    context,
    'run',
    'PUT',
    names.map((run) => run.dagId),
  );
  const load = (on: Db, name: RunName): Promise<RunRow> => {
    if (!reachable.has(name.dagId)) throw runNotFound(name.dagId, name.runId);
    return loadRun(on, name.dagId, name.runId);
  };
  if (body.dry_run) {
    const shown: unknown[] = [];
    for (const name of names) shown.push(...(await preview(context, await load(db, name), body)));
    return { task_instances: shown, total_entries: shown.length };
  }
  return context.mutate('clear_dag_runs', { dagId: dagId === '~' ? null : dagId }, async (tx) => {
    const runs: RunRow[] = [];
    for (const name of names) runs.push(await load(tx, name));
    // All locks in one order, before the first of them is cleared.
    await lockRunsById(
      tx,
      runs.map((run) => run.id),
    );
    for (const run of runs) await clearRun(tx, context, run, body);
    const rows: RunRow[] = [];
    for (const name of names) rows.push(await loadRun(tx, name.dagId, name.runId));
    return { dag_runs: await runAnswers(tx, rows), ...offsetMembers(rows.length) };
  });
}

const clearPartitionsBody = z
  .strictObject({
    ...partitions,
    run_id: wire.text().nullish(),
    clear_task_instances: wire.bool().default(false),
    dry_run: wire.bool().default(true),
  })
  .superRefine((body, ctx) => {
    checkSelectors(body, { active: (body.run_id ?? null) !== null, name: 'run_id' }, ctx);
  });

async function clearPartitions(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const body = parseBody(clearPartitionsBody, context.request);
  const { db } = context.deps;
  const model = await loadModelOf(context, dagId);
  const selector: PartitionSelector = body.run_id ? { kind: 'run', runId: body.run_id } : selectorOf(model, body);
  const work = async (tx: Db): Promise<unknown> => {
    const runs = await partitionRuns(tx, dagId, selector);
    const inPartition = runs.filter((run) => run.in_partition).map((run) => run.id);
    if (!body.dry_run) await leavePartitions(tx, inPartition, context.nowIso);
    const cleared = body.clear_task_instances
      ? await clearTaskInstances(tx, {
          dagId,
          dagRunIds: runs.map((run) => run.id),
          dryRun: body.dry_run,
          nowIso: context.nowIso,
        })
      : [];
    return {
      dag_runs_cleared: inPartition.length,
      task_instances_cleared: cleared.length,
      dry_run: body.dry_run,
    };
  };
  return body.dry_run ? db.transaction(work) : context.mutate('clear_dag_run_partitions', { dagId }, work);
}

export const runClearRoutes: RestRoute[] = [
  {
    method: 'POST',
    path: '/dags/:dag_id/dagRuns/:dag_run_id/clear',
    handle: clear,
    body: clearBody,
    event: 'clear_dag_run',
  },
  {
    method: 'POST',
    path: '/dags/:dag_id/clearDagRuns',
    handle: clearMany,
    body: clearManyBody,
    event: 'clear_dag_runs',
  },
  {
    method: 'POST',
    path: '/dags/:dag_id/clearPartitions',
    handle: clearPartitions,
    body: clearPartitionsBody,
    event: 'clear_dag_run_partitions',
  },
];
