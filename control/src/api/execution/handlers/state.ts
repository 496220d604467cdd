/** End of a stretch, as the worker reports it. @see execution API 3.3 */
import { AppError } from '@airlock/contract/errors';
import { finishTask } from '@airlock/store/queries/task-instance/finish';
import { findOwnTry } from '@airlock/store/queries/task-instance/heartbeat';
import { lockCaller, wasReported } from '@airlock/store/queries/task-instance/report-retry';
import { rescheduleTask } from '@airlock/store/queries/task-instance/reschedule';
import type { CallerRow } from '@airlock/store/queries/token/caller';
import { failTry } from '../../../runs/index.ts';
import type { Answer, Call, ExecutionContext, Handler } from '../context.ts';
import { invalidState, notFound, TRY_NOT_FOUND } from '../errors.ts';
import { parseStateReport, type StateReport } from '../schemas.ts';
import { callerKey, notLive } from '../token-life.ts';
import { awaitInput } from './await-input.ts';
import { defer } from './defer.ts';
import { succeed } from './success.ts';

/** The reference cuts reasons there. */
const MAX_REASON = 500;
const ACCEPTED: Answer = { status: 204, refreshed: null };
const DUPLICATE: Answer = { status: 200, refreshed: null };

type Outcome = { readonly finished: boolean; readonly row: CallerRow | null };

export const state: Handler = async (context, call) => {
  const report = parseStateReport(call.request.body);
  refuseBare(report);
  const { finished, row } = await apply(context, call, report);
  return finished ? ACCEPTED : await explain(context, call, report.body.state, row);
};

/** A bare state is sent by no worker; the reference fails the try for it. */
function refuseBare({ shape, body }: StateReport): void {
  if (shape !== '_other_') return;
  const message = `The state '${body.state}' can't be reported by itself`;
  throw new AppError('VALIDATION', { public: message, detail: { reason: 'unsupported_state', message } });
}

async function apply(context: ExecutionContext, call: Call, report: StateReport): Promise<Outcome> {
  const key = callerKey(call);
  const { shape, body } = report;
  if (shape === 'up_for_reschedule') {
    const row = await rescheduleTask(context.db, {
      ...key,
      endDate: body.end_date,
      rescheduleDate: body.reschedule_date,
    });
    return { finished: row?.finished ?? false, row };
  }
  if (shape === 'up_for_retry' || (shape === '_terminal_' && body.state === 'failed')) {
    return await fail(context, call, {
      endDate: body.end_date,
      retry: shape === 'up_for_retry',
      delaySeconds: shape === 'up_for_retry' ? (body.retry_delay_seconds ?? null) : null,
      reason: shape === 'up_for_retry' ? (body.retry_reason ?? null) : null,
    });
  }
  if (shape === 'success') {
    const row = await succeed(context, call, body);
    return { finished: row?.finished ?? false, row };
  }
  if (shape === 'deferred') return await defer(context, call, body);
  if (shape === 'awaiting_input') return await awaitInput(context, call, body);
  if (shape !== '_terminal_') return { finished: false, row: null };
  const row = await finishTask(context.db, {
    ...key,
    state: body.state,
    endDate: body.end_date,
    renderedMapIndex: body.rendered_map_index ?? null,
  });
  return { finished: row?.finished ?? false, row };
}

/** The rare ends go through the one place that ends tries without success. */
async function fail(
  context: ExecutionContext,
  call: Call,
  report: { endDate: string; retry: boolean; delaySeconds: number | null; reason: string | null },
): Promise<Outcome> {
  return await context.db.transaction(async (tx) => {
    const row = await lockCaller(tx, callerKey(call));
    if (!row?.live) return { finished: false, row };
    const ended = await failTry(tx, {
      id: row.id,
      reason: report.reason?.slice(0, MAX_REASON) ?? 'The task reported a failure.',
      nowIso: call.nowIso,
      endDate: report.endDate,
      retry: report.retry,
      retryDelaySeconds: report.delaySeconds,
      retryReason: report.reason?.slice(0, MAX_REASON) ?? null,
      reportedState: report.retry ? 'up_for_retry' : 'failed',
      from: ['running'],
      maxRetryDelaySeconds: context.deps.config.core.max_task_retry_delay,
    });
    return { finished: ended !== null, row };
  });
}

/** Nothing was changed: the same report again is fine, anything else is told what holds. */
async function explain(
  context: ExecutionContext,
  call: Call,
  reported: string,
  row: CallerRow | null,
): Promise<Answer> {
  // A report whose answer was lost: the next stretch may have been queued, or run, since.
  if (row && (await wasReported(context.db, callerKey(call), reported))) return DUPLICATE;
  if (row?.state === 'running') {
    // Another stretch or another token of this try: this one has no power any more.
    throw await notLive(context, call, row);
  }
  if (row) {
    if (row.state === reported) return DUPLICATE;
    throw invalidState('TI was not in the running state so it cannot be updated', row.state);
  }
  const own = await findOwnTry(context.db, callerKey(call));
  // A retry report whose answer was lost: its try is archived by now, which the reference answers with 404.
  if (own?.archived && own.reported_state === reported) return DUPLICATE;
  throw notFound(TRY_NOT_FOUND);
}
