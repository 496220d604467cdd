import { AppError } from '@airlock/contract/errors';
import { findOwnTry } from '@airlock/store/queries/task-instance/heartbeat';
import { parseBody } from '../../http/validation.ts';
import type { Call, ExecutionContext, Handler } from '../context.ts';
import { notFound, TRY_NOT_FOUND, tryArchived } from '../errors.ts';
import { heartbeatBody } from '../schemas.ts';
import { callerKey, mintSuccessor, notLive, overlapEnd, wantedSuccessor } from '../token-life.ts';

/** One conditional update, shared with all that arrive together; only a miss looks for the reason. */
export const heartbeat: Handler = async (context, call) => {
  const { hostname, pid } = parseBody(heartbeatBody, call.request);
  const { sub, jti } = call.identity.claims;
  const state = await context.heartbeats({
    id: sub,
    jti,
    hostname,
    pid,
    successorJti: wantedSuccessor(call),
    overlapUntilIso: overlapEnd(call.identity.claims, call.nowMs),
  });
  if (!state) return await explainMiss(context, call, hostname, pid);
  return { status: 204, refreshed: await mintSuccessor(context, call, state) };
};

/** @see execution API 3.4: archived, unknown, elsewhere, not running, in this order */
async function explainMiss(context: ExecutionContext, call: Call, hostname: string, pid: number): Promise<never> {
  const own = await findOwnTry(context.db, callerKey(call));
  if (!own) throw notFound(TRY_NOT_FOUND);
  if (own.archived) throw tryArchived();
  // A running try with other tokens, or past its deadline: this token is of an earlier stretch, or its time is over.
  if (own.state === 'running' && !own.live) {
    throw await notLive(context, call, own);
  }
  if (own.hostname !== hostname || own.pid !== pid) {
    const message = 'TI is already running elsewhere';
    throw new AppError('TI_TAKEN', {
      public: message,
      detail: { reason: 'running_elsewhere', message, current_hostname: own.hostname, current_pid: own.pid },
    });
  }
  if (own.live)
    throw new AppError('DB_UNAVAILABLE', { public: 'The heartbeat met a change of its own try; repeat it.' });
  const message = 'TI is no longer in the running state and task should terminate';
  throw new AppError('TI_STATE_CONFLICT', {
    public: message,
    detail: { reason: 'not_running', message, current_state: own.state },
  });
}
