/** Runs: trigger, state and note, delete. @see rest-api 5.1, 5.2 */
import { AppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { DagRunType } from '@airlock/contract/states';
import type { Db } from '@airlock/store';
import { setRunNote } from '@airlock/store/queries/rest-run/list';
import { type AskedFacts, askAboutRun } from '../../runs/asked-timetables.ts';
import { createDagRun, deleteDagRun, setDagRunState } from '../../runs/index.ts';
import { uniqueViolation } from '../http/errors.ts';
import { exactMember } from '../http/exact-member.ts';
import { parseBody, parseQuery, wireIssue } from '../http/validation.ts';
import { wire } from '../http/wire.ts';
import { fieldsToUpdate, maskQuery } from './list-query.ts';
import type { RestContext, RestRoute } from './route.ts';
import { freshRunAnswer, loadRun } from './run-answer.ts';

/** Characters; what the column of the reference holds. */
export const NOTE_MAX = 1000;

/** The body of a new run. @param logicalDate whether its key must be there is the route's affair */
export function runFields<D extends z.ZodType<string | null | undefined>>(logicalDate: D) {
  return z
    .strictObject({
      dag_run_id: wire.text().nullish(),
      data_interval_start: wire.instant().nullish(),
      data_interval_end: wire.instant().nullish(),
      logical_date: logicalDate,
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
}
// The key must be there; its value may be null.
const triggerBody = runFields(wire.instant().nullable());
type RunFields = Omit<z.output<typeof triggerBody>, 'logical_date'> & { readonly logical_date?: string | null };

/** Makes the run that the body describes. @returns its answer. @throws as `createDagRun`, a taken name as Airflow words it */
export async function createRunOf(
  tx: Db,
  context: RestContext,
  dagId: string,
  body: RunFields,
  how: { readonly runType: DagRunType; readonly triggeredBy: string; readonly asked: AskedFacts | null },
): Promise<Record<string, unknown>> {
  try {
    const run = await createDagRun(tx, {
      ...how,
      dagId,
      runId: body.dag_run_id,
      triggeringUserName: context.user.name,
      logicalDate: body.logical_date ?? null,
      dataInterval: intervalOf(body),
      runAfter: body.run_after,
      conf: exactMember(context.request.bodyText, 'conf', body.conf),
      note: body.note,
      noteUser: context.user.name,
      partitionKey: body.partition_key,
      nowIso: context.nowIso,
    });
    return await freshRunAnswer(tx, dagId, run.runId);
  } catch (error) {
    throw error instanceof AppError && error.code === 'CONFLICT' ? uniqueViolation(error.message, error) : error;
  }
}

const intervalOf = ({ data_interval_start: start, data_interval_end: end }: RunFields) =>
  start && end ? { start, end } : null;

/** What a timetable of the author's own says of such a run. Before any transaction, since it may take seconds. */
export async function askAbout(
  context: RestContext,
  dagId: string,
  body: RunFields,
  runType: DagRunType,
): Promise<AskedFacts | null> {
  return askAboutRun(context.deps, {
    dagId,
    runType,
    runId: body.dag_run_id,
    logicalDate: body.logical_date ?? null,
    dataInterval: intervalOf(body),
    runAfter: body.run_after ?? context.nowIso,
    nowIso: context.nowIso,
  });
}

async function trigger(context: RestContext): Promise<unknown> {
  const dagId = context.param('dag_id');
  const body = parseBody(triggerBody, context.request);
  const target = { dagId, runId: body.dag_run_id ?? null, logicalDate: body.logical_date };
  const triggeredBy = context.request.headers.referer === undefined ? 'rest_api' : 'ui';
  const asked = await askAbout(context, dagId, body, 'manual');
  return context.mutate('trigger_dag_run', target, (tx) =>
    createRunOf(tx, context, dagId, body, { runType: 'manual', triggeredBy, asked }),
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

const RUN = '/dags/:dag_id/dagRuns/:dag_run_id';
export const runChangeRoutes: RestRoute[] = [
  { method: 'POST', path: '/dags/:dag_id/dagRuns', handle: trigger, body: triggerBody, event: 'trigger_dag_run' },
  { method: 'PATCH', path: RUN, handle: patch, query: maskQuery, body: patchBody, event: 'patch_dag_run' },
  { method: 'DELETE', path: RUN, handle: remove, status: 204, event: 'delete_dag_run' },
];
