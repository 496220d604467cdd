/** POST /task-instances/{id}/logs: the path follows from the caller's row alone. */

import { isAppError } from '@airlock/contract/errors';
import { z } from '@airlock/contract/schema';
import { announceLog } from '@airlock/store/queries/task-instance/log-size';
import { parseQuery } from '../../http/validation.ts';
import { one, wire } from '../../http/wire.ts';
import type { Handler } from '../context.ts';
import { callerKey, overlapEnd, refreshDue, requireLive, useToken } from '../token-life.ts';

const query = z.object({ offset: one(wire.int({ ge: 0 })) });

export const appendLog: Handler = async (context, call) => {
  const { offset } = parseQuery(query, call.request);
  const bytes = call.request.body instanceof Uint8Array ? call.request.body : new Uint8Array();
  const row = await requireLive(
    context,
    call,
    await announceLog(context.db, {
      ...callerKey(call),
      offset,
      bytes: bytes.byteLength,
      maxBytes: context.deps.config.logging.max_log_bytes,
      overlapUntilIso: overlapEnd(call.identity.claims, call.nowMs),
    }),
  );
  const ref = {
    dagId: row.dag_id,
    runId: row.run_id,
    taskId: row.task_id,
    mapIndex: row.map_index,
    tryNumber: row.try_number,
  };
  try {
    const size = await context.logs.append(ref, { base: row.log_base, offset }, bytes);
    const refreshed = refreshDue(call.identity.claims, call.nowMs) ? await useToken(context, call) : null;
    return { status: 200, body: { size }, refreshed };
  } catch (error) {
    if (!isAppError(error, 'CONFLICT')) throw error;
    return { status: 409, body: { size: error.internal.size }, refreshed: null };
  }
};
