/** Runs that a task makes and clears. @see execution API 3.9; promise L15 */
import { AppError, isAppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import type { Db } from '@airlock/store';
import { lockDagForRun } from '@airlock/store/queries/dag/find';
import { markClearedBy, readTriggerRight, wasTriggeredBy } from '@airlock/store/queries/dag-run/by-try';
import { lockRun } from '@airlock/store/queries/dag-run/lock';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { lockCaller } from '@airlock/store/queries/task-instance/report-retry';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import { type AskedFacts, askAboutRun } from '../../../runs/asked-timetables.ts';
import { clearTaskInstances, createDagRun, findModel, runsOnLatest } from '../../../runs/index.ts';
import { uniqueViolation } from '../../http/errors.ts';
import { exactMember } from '../../http/exact-member.ts';
import { parseBody } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import type { Call, ExecutionContext, Handler } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { mayTriggerDag } from '../rights.ts';
import { answerLive, callerKey, requireLive } from '../token-life.ts';

const MAX_NOTE = 1000;
const MAX_PARTITION_KEY = 250;

const triggerBody = z.strictObject({
  logical_date: wire.instant().nullish(),
  run_after: wire.instant().nullish(),
  conf: wire.object().optional(),
  /** The client clears by itself what is there already. */
  reset_dag_run: wire.bool().optional(),
  partition_key: wire.text({ max: MAX_PARTITION_KEY }).nullish(),
  note: wire.text({ max: MAX_NOTE }).nullish(),
});
type Trigger = z.output<typeof triggerBody>;
type Target = { readonly dagId: string; readonly runId: string };

/** The caller, once it was found entitled to the Dag. */
async function requireTrigger(context: ExecutionContext, call: Call, dagId: string): Promise<CallerRow> {
  const row = await requireLive(
    context,
    call,
    await readTriggerRight(context.db, callerKey(call), dagId, context.rights),
  );
  if (!row.allowed || !mayTriggerDag(context.rights, row, dagId)) throw notEntitled(`Dag ${dagId}`);
  await context.uses.note(row, 'dags', dagId);
  return row;
}

const targetOf = (call: Call): Target => ({ dagId: call.params.dag_id ?? '', runId: call.params.run_id ?? '' });

async function audit(tx: Db, call: Call, event: string, caller: CallerRow, target: Target): Promise<void> {
  const { dag_id, run_id, task_id, map_index, try_number } = caller;
  await insertEventLog(tx, {
    nowIso: call.nowIso,
    event,
    owner: 'task',
    dagId: target.dagId,
    runId: target.runId,
    extra: JSON.stringify({ by: { dag_id, run_id, task_id, map_index, try_number } }),
  });
}

/**
 * Makes a run. The same call of the same try again is a success without effect. The run carries no person's name: the one
 * who started the caller's run has not started this one; the audit log says which try has.
 */
export const triggerRun: Handler = async (context, call) => {
  const body = parseBody(triggerBody, call.request);
  const target = targetOf(call);
  const caller = await requireTrigger(context, call, target.dagId);
  const asked = await askAboutRun(context.deps, {
    ...target,
    runType: 'operator_triggered',
    logicalDate: body.logical_date ?? null,
    intervalAt: body.run_after ?? call.nowIso,
    runAfter: body.run_after ?? call.nowIso,
    nowIso: call.nowIso,
  }).catch((error: unknown) => {
    throw isAppError(error) ? asWire(error, target.dagId) : error;
  });
  await context.db.transaction(async (tx) => {
    if (!(await makeRun(context, tx, call, target, { ...body, asked }))) return;
    await audit(tx, call, 'trigger_dag_run', caller, target);
    // Last, since task instances are locked after Dags and runs: nothing is made by a try that has ended meanwhile.
    await requireLive(context, call, await lockCaller(tx, callerKey(call)));
  });
  return await answerLive(context, call, caller, { status: 204 });
};

/** @returns false when this very call had made the run before. */
async function makeRun(
  context: ExecutionContext,
  tx: Db,
  call: Call,
  target: Target,
  body: Trigger & { readonly asked: AskedFacts | null },
): Promise<boolean> {
  const { allowed_run_id_pattern: pattern } = context.deps.config.scheduler;
  const given = {
    logicalDate: body.logical_date ?? null,
    conf: exactMember(call.request.bodyText, 'conf', body.conf) ?? {},
    partitionKey: body.partition_key ?? null,
  };
  try {
    await createDagRun(tx, {
      ...target,
      ...given,
      runType: 'operator_triggered',
      triggeredBy: 'operator',
      triggeredByTry: call.identity.claims.sub,
      triggeringUserName: null,
      runAfter: body.run_after ?? null,
      intervalAt: body.run_after ?? call.nowIso,
      note: body.note ?? null,
      asked: body.asked,
      nowIso: call.nowIso,
      runIdRules: { pattern, allowDoubleDots: false },
    });
    return true;
  } catch (error) {
    if (!isAppError(error)) throw error;
    const again = { ...target, ...given, tryId: call.identity.claims.sub };
    if (error.code === 'CONFLICT' && (await wasTriggeredBy(tx, again))) return false;
    throw asWire(error, target.dagId);
  }
}

/** The wire names a reason for each refusal; two of its texts differ from those of the REST API. */
function asWire(error: AppError, dagId: string): AppError {
  if (error.code === 'NOT_FOUND') return notFound(error.message);
  if (error.code !== 'CONFLICT' && error.code !== 'BAD_REQUEST') return error;
  const reason = typeof error.internal.reason === 'string' ? error.internal.reason : 'value_error';
  if (reason === 'Unique constraint violation') return uniqueViolation(error.message, error);
  const message = error.message.replace(`Dag with dag_id: '${dagId}' `, `Dag with dag_id '${dagId}' `);
  return new AppError(error.code, { public: message, detail: { reason, message }, cause: error });
}

/** Clears every task of a run. Repeated by the same try while the run has not ended since, it changes nothing more. */
export const clearRun: Handler = async (context, call) => {
  const target = targetOf(call);
  const caller = await requireTrigger(context, call, target.dagId);
  const tryId = call.identity.claims.sub;
  await context.db.transaction(async (tx) => {
    const dag = await lockDagForRun(tx, target.dagId);
    if (!dag || dag.is_stale) throw notFound(`Dag with dag_id: '${target.dagId}' not found`);
    if (dag.has_import_errors) {
      const message = `Dag with dag_id '${target.dagId}' has import errors and cannot be triggered`;
      throw new AppError('BAD_REQUEST', { public: message, detail: { reason: 'import_errors', message } });
    }
    const run = await lockRun(tx, target.dagId, target.runId);
    if (!run) throw notFound(`Dag run with run_id: '${target.runId}' not found`);
    await requireLive(context, call, await lockCaller(tx, callerKey(call)));
    const ended = run.state === 'success' || run.state === 'failed';
    if (run.clear_try === tryId && !ended) return;
    const model = dag.current_version_id === null ? null : await findModel(tx, dag.current_version_id);
    await clearTaskInstances(tx, {
      dagId: target.dagId,
      dagRunIds: [run.id],
      runOnLatestVersion: runsOnLatest(null, model, context.deps.config.core.rerun_with_latest_version, false),
      nowIso: call.nowIso,
    });
    await markClearedBy(tx, { id: run.id, tryId });
    await audit(tx, call, 'clear_dag_run', caller, target);
  });
  return await answerLive(context, call, caller, { status: 204 });
};
