/** Start of a try: the one exchange of the workload token. @see execution API 3.2; promise L5 */

import { parseExact } from '@airlock/contract/exact-json';
import type { TaskRunContext } from '@airlock/contract/execution/run-context';
import type { TokenAlarm } from '@airlock/contract/token-alarms';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { findOwnTry } from '@airlock/store/queries/task-instance/heartbeat';
import { type StartRow, startTask } from '@airlock/store/queries/task-instance/start';
import { nowIso, wireInstant } from '../../http/instant.ts';
import { parseBody } from '../../http/validation.ts';
import type { Answer, Call, ExecutionContext, Handler } from '../context.ts';
import { invalidState, notFound, TRY_NOT_FOUND } from '../errors.ts';
import { dagRunContext } from '../run-context.ts';
import { runBody } from '../schemas.ts';
import { auditReuse, callerKey, mintExecution, newJti } from '../token-life.ts';

/** How long the same process may repeat the exchange, until a bought token is used. */
const REPEATABLE_MS = 60_000;
/** What a stretch may last beyond the task's own limit, and at most. @see promise L2 */
const GRACE_SECONDS = 120;
const MAX_STRETCH_SECONDS = 86_400;

export const run: Handler = async (context, call) => {
  const { identity } = call;
  const { claims, jkt } = identity;
  const body = parseBody(runBody, call.request);
  const row = await startTask(context.db, {
    id: claims.sub,
    jti: claims.jti,
    kind: identity.kind === 'workload' ? 'workload' : 'execution',
    adopts: identity.foreign,
    processKey: jkt ?? JSON.stringify([body.hostname, body.unixname, body.pid]),
    hostname: body.hostname,
    unixname: body.unixname,
    pid: body.pid,
    startDate: body.start_date,
    nowIso: call.nowIso,
    repeatableSinceIso: nowIso(call.nowMs - REPEATABLE_MS),
    executionJti: newJti(),
    graceSeconds: GRACE_SECONDS,
    maxStretchSeconds: MAX_STRETCH_SECONDS,
  });
  if (!row) throw notFound(TRY_NOT_FOUND);
  if (row.outcome === null) return await refuse(context, call, row);
  return {
    status: 200,
    shape: 'runContext',
    body: runContext(row, context.rights.multiTeam),
    refreshed: row.outcome === 'again' ? null : await bought(context, call, row),
  };
};

async function bought(context: ExecutionContext, call: Call, row: StartRow): Promise<string | null> {
  if (row.execution_jti === null || row.exchanged_at === null) return null;
  return await mintExecution(context, {
    sub: call.identity.claims.sub,
    jti: row.execution_jti,
    issuedAt: row.exchanged_at,
    deadlineAt: row.deadline_at,
    jkt: call.identity.jkt,
  });
}

/** Every refused exchange is written down: it may be a stolen workload token. */
async function refuse(context: ExecutionContext, call: Call, row: StartRow): Promise<Answer> {
  if (call.identity.kind === 'execution') {
    const own = await findOwnTry(context.db, callerKey(call));
    if (own && !own.archived) await auditReuse(context, call, own);
  }
  await insertEventLog(context.db, {
    nowIso: call.nowIso,
    event: 'run_refused' satisfies TokenAlarm,
    owner: 'task',
    dagId: row.dag_id,
    runId: row.run_id,
    taskId: row.task_id,
    mapIndex: row.map_index,
    tryNumber: row.try_number,
    extra: JSON.stringify({ state: row.previous_state, token: call.identity.kind, jti: call.identity.claims.jti }),
  });
  throw invalidState('TI was not in a state where it could be marked as running', row.previous_state);
}

function runContext(row: StartRow, multiTeam: boolean): TaskRunContext {
  return {
    dag_run: dagRunContext(row.run, {
      team_name: multiTeam ? row.team : null,
      consumed_asset_events: row.consumed.map((event) => ({
        ...event,
        asset: { ...event.asset, extra: parseExact(event.asset.extra) },
        extra: parseExact(event.extra),
        timestamp: wireInstant(event.timestamp),
      })),
    }),
    task_reschedule_count: row.reschedule_count,
    max_tries: row.max_tries,
    variables: [],
    connections: [],
    ...(row.next_method === null
      ? {}
      : { next_method: row.next_method, next_kwargs: parseExact(row.next_kwargs ?? '{}') }),
    xcom_keys_to_clear: row.xcom_keys,
    should_retry: row.previous_state === 'restarting' || (row.max_tries !== 0 && row.try_number <= row.max_tries),
    ...(row.next_method === null || row.first_start_date === null
      ? {}
      : { start_date: wireInstant(row.first_start_date) }),
  };
}
