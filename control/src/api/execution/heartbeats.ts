/** Heartbeats that arrive together become one statement. @see execution API 3.4 */
import type { Db } from '@airlock/store';
import { type Heartbeat, recordHeartbeats } from '@airlock/store/queries/task-instance/heartbeat';
import type { TokenState } from '@airlock/store/queries/token/use';
import { nowIso } from '../http/instant.ts';
import { type Batcher, createBatcher } from './batcher.ts';

/** @returns what the row says of its tokens, or null: the beat fits no running try and changed nothing. */
export type HeartbeatBatcher = Batcher<Heartbeat, TokenState | null>;

export function createHeartbeatBatcher(db: Db, nowMs: () => number): HeartbeatBatcher {
  return createBatcher({
    keyOf: (beat) => beat.id,
    send: async (beats) => {
      const states = await recordHeartbeats(db, beats, nowIso(nowMs()));
      return beats.map((beat) => states.get(beat.id) ?? null);
    },
  });
}
