/** Deferred tries go on: with an event, to fail, or without a worker to their end. @see scheduling semantics 7.4 */
import { parseExact } from '@airlock/contract/exact-json';
import type { TriggerOutcome } from '@airlock/contract/supervisor-api';
import type { Db } from '@airlock/store';
import {
  endDeferred,
  lockDeferredBy,
  lockOverdueDeferred,
  resumeDeferred,
} from '@airlock/store/queries/trigger/resume';
import { putXComsOf } from '@airlock/store/queries/xcom/write';
import { withEvent } from '../domain/hitl.ts';
import { failTry } from './fail-try.ts';

/** Most tries that one transaction takes up. */
const MAX_TRIES = 100;
/** By this method a worker fails the task by itself. @see execution API 4.4 */
const FAIL = '__fail__';

/**
 * Takes what a trigger came to, once: whatever else is said of it finds that nobody waits any more.
 * Locks: the task_instance row, then trigger, xcom. @returns false when nobody waited for this triggerer's word
 */
export async function endTrigger(
  tx: Db,
  o: {
    readonly triggerId: number;
    readonly supervisorId: string;
    readonly outcome: TriggerOutcome;
    readonly nowIso: string;
    readonly maxRetryDelaySeconds: number;
  },
): Promise<boolean> {
  const { outcome, nowIso } = o;
  const waiting = await lockDeferredBy(tx, o);
  if (waiting === null) return false;
  const { id } = waiting;
  switch (outcome.kind) {
    case 'event': {
      const kwargs = withEvent(parseExact(waiting.next_kwargs ?? '{}'), parseExact(outcome.payload));
      await resumeDeferred(tx, [{ id, method: null, kwargs }], nowIso);
      return true;
    }
    case 'failure': {
      const kwargs = { error: 'Trigger failure', traceback: outcome.traceback };
      await resumeDeferred(tx, [{ id, method: FAIL, kwargs }], nowIso);
      return true;
    }
    case 'end': {
      await putXComsOf(tx, waiting, outcome.xcoms, nowIso);
      if (outcome.state !== 'failed') await endDeferred(tx, { id, state: outcome.state, nowIso });
      else
        await failTry(tx, {
          id,
          reason: 'Its trigger ended the task as failed.',
          nowIso,
          from: ['deferred'],
          maxRetryDelaySeconds: o.maxRetryDelaySeconds,
        });
      return true;
    }
  }
}

/** Takes up the tries whose trigger has had its time: a worker fails them. Locks: their rows. @returns how many */
export async function resumeOverdue(tx: Db, nowIso: string): Promise<number> {
  const tries = await lockOverdueDeferred(tx, { nowIso, limit: MAX_TRIES });
  await resumeDeferred(
    tx,
    tries.map(({ id }) => ({ id, method: FAIL, kwargs: { error: 'Trigger timeout' } })),
    nowIso,
  );
  return tries.length;
}
