/** Heartbeats that arrive together become one statement. @see execution API 3.4 */
import type { Db } from '@airlock/store';
import { type Heartbeat, recordHeartbeats } from '@airlock/store/queries/task-instance/heartbeat';
import type { TokenState } from '@airlock/store/queries/token/use';
import { nowIso } from '../http/instant.ts';
import { OVERLAP_MS } from './token-life.ts';

export type HeartbeatBatcher = {
  /** @returns what the row says of its tokens, or null: the beat fits no running try and changed nothing. */
  readonly beat: (beat: Heartbeat) => Promise<TokenState | null>;
};

type Pending = {
  readonly beat: Heartbeat;
  readonly resolve: (state: TokenState | null) => void;
  readonly reject: (error: unknown) => void;
};

/** Largest batch: one row lock each, held until the statement commits. */
const MAX_BATCH = 500;
/** Statements in flight at once; what arrives meanwhile waits for the next one, which then carries it all. */
const MAX_IN_FLIGHT = 2;

/** Sends at once while there is room, so a single heartbeat waits for nothing; under load the batches grow by themselves. */
export function createHeartbeatBatcher(db: Db, nowMs: () => number): HeartbeatBatcher {
  let waiting: Pending[] = [];
  let inFlight = 0;
  let scheduled = false;

  const flush = (): void => {
    scheduled = false;
    while (inFlight < MAX_IN_FLIGHT && waiting.length > 0) {
      // One row may change once per statement: the second beat of the same try waits for the next.
      const batch: Pending[] = [];
      const rest: Pending[] = [];
      const ids = new Set<string>();
      for (const entry of waiting) {
        if (batch.length >= MAX_BATCH || ids.has(entry.beat.id)) rest.push(entry);
        else {
          ids.add(entry.beat.id);
          batch.push(entry);
        }
      }
      waiting = rest;
      inFlight++;
      void send(batch).finally(() => {
        inFlight--;
        if (waiting.length > 0) flush();
      });
    }
  };

  const send = async (batch: readonly Pending[]): Promise<void> => {
    const now = nowMs();
    const beats = batch.map((entry) => entry.beat);
    try {
      const states = await recordHeartbeats(db, beats, {
        nowIso: nowIso(now),
        overlapUntilIso: nowIso(now + OVERLAP_MS),
      });
      for (const { beat, resolve } of batch) resolve(states.get(beat.id) ?? null);
    } catch (error) {
      for (const { reject } of batch) reject(error);
    }
  };

  return {
    beat: (beat) =>
      new Promise((resolve, reject) => {
        waiting.push({ beat, resolve, reject });
        if (scheduled) return;
        scheduled = true;
        setImmediate(flush); // all requests that this turn of the event loop has read
      }),
  };
}
